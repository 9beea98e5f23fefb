"""Which packages a lean image has: those of the road, what the answers import, and what these require."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from versions import NAMES

from autodeploy_magic.build import SubprocessRunner
from autodeploy_magic.build.environment.installed import canonical, owners, site_state
from autodeploy_magic.contracts import Environment, Version
from autodeploy_magic.errors import BuildFailed, ShipFailed
from autodeploy_magic.ship.image import packages
from autodeploy_magic.ship.image.packages import Needed, needed


class Replays:
    """A clean process that saw these modules; without some of them it answers otherwise, or fails."""

    def __init__(self, *modules: str, without: Any = None) -> None:
        self.modules, self.without, self.hidden = modules, without, set[str]()

    def run(self, target: str, spec: dict[str, Any], *, paths: tuple[str, ...] = (), **_: Any) -> dict[str, Any]:
        answers = msgspec.json.decode(Path(spec["folder"], "expected.json").read_bytes())
        for folder in paths:
            self.hidden = {file.stem for file in Path(folder).glob("*.py")}
            for file in Path(folder).glob("*.py"):
                with pytest.raises(ModuleNotFoundError):
                    exec(compile(file.read_text(), str(file), "exec"), {})
        if self.hidden and isinstance(self.without, Exception):
            raise self.without
        if self.hidden and self.without is not None:
            answers = self.without
        return {
            "modules": [name for name in self.modules if name.partition(".")[0] not in self.hidden],
            "answers": answers,
        }


def names(found: Needed) -> set[str]:
    return {pin.partition("==")[0].lower().replace("_", "-") for pin in found.pins}


def of(version: Version, *pins: str) -> Version:
    requirements = (*version.environment.requirements, *pins)
    return msgspec.structs.replace(
        version, environment=Environment(python="3.11", platform="", requirements=requirements)
    )


def test_a_scikit_learn_model_needs_the_road_and_onnxruntime(made: tuple[Version, Path]) -> None:
    version, model = made
    found = needed(version, model, None, SubprocessRunner())
    assert {"numpy", "onnxruntime", "msgspec", "uvicorn", "uvloop", "httptools", "click", "h11"} <= names(found)
    assert not names(found) & {"bentoml", "starlette", "scikit-learn", "scipy", "river", "aiohttp", "rich"}
    assert {*found.pins} <= {*version.environment.requirements}
    assert "bentoml" in found.more
    assert found.notes == ()


def test_what_the_answers_import_is_there_with_what_it_requires(made: tuple[Version, Path]) -> None:
    version, model = made
    version = of(version, "scikit-learn==1.9.1", "scipy==1.17.1", "joblib==1.6.0", "threadpoolctl==3.8.0")
    found = needed(version, model, None, Replays("sklearn", "autodeploy_magic", "json"))
    assert {"scikit-learn", "scipy", "joblib", "threadpoolctl"} <= names(found)


def test_pickled_code_has_what_loads_it_though_no_replay_can_tell(made: tuple[Version, Path]) -> None:
    version, model = made
    assert not names(needed(version, model, None, Replays())) & {"cloudpickle", "typing-extensions"}
    found = needed(msgspec.structs.replace(version, format="torch"), model, None, Replays("torch"))
    assert {"cloudpickle", "typing-extensions"} <= names(found)


def test_a_replay_begins_with_nothing_imported_but_what_is_in_the_image_anyway(tmp_path: Path) -> None:
    code = "import sys, autodeploy_magic.serve.clean.replay\ndef main(spec): return {'modules': sorted(sys.modules)}\n"
    (tmp_path / "listing.py").write_text(code)
    seen = SubprocessRunner().run("listing:main", {}, paths=(str(tmp_path),))["modules"]
    found = {owner for module in seen for owner in owners(module, site_state())}
    assert "numpy" in found
    known = {*packages.ROAD, *packages.CODE, "setuptools", "autodeploy_magic"}  # setuptools: its .pth file
    assert {canonical(name) for name in found} <= {canonical(name) for name in known}


def test_versions_are_those_that_were_recorded(made: tuple[Version, Path]) -> None:
    version, model = made
    old = tuple("numpy==2.0.1" if pin.startswith("numpy==") else pin for pin in version.environment.requirements)
    environment = msgspec.structs.replace(version.environment, requirements=old)
    found = needed(msgspec.structs.replace(version, environment=environment), model, None, Replays())
    assert "numpy==2.0.1" in found.pins
    assert any("numpy==2.0.1" in note for note in found.notes)


def test_what_makes_no_difference_is_left_out(made: tuple[Version, Path]) -> None:
    version, model = made
    found = needed(of(version, "pyarrow==21.0.0"), model, None, Replays("pyarrow", "pyarrow.lib"))
    assert "pyarrow" not in names(found)
    assert any("pyarrow" in note for note in found.notes)


@pytest.mark.parametrize(
    "without",
    [
        BuildFailed("it needs pyarrow"),
        {"predictions": [str(NAMES[2])] * 8, "probabilities": [[0.0, 0.0, 1.0]] * 8},
    ],
)
def test_what_makes_a_difference_stays(made: tuple[Version, Path], without: Any) -> None:
    version, model = made
    found = needed(of(version, "pyarrow==21.0.0"), model, None, Replays("pyarrow", without=without))
    assert "pyarrow" in names(found)
    assert found.notes == () or all("left out" not in note for note in found.notes)


def test_a_version_that_does_not_answer_here_brings_all_but_bentoml(made: tuple[Version, Path]) -> None:
    class Dies:
        def run(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise BuildFailed("the clean process died")

    version, model = made
    found = needed(version, model, None, Dies())
    assert names(found) == {
        pin.partition("==")[0].lower().replace("_", "-") for pin in version.environment.requirements
    } - {"bentoml"}
    assert any("the clean process died" in note for note in found.notes)


def test_where_metadata_is_gone_nothing_is_missed(made: tuple[Version, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    version, model = made
    real = packages.installed
    monkeypatch.setattr(packages, "installed", lambda name, state: None if name == "uvicorn" else real(name, state))
    found = needed(version, model, None, Replays())
    assert {"uvicorn", "click", "h11"} <= names(found)
    assert any("uvicorn" in note for note in found.notes)
    assert "bentoml" not in names(found)


def test_the_grpc_port_brings_its_packages(made: tuple[Version, Path]) -> None:
    version, model = made
    plain, grpc = (needed(version, model, None, Replays(), features) for features in ((), ("grpc",)))
    assert names(grpc) - names(plain) >= {"h2", "hpack", "hyperframe"}


def test_a_local_build_is_asked_for_by_its_label(made: tuple[Version, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    version, model = made
    real = packages.installed

    def labelled(name: str, state: Any) -> Any:
        found = real(name, state)
        if found is None or name != "numpy":
            return found
        return dataclasses.replace(found, version=f"{found.version}+cpu")

    monkeypatch.setattr(packages, "installed", labelled)
    found = needed(version, model, None, Replays())
    assert any(pin.startswith("numpy==") and pin.endswith("+cpu") for pin in found.pins)


def test_what_does_not_fit_together_is_refused_at_once(made: tuple[Version, Path]) -> None:
    version, model = made
    environment = msgspec.structs.replace(version.environment, conflicts=("a 1 needs b>=2, and b 1 is installed",))
    with pytest.raises(ShipFailed, match="cannot be installed in an image") as caught:
        needed(msgspec.structs.replace(version, environment=environment), model, None, Replays())
    assert "b>=2" in caught.value.why
