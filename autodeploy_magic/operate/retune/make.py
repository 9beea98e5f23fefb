"""One candidate, made: an optimiser's result, laid out as what a worker loads. A job of its own."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.build.capture import spread
from autodeploy_magic.build.clean import SubprocessRunner
from autodeploy_magic.build.flow import BuildRequest, draft
from autodeploy_magic.contracts import CleanRunner, Progress, Signature, Version, decode, encode
from autodeploy_magic.errors import AutodeployError, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Rebuilt, Replaced
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.plan import holdings_of, optimiser
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.retuning import Contender, Order
from autodeploy_magic.store import Store, file_sha256
from autodeploy_magic.wire import decode as decode_inputs
from autodeploy_magic.wire import to_container

__all__ = ["main"]

log = logging.getLogger(__name__)

_REPLAY = "autodeploy_magic.serve.clean.replay:main"


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Have an optimiser make one candidate.

    In `spec`: `home`, `name`, `version` (the champion's number), `folder` (the re-tune's), `contender`, `order`,
    `within_s`, `threads`. It is laid out in `contenders/ID` below the folder: `model`, which a worker can load, and
    `record`; see `build.stage`. Returns `note`, `settings`, `digest` and `format`. Raises what the optimiser raises,
    and `BuildFailed` where what it made does not answer as it should.
    """
    store = Store(spec["home"])
    contender = msgspec.convert(spec["contender"], Contender)
    order = msgspec.convert(spec["order"], Order)
    version = store.version(spec["name"], spec["version"])
    root = Path(spec["folder"])
    place = root / "contenders" / contender.id
    shutil.rmtree(place, ignore_errors=True)  # of one that was broken off
    scratch = place / "made"
    scratch.mkdir(mode=0o700, parents=True)
    champion = _base(store, version, root, contender)
    holdings = holdings_of(version, root / "data", order)
    given = Given(
        holdings, contender.settings, scratch, order.seed, float(spec["within_s"]), int(spec.get("threads") or 1)
    )
    try:
        made = optimiser(contender.optimiser).make(champion, given)
    except AutodeployError:
        raise
    except Exception as error:  # the person's own code, and libraries, which may raise anything
        log.exception("%s made nothing", contender.optimiser)
        raise RetuneFailed(f"{type(error).__name__}: {first_line(error)}") from error
    runner = SubprocessRunner(own_session=False)  # it ends with this job, however that ends
    if isinstance(made, Rebuilt):
        found = _rebuilt(store, champion, made, place, runner)
    else:
        found = _replaced(store, champion, made, place, runner)
    shutil.rmtree(scratch)
    return {
        "note": made.note,
        "settings": {**contender.settings, **made.changed},
        "digest": found.digest,
        "format": found.format,
    }


def _base(store: Store, version: Version, root: Path, contender: Contender) -> Champion:
    """What the candidate is made from: the champion, or another candidate."""
    if contender.base == "c0":
        return Champion.of(store, version)
    base = root / "contenders" / contender.base
    found = decode(Version, (base / "model" / "version.json").read_bytes())
    if not found.live_format:
        return Champion.of(store, version, base / "model")
    kept = base / "record" / "live"
    return Champion.at(base / "model", base / "model" if found.live_format == found.format else kept, found, kept)


def _rebuilt(store: Store, champion: Champion, made: Rebuilt, place: Path, runner: CleanRunner) -> Version:
    """Build a live object as the kernel's was built, with the same sample and the same code around it."""
    version = champion.version
    kept = store.version_folder(version.deployment, champion.root.number)
    labels = kept / "labels.json"
    sample = msgspec.json.decode((kept / "sample.json").read_bytes())["inputs"]
    request = BuildRequest(
        name=version.deployment,
        model=made.model,
        sample=to_container(decode_inputs(version.signature, sample)),
        labels=msgspec.json.decode(labels.read_bytes()) if labels.is_file() else None,
        code=champion.code,
        format=made.format,  # type: ignore[arg-type]  # checked by the build
        source=version.source,
        allowed_by=version.trust.allowed_by,
    )
    found = draft(request, place, runner, _said)
    unlike = _unlike(version, found)
    if unlike:
        raise RetuneFailed("it takes or gives something else than the champion", why=unlike)
    # what the sample told of the columns, and no more: a request must be understood as before
    return _written(place, msgspec.structs.replace(found, signature=version.signature))


