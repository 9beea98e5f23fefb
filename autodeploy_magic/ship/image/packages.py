"""Which distributions a version needs in a lean image: what the serving road imports, and what its answers imported.

A version does not record what it imported, so its sample is replayed once more in a clean process, which tells. Of the
environment's pins those stay that brought these modules, and what they require. BentoML is not among them: nothing of
the road imports it before somebody asks for BentoML's own paths, which a lean image does not have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.build.compare import compare
from autodeploy_magic.build.environment.conflicts import Member
from autodeploy_magic.build.environment.installed import State, canonical, installed, owners, site_state
from autodeploy_magic.contracts import CleanRunner, Version
from autodeploy_magic.errors import AutodeployError, ShipFailed
from autodeploy_magic.formats import format_of

__all__ = ["CODE", "ROAD", "Needed", "can_move", "needed"]

ROAD = ("msgspec", "numpy", "uvicorn", "uvloop", "httptools", "prometheus_client", "psutil", "packaging")
"""What a worker imports whatever its model is."""

CODE = ("cloudpickle", "typing_extensions")
"""What pickled code and modules of one's own may import that the clean process of a replay has imported by itself: it
cannot tell."""

FEATURES = {
    "grpc": ("h2", "protobuf"),
    "otlp_endpoint": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
}
"""What a deployment may be served with besides → the distributions that it takes."""

_IDLE: dict[str, frozenset[str]] = {"onnxruntime": frozenset({"sympy", "coloredlogs"})}
"""Distribution → what it requires and imports in tools alone, which nothing of ours calls."""

_PERHAPS = (*("pyarrow", "matplotlib", "polars", "numba", "tables", "openpyxl", "sqlalchemy", "IPython", "torch"),)
"""Modules that libraries import where they are there, and do without: a large part of an image."""


@dataclass(frozen=True)
class Needed:
    """Distributions, as exact pins in the order of their names ("torch==2.9.0+cpu" with the label of a local build).

    `more` are the other pins of the version, by canonical name, for what turns out to be required elsewhere.
    """

    pins: tuple[str, ...]
    more: Mapping[str, str]
    notes: tuple[str, ...] = ()


def can_move(version: Version) -> None:
    """Raise `ShipFailed` where the version's requirements cannot be installed together elsewhere."""
    conflicts = version.environment.conflicts
    if conflicts:
        raise ShipFailed(
            f"v{version.number} of {version.deployment} cannot be installed in an image",
            why="; ".join(conflicts),
            fix="do what the lines say in the notebook's environment, then deploy again; it serves here all the same",
        )


def needed(
    version: Version, model: Path, record: Path | None, runner: CleanRunner, features: Iterable[str] = ()
) -> Needed:
    """The distributions for the version in the folder `model`; `record` is the one with all rows that verified it.

    `features` are keys of `FEATURES` that the deployment is served with. Raises `ShipFailed` where the version cannot
    be moved at all.
    """
    can_move(version)
    pinned = {canonical(pin.partition("==")[0]): pin for pin in version.environment.requirements}
    state = site_state()
    roots = set(ROAD)
    if format_of(version.format).runtime in ("onnx", "transformers-onnx"):
        roots.add("onnxruntime")
    if format_of(version.format).opaque or any(artifact.role in ("code", "module") for artifact in version.artifacts):
        roots.update(CODE)
    roots |= {name for feature in features for name in FEATURES[feature]}
    notes: list[str] = []
    try:
        seen = _seen(version, model, record, runner)
    except AutodeployError as error:
        notes.append(
            f"all packages of the version are in the image, since its sample is not answered here: {error.what}"
        )
        return Needed(tuple(pin for name, pin in sorted(pinned.items()) if name != "bentoml"), {}, tuple(notes))
    brought = {canonical(owner) for module in seen.modules for owner in owners(module, state)}
    chosen = _closure({canonical(name) for name in roots} | (brought & pinned.keys()), brought, pinned.keys(), state)
    if seen.left_out:
        notes.append(f"left out, since all answers are the same without: {', '.join(seen.left_out)}")
    gone = sorted(name for name in chosen & pinned.keys() if installed(name, state) is None)
    if gone:
        notes.append(f"what {', '.join(gone)} requires is not known here: its packages are all in the image")
        chosen |= pinned.keys() - {"bentoml"}
    pins = {name: _pin(name, pinned, state) for name in sorted(chosen) if name in pinned or installed(name, state)}
    changed = [pin for name, pin in pins.items() if name in pinned and _changed(pin, name, state)]
    if changed:
        notes.append(f"as the version was made, and no longer here: {', '.join(changed)}")
    more = {name: pin for name, pin in pinned.items() if name not in pins}
    return Needed(tuple(pins.values()), more, tuple(notes))


