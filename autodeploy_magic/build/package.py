"""The version's folder, on its way into the store.

Two folders are staged: `model` is what a worker loads and goes into the BentoML model store; `source` is the Bento's
code. What verified the version (all rows, all answers) stays in the store's own version folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.build import environment
from autodeploy_magic.build.capture import MODULES, Captured, files_of, spread
from autodeploy_magic.build.live import live_answers
from autodeploy_magic.build.sample import take
from autodeploy_magic.build.sign import sign, signed_by
from autodeploy_magic.build.source import stage_source
from autodeploy_magic.build.verify import Verdict
from autodeploy_magic.contracts import Artifact, CleanRunner, Environment, Trust, Version, encode
from autodeploy_magic.errors import PackageFailed
from autodeploy_magic.formats import format_of
from autodeploy_magic.store import Store, file_sha256, now
from autodeploy_magic.wire import to_request

__all__ = ["describe_version", "package", "write_folder"]


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


def package(
    captured: Captured, version: Version, winner: Verdict, folder: Path, store: Store, runner: CleanRunner
) -> Version:
    """Build the Bento of `version` in a clean process, and make it a version of the store.

    Raises `PackageFailed` or `DiskFull`; the store is then as it was.
    """
    model, source, scratch, record = (folder / part for part in ("model", "source", "scratch", "record"))
    scratch.mkdir()
    home = store.bentoml_home(version.deployment)
    tag = f"{version.deployment}:{version.number:04d}-{version.digest[:12]}"
    place = {
        "bento": tag,
        "bento_path": f"{home.name}/bentos/{tag.replace(':', '/')}",
        "model_path": f"{home.name}/models/{tag.replace(':', '/')}",
    }
    version = _stage_model(captured, msgspec.structs.replace(version, **place), winner, folder, model)
    stage_source(version, source)
    made = runner.run(
        "autodeploy_magic.build.bento:make",
        {
            "tag": tag,
            "model_folder": str(model),
            "source_folder": str(source),
            "scratch_folder": str(scratch),
            "requirements": list(version.environment.requirements),
            "system_packages": list(environment.debian_packages(version.environment.system_libraries)),
            "python": ".".join(version.environment.python.split(".")[:2]),
            "labels": {"autodeploy_magic.version": str(version.number), "autodeploy_magic.format": version.format},
        },
        env={"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"},
        timeout_s=float(settings.get("build_timeout_s")),
    )
    if (made["bento"], f"{home.name}/{made['model_path']}") != (tag, version.model_path):
        raise PackageFailed(
            f"BentoML put {tag} elsewhere than expected",
            why=f"it says {made}",
            fix="use a release of BentoML that constraints.txt names",
        )
    record.mkdir()
    (folder / "sample.json").rename(record / "sample.json")
    (folder / "expected.json").rename(record / "expected.json")
    (record / "answers.json").write_bytes(msgspec.json.encode(winner.answers))
    store.commit(version, record)
    return version


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
        version,
        artifacts=tuple(artifacts),
        size_bytes=sum(artifact.size_bytes for artifact in artifacts),
        signed_by=signed_by(),
    )
    (model / "version.json").write_bytes(encode(version))
    sign(model)
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
