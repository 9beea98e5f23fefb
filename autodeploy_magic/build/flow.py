"""build(): capture → export → verify → package, in order. Nothing of a deployment changes before the last line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autodeploy_magic.build.capture import FILES, Captured, capture
from autodeploy_magic.build.history import not_again
from autodeploy_magic.build.memory import available_bytes
from autodeploy_magic.build.metric import metric_words
from autodeploy_magic.build.package import describe_version, package, write_folder
from autodeploy_magic.build.request import BuildRequest
from autodeploy_magic.build.speed import slower_live
from autodeploy_magic.build.verify import Verdict, choose, replay
from autodeploy_magic.contracts import Candidate, CleanRunner, Progress, Report, Version
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import AutodeployError, ExportFailed
from autodeploy_magic.store import Store, check_name

__all__ = ["BuildRequest", "Built", "build"]

_EXPORT_MEMORY = 4
"""How many times its size a model may need while it is written as ONNX: its arrays, the graph, the graph's bytes."""


@dataclass(frozen=True)
class Built:
    """What `build` made. `fresh` is false where the content is that of an older version, which then is `version`.

    `answers` is the file with the packaged version's answers to the sample, None in a dry run. A dry run's version has
    the number it would get, and no Bento.
    """

    version: Version
    fresh: bool
    answers: Path | None = None
    dry_run: bool = False

    @property
    def number(self) -> int:
        return self.version.number

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self.version.candidates


def build(request: BuildRequest, store: Store, runner: CleanRunner, report: Report, *, dry_run: bool = False) -> Built:
    """Make a verified version of `request.name`, or recognise that it exists.

    Raises `BadInput` where the request cannot be met, `BuildFailed` (with its kinds) where a step fails, `DiskFull`.
    The deployment is then as it was.
    """
    name = check_name(request.name)
    steps = _Steps(report)
    with disk_full(store.home), store.building(name), store.staging(name) as staging:
        with steps("capture"):
            captured = capture(request, staging)
            known = _known(store, name, captured)
        if known is not None:
            steps.skip(("export", "verify", "package"), f"unchanged: this is version {known.number}")
            return Built(known, False, store.version_folder(name, known.number) / "answers.json", dry_run)
        number = store.next_number(name)
        left_out = not_again(captured, store.versions(name))
        with steps("export"):
            exported = _export(captured, _first_formats(captured, left_out), staging)
        with steps("verify"):
            native = [item for item in exported if item.candidate.format == "native"]
            others = [item for item in exported if item.candidate.format != "native"]
            verdicts = _verify(captured, number, others, staging, runner)
            more = _further_formats(captured, verdicts, left_out)
            verdicts += _verify(captured, number, _export(captured, more, staging), staging, runner)
            if native:
                verdicts += slower_live(captured, verdicts) or _verify(captured, number, native, staging, runner)
            verdicts += _left_out(verdicts, left_out)
            winner, reason = choose(captured, verdicts)
            reason += metric_words(captured, winner)
            version = describe_version(captured, number, verdicts, winner, reason, staging)
        if dry_run:
            steps.skip(("package",), "dry run")
            return Built(version, True, None, dry_run)
        with steps("package"):
            version = package(captured, version, winner, staging, store, runner)
        return Built(version, True, store.version_folder(name, number) / "answers.json")


class _Steps:
    """Reports each step as it begins and ends."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        self._report(Progress(step=step, state="started"))
        try:
            yield
        except BaseException as error:
            detail = error.what if isinstance(error, AutodeployError) else type(error).__name__
            self._report(Progress(step=step, state="failed", seconds=time.perf_counter() - started, detail=detail))
            raise
        self._report(Progress(step=step, state="done", seconds=time.perf_counter() - started))

    def skip(self, steps: tuple[str, ...], detail: str) -> None:
        for step in steps:
            self._report(Progress(step=step, state="skipped", detail=detail))


def _known(store: Store, name: str, captured: Captured) -> Version | None:
    """The version with this very content, where its files are still there."""
    version = store.by_digest(name, captured.digest)
    if version is None or not (store.folder(name) / version.model_path / "version.json").is_file():
        return None
    return version


def _export(captured: Captured, formats: list[str], folder: Path) -> list[Verdict]:
    """Write the model in each format; one that cannot be written is a row that did not pass."""
    return [_export_one(captured, item, folder) for item in formats]


def _export_one(captured: Captured, format: str, folder: Path) -> Verdict:
    path = folder / FILES[format]
    failure: AutodeployError | None = None
    if format == "native":
        failure = captured.native_failure
    elif captured.native and captured.native.size_bytes * _EXPORT_MEMORY > available_bytes():
        failure = ExportFailed("not exported", why="writing it as ONNX would need more memory than is free")
    elif not path.is_file():
        try:
            captured.exporter.write(captured.request.model, format, path, captured.fed, captured.sample.signature)
        except ExportFailed as error:
            failure = error
    if failure is None:
        return Verdict(Candidate(format=format, passed=True, reason="", size_bytes=path.stat().st_size))
    reason = f"not exported ({failure.why or failure.what})"
    return Verdict(Candidate(format=format, passed=False, reason=reason))


def _verify(
    captured: Captured, number: int, exported: list[Verdict], folder: Path, runner: CleanRunner
) -> list[Verdict]:
    """Replay what could be written; what could not stays in the table with its reason."""
    written = [(item.candidate.format, item.candidate.size_bytes) for item in exported if item.candidate.passed]
    if not written:
        return exported
    write_folder(captured, number, [format for format, _ in written], folder)
    replayed = {verdict.candidate.format: verdict for verdict in replay(captured, written, folder, runner)}
    return [replayed.get(item.candidate.format, item) for item in exported]


def _first_formats(captured: Captured, left_out: dict[str, str]) -> list[str]:
    """What is tried at once: the model's formats; the exact form in place of one that is known to differ."""
    exact = captured.exporter.exact
    tried = [item for item in captured.formats if item not in left_out or item in exact]
    return [exact[item] if item in left_out else item for item in tried]


def _further_formats(captured: Captured, verdicts: list[Verdict], left_out: dict[str, str]) -> list[str]:
    """The exact form of what differed; and native where it was left out for its speed and nothing else passed."""
    exact = captured.exporter.exact
    more = [
        exact[verdict.candidate.format]
        for verdict in verdicts
        if verdict.candidate.format in exact and verdict.comparison is not None and not verdict.candidate.passed
    ]
    nothing = not any(verdict.candidate.passed for verdict in verdicts)
    return [*more, "native"] if nothing and "native" in left_out and "native" in captured.formats else more


def _left_out(verdicts: list[Verdict], left_out: dict[str, str]) -> list[Verdict]:
    tried = {verdict.candidate.format for verdict in verdicts}
    return [
        Verdict(Candidate(format=format, passed=False, reason=reason))
        for format, reason in left_out.items()
        if format not in tried
    ]
