"""A version as folders: what a worker loads, and what is kept beside it.

`model` is what a worker loads and goes into the BentoML model store. `record` has what verified the version (all rows,
all answers, labels) and goes into the store's own version folder; in its `live` are the live object, where another
format serves, and the person's `retrain`: for re-tuning, and in no Bento.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.build import environment
from autodeploy_magic.build.capture import MODULES, Captured, files_of, spread
from autodeploy_magic.build.live import live_answers
from autodeploy_magic.build.sample import take
from autodeploy_magic.build.verify import Verdict
from autodeploy_magic.contracts import Artifact, Environment, Trust, Version, encode
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.formats import format_of
from autodeploy_magic.store import file_sha256, now
from autodeploy_magic.wire import to_plain, to_request

__all__ = ["LIVE", "describe_version", "stage", "write_folder"]

log = logging.getLogger(__name__)

LIVE = "live"
"""The folder of a version's record that the live object is kept in; see `Store.live_folder`."""


def write_folder(captured: Captured, number: int, formats: Sequence[str], folder: Path) -> None:
    """Make `folder`, where the formats are written, one that a worker can load: the sample, the answers, the record."""
    (folder / "sample.json").write_bytes(msgspec.json.encode({"inputs": captured.inputs}))
    (folder / "expected.json").write_bytes(msgspec.json.encode(captured.live.plain))
    version = _version(captured, number, formats[0], folder, formats)
    (folder / "version.json").write_bytes(encode(version))


def describe_version(
    captured: Captured, number: int, verdicts: Sequence[Verdict], winner: Verdict, reason: str, folder: Path
) -> Version:
    """The record of the version that would be made: all but its place."""
    format = winner.candidate.format
    modules = set(winner.modules) | captured.code_modules
    live = format_of(format).live
    if captured.sample.signature.container == "dataframe" and (live or captured.code):
        modules.add("pandas")  # what a request becomes; a pre-warmed process may have had it before it was asked
    inputs, outputs = captured.sample.signature.columns, captured.outputs
    if any(column.dtype == "image" for column in inputs) or any(output.dtype == "image" for output in outputs):
        modules.add("PIL")
    if live:
        modules |= captured.model_modules
    version = _version(
        captured,
        number,
        format,
        folder,
        [format],
        reason=reason,
        candidates=tuple(verdict.candidate for verdict in verdicts),
        environment=environment.describe(modules, captured.local, winner.seen, captured.notes),
    )
    return msgspec.structs.replace(version, provider=winner.candidate.provider)


def stage(captured: Captured, version: Version, winner: Verdict, folder: Path) -> Version:
    """Lay out `model` and `record` in `folder`; return the version with its artifacts as they lie there."""
    record = folder / "record"
    record.mkdir()
    live_format = _keep_live(captured, version.format, folder, record)
    kept = [
        _artifact(record / LIVE, file.relative_to(record / LIVE).as_posix(), LIVE, live_format)
        for file in files_of(record / LIVE)
    ]
    version = msgspec.structs.replace(version, live_format=live_format, kept=tuple(kept))
    version = _stage_model(captured, version, winner, folder, folder / "model")
    (folder / "sample.json").rename(record / "sample.json")
    (folder / "expected.json").rename(record / "expected.json")
    (record / "answers.json").write_bytes(msgspec.json.encode(winner.answers))
    if captured.request.labels is not None:
        labels = to_plain(take(captured.request.labels, captured.row_numbers))
        (record / "labels.json").write_bytes(msgspec.json.encode(labels))
    return version


def _keep_live(captured: Captured, serves: str, folder: Path, record: Path) -> str:
    """Keep the live object, and `retrain`, in the record; return its format, "" where it cannot be kept.

    One that serves as it is lies in the version itself. The pickle comes first where there may be one: capturing wrote
    it already.
    """
    live = record / LIVE
    if captured.retrain is not None:
        live.mkdir()
        for name in ("retrain.pkl", "retrain.py"):
            (folder / name).rename(live / name)
    if format_of(serves).live:
        return serves
    exporter, model = captured.exporter, captured.request.model
    formats = [format for format in exporter.formats_for(model) if format_of(format).live]
    for format in sorted(formats, key=lambda name: name != "native") if settings.get("keep_live") else ():
        written = folder / format_of(format).place
        may = settings.get("allow_pickle") or not exporter.opaque(model, format)
        if not may or (format == "native" and not written.exists()):
            continue
        if not written.exists():
            try:
                exporter.write(model, format, written, captured.fed, captured.sample.signature)
            except AutodeployError as error:  # it is not needed to serve
                log.info("%s is not kept as %s: %s", captured.model_type, format, error)
                continue
        live.mkdir(exist_ok=True)
        written.rename(live / written.name)
        return format
    return ""