@dataclass(frozen=True)
class _Seen:
    modules: frozenset[str]
    left_out: tuple[str, ...]


def _seen(version: Version, model: Path, record: Path | None, runner: CleanRunner) -> _Seen:
    """The modules that the version's answers import, without those that make no difference to them."""
    sample, expected = _sample(model, record)
    spec = {"folder": str(model), "sample": str(sample), "outputs": list(expected)}
    replay = "autodeploy_magic.serve.clean.replay:main"
    found = runner.run(replay, spec)
    modules = frozenset(found["modules"])
    perhaps = [name for name in _PERHAPS if name in {module.partition(".")[0] for module in modules}]
    if not perhaps:
        return _Seen(modules, ())
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
        for name in perhaps:
            Path(folder, f"{name}.py").write_text(f"raise ModuleNotFoundError('not here', name='{name}')\n", "utf-8")
        try:
            without = runner.run(replay, spec, paths=(folder,))
        except AutodeployError:
            return _Seen(modules, ())  # it does need one of them
    outputs = [output for output in version.outputs if output.name in expected]
    if not compare(outputs, expected, without["answers"]).passed:
        return _Seen(modules, ())
    return _Seen(frozenset(without["modules"]), tuple(perhaps))


def _sample(model: Path, record: Path | None) -> tuple[Path, dict[str, Any]]:
    """The rows to answer, and the answers that they had: all that verified it, or those that travel with it."""
    places = [(record / "sample.json", record / "answers.json")] if record is not None else []
    for sample, answers in (*places, (model / "sample.json", model / "expected.json")):
        if sample.is_file() and answers.is_file():
            return sample, msgspec.json.decode(answers.read_bytes())
    raise ShipFailed("the version has no sample", why=f"{model} holds none", fix="deploy again from the notebook")


def _closure(roots: set[str], brought: set[str], pinned: Iterable[str], state: State) -> set[str]:
    """`roots` and all that they require here: of the pins, or of what is installed where a feature asks for more."""
    known, chosen = set(pinned), set()
    pending = [(name, "") for name in sorted(roots)]
    done: set[tuple[str, str]] = set()
    while pending:
        name, extra = pending.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        chosen.add(name)
        found = installed(name, state)
        if found is None:
            continue
        idle = _IDLE.get(name, frozenset()) - brought
        for need in Member(found).needs(extra):
            wanted = canonical(need.name)
            if wanted not in idle and (wanted in known or name not in known):
                pending += [(wanted, wish) for wish in ("", *need.extras)]
    return chosen


def _pin(name: str, pinned: Mapping[str, str], state: State) -> str:
    """The version's own pin, or one of what is installed; with the label of a local build where it is that one."""
    found = installed(name, state)
    pin = pinned.get(name) or (f"{found.name}=={found.public_version}" if found else name)
    same = found is not None and pin.partition("==")[2] == found.public_version
    return f"{pin.partition('==')[0]}=={found.version}" if found is not None and same else pin


def _changed(pin: str, name: str, state: State) -> bool:
    found = installed(name, state)
    return found is not None and found.version != pin.partition("==")[2]
