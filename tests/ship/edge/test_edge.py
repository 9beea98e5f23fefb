"""What `ship edge` writes, what it refuses, and that it writes the same each time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edging import MODELS, cargo_of, make, ship, write_onnx_version
from msgspec.structs import replace

from autodeploy_magic.contracts import Artifact, Candidate, Column, Output, Version, encode
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Target
from autodeploy_magic.ship.edge import edge
from autodeploy_magic.ship.edge.edge import Edge
from autodeploy_magic.ship.edge.ordered import UnknownFormat, ordered
from autodeploy_magic.ship.edge.wheel import names_of


def sums(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def changed(folder: Path, **fields: Any) -> Version:
    """The version in `folder`, rewritten with other fields."""
    version = msgspec.json.decode((folder / "version.json").read_bytes(), type=Version)
    version = replace(version, **fields)
    (folder / "version.json").write_bytes(encode(version))
    return version


def test_all_that_is_promised_is_there(shipped: Path) -> None:
    target: Target = Edge()
    assert {choice.name for choice in target.choices} == {"batch", "code", "wheel", "zip", "web", "ort_web"}
    folder = shipped / "people"
    assert set(sums(folder)) == {
        "LICENSE",
        "NOTICE",
        "README.md",
        "model.onnx",
        "model.ort",
        "predict.py",
        "required_operators.config",
        "requirements.txt",
        "sample.json",
        "signature.json",
    }
    signature = json.loads((folder / "signature.json").read_text("utf-8"))
    assert [column["name"] for column in signature["columns"]][:3] == ["age", "children", "city of birth"]
    assert signature["columns"][4]["categories"] == ["l", "m", "s"]
    assert [output["graph"] for output in signature["model_outputs"]] == ["label", "probabilities"]
    assert "OneHotEncoder" in (folder / "required_operators.config").read_text("utf-8")
    assert "Apache License" in (folder / "LICENSE").read_text("utf-8")
    assert (folder / "model.ort").read_bytes()[4:8] == b"ORTM"
    names = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text("utf-8").split()]
    assert names == ["numpy", "onnxruntime"]


def test_nothing_names_a_place_of_this_machine(shipped: Path) -> None:
    for file in (shipped / "people").iterdir():
        assert str(shipped).encode() not in file.read_bytes(), file.name


@pytest.mark.parametrize("name", ["people", "network"])
def test_the_same_version_gives_the_same_bytes(shipped: Path, tmp_path: Path, name: str) -> None:
    cargo = cargo_of(shipped / f"{name}.version", wheel=True, zip=True)
    ship(cargo, tmp_path / "one")
    ship(cargo, tmp_path / "two")
    assert sums(tmp_path / "one") == sums(tmp_path / "two")
    assert len(sums(tmp_path / "one")) == 12
    with zipfile.ZipFile(tmp_path / "one" / "demo-v3.zip") as archive:
        assert archive.testzip() is None
        assert "demo-v3/predict.py" in archive.namelist()


def test_the_order_of_a_file_that_is_ordered_stays(shipped: Path) -> None:
    for name in MODELS:
        data = (shipped / name / "model.ort").read_bytes()
        assert ordered(ordered(data)) == ordered(data)
    with pytest.raises(UnknownFormat):
        ordered(b"\0" * 64)


def test_the_wheel_installs_and_answers(shipped: Path, tmp_path: Path) -> None:
    ship(cargo_of(shipped / "people.version", wheel=True), tmp_path / "out")
    (wheel,) = (tmp_path / "out" / "dist").iterdir()
    assert wheel.name == "demo_edge-3.0-py3-none-any.whl"
    words = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path / "site"),
        str(wheel),
    ]
    subprocess.run([sys.executable, *words], check=True, timeout=100)
    code = "import demo_edge, json; print(json.dumps(demo_edge.load().check()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == {"rows": 12, "agree": 12, "differences": []}
    command = tmp_path / "site" / "bin" / "demo-edge"
    done = subprocess.run(
        [sys.executable, command, "--check"],
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_names_of_packages_can_be_imported() -> None:
    assert names_of("iris-2") == ("iris_2_edge", "iris-2-edge")
    assert names_of("a.b")[0].isidentifier()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"format": "native"}, "--format onnx"),
    ({"format": "skops"}, "skops"),
    ({"format": "torch"}, "--format onnx"),
    ({"format": "transformers-onnx"}, "tokenizer"),
    ({"outputs": (Output(name="predictions", container="list", streams=True),)}, "item by item"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_go_is_refused_with_what_to_do(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    make("iris", tmp_path / "version")
    changed(tmp_path / "version", **fields)
    with pytest.raises(ShipFailed, match="cannot go to the edge") as error:
        Edge().refuse(cargo_of(tmp_path / "version"))
    assert said in str(error.value)


def test_the_reason_why_there_is_no_graph_is_told(tmp_path: Path) -> None:
    make("iris", tmp_path / "version")
    tried = Candidate(format="onnx", passed=False, reason="skl2onnx has no converter for Birch")
    changed(tmp_path / "version", format="native", candidates=(tried,))
    with pytest.raises(ShipFailed) as error:
        Edge().refuse(cargo_of(tmp_path / "version"))
    assert "no converter for Birch" in error.value.why
    assert "--format onnx" not in error.value.fix  # which would fail for the same reason
    changed(tmp_path / "version", candidates=())
    with pytest.raises(ShipFailed, match="--format onnx"):
        Edge().refuse(cargo_of(tmp_path / "version"))


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "timedelta64[ns]", "image", "bytes"])
def test_columns_that_are_not_read_are_named(tmp_path: Path, dtype: str) -> None:
    make("iris", tmp_path / "version")
    version = cargo_of(tmp_path / "version").version
    columns = (Column(name="since", dtype=dtype),)
    changed(tmp_path / "version", signature=replace(version.signature, columns=columns))
    with pytest.raises(ShipFailed, match="cannot go to the edge") as error:
        Edge().refuse(cargo_of(tmp_path / "version"))
    assert "'since'" in error.value.why


def test_weights_outside_the_file_or_more_than_two_gigabytes_are_refused(tmp_path: Path) -> None:
    make("iris", tmp_path / "version")
    (model, *others) = cargo_of(tmp_path / "version").version.artifacts
    outside = Artifact(role="model", format="onnx", path="model.onnx.data", sha256="0", size_bytes=1)
    for artifacts in ((model, outside, *others), (replace(model, size_bytes=2**31), *others)):
        changed(tmp_path / "version", artifacts=artifacts)
        with pytest.raises(ShipFailed, match="cannot go to the edge") as error:
            Edge().refuse(cargo_of(tmp_path / "version"))
        assert "2 GB" in error.value.why


def test_options_that_make_no_sense_are_refused(shipped: Path, tmp_path: Path) -> None:
    folder = shipped / "iris.version"
    (tmp_path / "ort.wasm.min.mjs").write_text("// another release")
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    for options, said in (
        ({"batch": -1}, "a number of rows"),
        ({"batch": 10**9}, "a number of rows"),
        ({"ort_web": str(tmp_path)}, "web is no"),
        ({"web": True, "ort_web": str(tmp_path / "none")}, "nothing is there"),
        ({"web": True, "ort_web": str(tmp_path)}, "another one"),
        ({"web": True, "ort_web": str(tmp_path / "broken.tgz")}, "cannot be read as an archive"),
    ):
        with pytest.raises(InvalidOption) as error:
            Edge().refuse(cargo_of(folder, **options))
        assert said in str(error.value)


def test_answers_that_are_other_ones_stop_it(shipped: Path, tmp_path: Path) -> None:
    make("iris", tmp_path / "version")
    expected = json.loads((tmp_path / "version" / "expected.json").read_bytes())
    expected["predictions"][0] = "virginica"
    (tmp_path / "version" / "expected.json").write_text(json.dumps(expected))
    with pytest.raises(ShipFailed, match="answers its sample differently on the edge") as error:
        ship(cargo_of(tmp_path / "version"), tmp_path / "out")
    assert "predictions[0] is 'setosa'" in error.value.why
    make("iris", tmp_path / "version")
    answers = json.loads((tmp_path / "version" / "expected.json").read_bytes())
    answers["probabilities"][5] = [0.0, 0.0, 1.0]
    (tmp_path / "version" / "answers.json").write_text(json.dumps(answers))
    with pytest.raises(ShipFailed, match="differently"):
        ship(cargo_of(tmp_path / "version"), tmp_path / "again")


def test_a_page_without_npm_says_how_to_get_the_runtime(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    written = ship(cargo_of(shipped / "people.version", web=True), tmp_path / "out")
    assert "npm is not installed" in written.notes[0]
    assert "npm pack onnxruntime-web@" in (tmp_path / "out" / "web" / "README.md").read_text("utf-8")
    assert not (tmp_path / "out" / "web" / "ort").exists()
    policy = (tmp_path / "out" / "web" / "index.html").read_text("utf-8")
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert (tmp_path / "out" / "web" / "model.ort").read_bytes() == (tmp_path / "out" / "model.ort").read_bytes()


def test_npm_that_fails_says_why(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "npm").write_text("#!/bin/sh\necho 'code E404' >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShipFailed, match="npm did not bring") as error:
        ship(cargo_of(shipped / "iris.version", web=True), tmp_path / "out")
    assert "E404" in error.value.why
    (tmp_path / "npm").write_text("#!/bin/sh\n: > onnxruntime-web-1.30.0.tgz\n")
    with pytest.raises(ShipFailed, match="npm did not bring") as error:
        ship(cargo_of(shipped / "iris.version", web=True), tmp_path / "again")
    assert "another release" in error.value.why


NASTY = [
    'quote"quote',
    "it's",
    "$(touch owned)",
    "`touch owned`",
    "../../etc/passwd",
    "{{ values }}",
    "{name}",
    "line\nbreak",
    "</script><script>alert(1)</script>",
    "__proto__",
    "no",
    "0123",
    "naïve ✓",
    "",
]


def test_names_that_people_typed_are_data_and_nothing_else(tmp_path: Path) -> None:
    model, sample = MODELS["people"]()
    text = sample.columns[2]
    typed = sample[["age", text]].set_axis(["$(id)`id`", "a\"b'\n{{c}}</script>"], axis=1)
    typed.iloc[:, 1] = [NASTY[i % len(NASTY)] for i in range(len(typed))]
    encoder = type(model[0])(
        [("n", "passthrough", ["$(id)`id`"]), ("t", model[0].transformers[1][1], [typed.columns[1]])]
    )
    fitted = model.set_params(columntransformer=encoder).fit(typed.fillna({"$(id)`id`": 0}), [0, 1] * 60)
    write_onnx_version(tmp_path / "version", fitted, typed.fillna({"$(id)`id`": 0}), name="demo")
    changed(tmp_path / "version", note="$(id)\n</script>", model_type="`x` $(id)\n# not a heading")
    cargo = cargo_of(tmp_path / "version", wheel=True, zip=True)
    ship(cargo, tmp_path / "out")
    signature = json.loads((tmp_path / "out" / "signature.json").read_text("utf-8"))
    assert [column["name"] for column in signature["columns"]] == list(typed.columns)
    assert edge.predict.Model(tmp_path / "out").check()["agree"] == 12
    readme = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "\n# not a heading" not in readme
    for file in ("README.md", "predict.py", "requirements.txt", "NOTICE", "LICENSE"):
        assert "$(id)`id`" not in (tmp_path / "out" / file).read_text("utf-8")
    assert (tmp_path / "out" / "predict.py").read_bytes() == Path(edge.predict.__file__).read_bytes()