def _version(
    captured: Captured,
    number: int,
    format: str,
    folder: Path,
    formats: Sequence[str],
    *,
    reason: str = "",
    candidates: tuple[Any, ...] = (),
    environment: Environment | None = None,
) -> Version:
    request = captured.request
    artifacts = [artifact for kept in formats for artifact in _model_artifacts(folder, kept)]
    artifacts += _companions(captured, folder)
    return Version(
        deployment=request.name,
        number=number,
        digest=captured.digest,
        created_at=now(),
        task=captured.task,
        framework=captured.exporter.name,
        model_type=captured.model_type,
        format=format,
        reason=reason,
        trust=_trust(captured, format),
        signature=captured.sample.signature,
        outputs=captured.outputs,
        model_outputs=captured.model_outputs,
        artifacts=tuple(artifacts),
        environment=environment or Environment(python="", platform=""),
        candidates=candidates,
        sample_rows=captured.sample.rows,
        size_bytes=sum(artifact.size_bytes for artifact in artifacts),
        note=request.note,
        source=request.source,
    )


def _companions(captured: Captured, folder: Path) -> list[Artifact]:
    """The files beside the model: sample and answers, code, the person's own modules."""
    found = [_artifact(folder, f"{role}.json", role, "json") for role in ("sample", "expected")]
    if captured.code:
        found.append(_artifact(folder, "code.pkl", "code", "cloudpickle"))
        found.append(_artifact(folder, "code.py", "source", "python"))
    found += [_artifact(folder, f"{MODULES}/{file.as_posix()}", "module", "python") for file in captured.local_files]
    return found


def _model_artifacts(folder: Path, format: str) -> list[Artifact]:
    """The file of a format, or each file of its folder."""
    files = files_of(folder / format_of(format).place)
    return [_artifact(folder, file.relative_to(folder).as_posix(), "model", format) for file in files]


def _artifact(folder: Path, path: str, role: str, format: str) -> Artifact:
    file = folder / path
    return Artifact(role=role, format=format, path=path, sha256=file_sha256(file), size_bytes=file.stat().st_size)


def _trust(captured: Captured, format: str) -> Trust:
    request = captured.request
    own = "the object is of your own kernel" if not request.source else "--file"
    allowed_by = request.allowed_by or ("--format native" if request.format == "native" else own)
    why = captured.exporter.opaque(request.model, format)
    if why:
        return Trust(level="amber", reason=why, allowed_by=allowed_by)
    holds = format_of(format).why
    if captured.code:
        reason = f"{holds} with Python functions of this notebook around it"
        return Trust(level="amber", reason=reason, allowed_by=allowed_by)
    return Trust(level="green", reason=f"{holds} and no Python code of its own", allowed_by=request.allowed_by)


def _stage_model(captured: Captured, version: Version, winner: Verdict, folder: Path, model: Path) -> Version:
    """Lay out what a worker loads; return the version with its artifacts as they lie there."""
    model.mkdir()
    for file in (format_of(version.format).place, "code.pkl", "code.py"):
        if (folder / file).exists():
            (folder / file).rename(model / file)
    if captured.local_files:
        (folder / MODULES).rename(model / MODULES)
    inputs, expected = _self_check(captured, winner)
    (model / "sample.json").write_bytes(msgspec.json.encode({"inputs": inputs}))
    (model / "expected.json").write_bytes(msgspec.json.encode(expected))
    artifacts = [*_model_artifacts(model, version.format), *_companions(captured, model)]
    version = msgspec.structs.replace(
        version, artifacts=tuple(artifacts), size_bytes=sum(artifact.size_bytes for artifact in artifacts)
    )
    (model / "version.json").write_bytes(encode(version))
    return version


def _self_check(captured: Captured, winner: Verdict) -> tuple[Any, dict[str, Any]]:
    """Rows that the packaged version answered as the live object does, and what that says to them.

    Evenly over the sample, the first among them: they are also what explanations are beside, and samples may be sorted.
    """
    differing = winner.comparison.differing if winner.comparison else ()
    same = [position for position in range(len(captured.row_numbers)) if position not in differing]
    chosen = [same[i] for i in spread(len(same), int(settings.get("self_check_rows")))] if same else [0]
    rows = take(captured.rows, chosen)
    inputs = to_request(rows)
    return inputs, live_answers(captured.request, captured.exporter, rows, captured.sample).plain