def _replaced(store: Store, champion: Champion, made: Replaced, place: Path, runner: CleanRunner) -> Version:
    """The champion's files with another ONNX file among them, and what that answers to its sample."""
    version, graph = champion.version, champion.needs_onnx()
    model, record = place / "model", place / "record"
    shutil.copytree(champion.folder, model, ignore=shutil.ignore_patterns("model.yaml", "*.sig", "*.sigstore.json"))
    target = model / graph.relative_to(champion.folder)
    target.unlink()
    shutil.move(made.file, target)
    for data_file in made.file.parent.glob(f"{made.file.name}*data"):
        shutil.move(data_file, target.parent / data_file.name)
    record.mkdir()
    shutil.copy(store.version_folder(version.deployment, champion.root.number) / "sample.json", record)
    digest = hashlib.sha256(f"{version.digest} {file_sha256(target)}".encode()).hexdigest()
    found = msgspec.structs.replace(
        version, number=0, digest=digest, candidates=(), live_format="", kept=(), bento="", bento_path="", model_path=""
    )
    found = _listed(model, found)
    (model / "version.json").write_bytes(encode(found))
    answers = _answers(model, record / "sample.json", found, runner)
    for name in ("expected.json", "answers.json"):
        (record / name).write_bytes(msgspec.json.encode(answers))
    _self_check(model, record, found.signature, answers)
    return _written(place, _listed(model, found))


def _self_check(model: Path, record: Path, signature: Signature, answers: dict[str, Any]) -> None:
    """Rows of the sample that travel with the version, evenly over it, and what it says to them."""
    inputs = msgspec.json.decode((record / "sample.json").read_bytes())["inputs"]
    count = decode_inputs(signature, inputs).rows
    chosen = spread(count, int(settings.get("self_check_rows")))
    rows = Rows(signature, inputs, count).taken(chosen)
    (model / "sample.json").write_bytes(msgspec.json.encode({"inputs": rows.inputs}))
    expected = {
        name: [values[i] for i in chosen] if isinstance(values, list) and len(values) == count else values
        for name, values in answers.items()
    }
    (model / "expected.json").write_bytes(msgspec.json.encode(expected))


def _answers(model: Path, sample: Path, version: Version, runner: CleanRunner) -> dict[str, Any]:
    spec = {"folder": str(model), "sample": str(sample), "sealed": False}
    found: dict[str, Any] = runner.run(_REPLAY, spec, timeout_s=float(settings.get("build_timeout_s")))["answers"]
    return {output.name: found[output.name] for output in version.outputs if output.name in found}


def _listed(model: Path, version: Version) -> Version:
    """The version with its files as they are now."""
    artifacts = []
    for artifact in version.artifacts:
        file = model / artifact.path
        if file.is_file():
            artifacts.append(
                msgspec.structs.replace(artifact, sha256=file_sha256(file), size_bytes=file.stat().st_size)
            )
    return msgspec.structs.replace(
        version, artifacts=tuple(artifacts), size_bytes=sum(artifact.size_bytes for artifact in artifacts)
    )


def _written(place: Path, version: Version) -> Version:
    (place / "model" / "version.json").write_bytes(encode(version))
    return version


def _unlike(version: Version, found: Version) -> str:
    """Why requests for the one cannot be answered by the other as before; "" where they can."""
    if _form(version.signature) != _form(found.signature):
        return f"it takes {_form(found.signature)}, and the champion {_form(version.signature)}"
    ours, theirs = ([output.name for output in one.outputs] for one in (version, found))
    if ours != theirs:
        return f"it answers {', '.join(theirs)}, and the champion {', '.join(ours)}"
    return ""


def _form(signature: Signature) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(column.name, column.dtype, column.shape) for column in signature.columns]


def first_line(error: BaseException) -> str:
    """What an exception says, as far as its first line goes."""
    return (str(error).splitlines() or [""])[0][:300]


def _said(_progress: Progress) -> None:
    """Nobody listens to the steps of one candidate."""
