"""build(): capture → export → verify → package, in order. Nothing of a deployment changes before the last line.

draft() stops before the last step: what it lays out can be loaded, measured, and packaged later, or thrown away.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autodeploy_magic.build.capture import Captured, capture
from autodeploy_magic.build.history import not_again
from autodeploy_magic.build.metric import metric_words
from autodeploy_magic.build.package import package
from autodeploy_magic.build.request import BuildRequest
from autodeploy_magic.build.sign import check_keys, signed_by
from autodeploy_magic.build.stage import describe_version, stage
from autodeploy_magic.build.trial import Trial
from autodeploy_magic.build.verify import Verdict, choose
from autodeploy_magic.contracts import Candidate, CleanRunner, Progress, Report, Version
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.store import Store, check_name

__all__ = ["BuildRequest", "Built", "build", "draft"]


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
        check_keys()
        with steps("capture"):
            captured = capture(request, staging)
            known = _known(store, name, captured)
        if known is not None:
            steps.skip(("export", "verify", "package"), f"unchanged: this is version {known.number}")
            return Built(known, False, store.version_folder(name, known.number) / "answers.json", dry_run)
        number = store.next_number(name)
        version, winner = _verified(captured, number, staging, runner, not_again(captured, store.versions(name)), steps)
        if dry_run:
            steps.skip(("package",), "dry run")
            return Built(version, True, None, dry_run)
        with steps("package"):
            version = package(stage(captured, version, winner, staging), staging, store, runner)
        return Built(version, True, store.version_folder(name, number) / "answers.json")


def draft(request: BuildRequest, folder: Path, runner: CleanRunner, report: Report) -> Version:
    """Lay out a verified version of `request.name` in `folder`: `model`, which a worker can load, and `record`.

    It has no number yet; `build.package` makes a version of it. Raises as `build` does.
    """
    steps = _Steps(report)
    with disk_full(folder):
        with steps("capture"):
            captured = capture(request, folder)
        version, winner = _verified(captured, 0, folder, runner, {}, steps)
        return stage(captured, version, winner, folder)


def _verified(
    captured: Captured, number: int, folder: Path, runner: CleanRunner, left_out: Mapping[str, str], steps: _Steps
) -> tuple[Version, Verdict]:
    """The record of the version that would be made, and the format that was chosen for it."""
    trial = Trial(captured, number, folder, runner, left_out)
    with steps("export"):
        exported = trial.first()
    with steps("verify"):
        verdicts = trial.rest(exported)
        winner, reason = choose(captured, verdicts)
        reason += metric_words(captured, winner)
        return describe_version(captured, number, verdicts, winner, reason, folder), winner


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
    if (
        version is None
        or version.signed_by != signed_by()
        or not (store.folder(name) / version.model_path / "version.json").is_file()
    ):
        return None
    return version
