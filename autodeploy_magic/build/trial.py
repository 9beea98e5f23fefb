"""Which formats are tried, and in which order: a clean process costs more than all the rest of a build.

first()   what is written at once: the model's formats, without those that earlier versions settled; the live object's
          own only where there are no others
rest()    all of them replayed, then what that asks for: the exact form of a format that differed, the live object
          where it is not clearly slower, a fallback where no format of its kind could serve
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from autodeploy_magic.build.capture import Captured, files_of
from autodeploy_magic.build.memory import available_bytes
from autodeploy_magic.build.speed import slower_live
from autodeploy_magic.build.stage import write_folder
from autodeploy_magic.build.verify import Verdict, replay, replay_by_providers
from autodeploy_magic.contracts import Candidate, CleanRunner
from autodeploy_magic.errors import AutodeployError, ExportFailed
from autodeploy_magic.formats import format_of

__all__ = ["Trial"]

_EXPORT_MEMORY = 4
"""How many times its size a model may need while it is written as ONNX: its arrays, the graph, the graph's bytes."""


class Trial:
    """The formats of one model, written into `folder` and replayed by `runner`.

    `left_out` are formats that need no replay, with the reason (`build.history`).
    """

    def __init__(
        self, captured: Captured, number: int, folder: Path, runner: CleanRunner, left_out: Mapping[str, str]
    ) -> None:
        self._captured = captured
        self._number = number
        self._folder = folder
        self._runner = runner
        self._left_out = left_out

    def first(self) -> list[Verdict]:
        """Write what is tried at once: the exact form in place of one that is known to differ, and no fallback."""
        exact, fallback = self._captured.exporter.exact, self._captured.exporter.fallback
        tried = [f for f in self._captured.formats if f not in self._left_out or f in exact]
        alone = all(f in fallback for f in tried)
        formats = [exact.get(f, f) if f in self._left_out else f for f in tried if alone or f not in fallback]
        # The live object's own may take long to write, and are seldom replayed: they wait.
        return self._written([f for f in formats if not format_of(f).live] or formats)

    def rest(self, exported: list[Verdict]) -> list[Verdict]:
        """Replay what was `exported`, and what is tried because of that; one row for each format."""
        live = [item for item in exported if format_of(item.candidate.format).live]
        verdicts = self._replayed([item for item in exported if item not in live])
        verdicts += self._tried(self._exact_forms(verdicts))
        verdicts += self._by_providers(verdicts)
        if any(format_of(f).live for f in self._captured.formats if f not in self._left_out):
            verdicts += slower_live(self._captured, live, verdicts) or self._live(live or self._live_formats())
        if not any(verdict.candidate.passed for verdict in verdicts):
            verdicts += self._tried(f for f in self._captured.formats if f in self._left_out and format_of(f).live)
        tried = {verdict.candidate.format for verdict in verdicts}
        for format, reason in self._left_out.items():
            again = format_of(format).live and format != "native"
            if format not in tried and not (again and "native" in self._left_out):  # the live object has one row
                verdicts.append(Verdict(Candidate(format=format, passed=False, reason=reason)))
        return verdicts

    def _live(self, live: list[Verdict]) -> list[Verdict]:
        verdicts = self._replayed(live)
        if any(verdict.candidate.passed for verdict in verdicts):
            return verdicts
        tried = {verdict.candidate.format for verdict in verdicts}
        fallback = self._captured.exporter.fallback
        return verdicts + self._tried(
            f for f in self._captured.formats if f in fallback and f not in tried and f not in self._left_out
        )

    def _live_formats(self) -> list[Verdict]:
        """Those that the live object itself is kept in, written now."""
        fallback = self._captured.exporter.fallback
        formats = [f for f in self._captured.formats if format_of(f).live and f not in self._left_out]
        return self._written([f for f in formats if f not in fallback] or formats)

    def _by_providers(self, verdicts: list[Verdict]) -> list[Verdict]:
        """What passed by the CPU, by each of the machine's other execution providers."""
        found = []
        for verdict in verdicts:
            if verdict.candidate.passed and verdict.seen.get("providers"):
                write_folder(self._captured, self._number, [verdict.candidate.format], self._folder)
                found += replay_by_providers(self._captured, verdict, self._folder, self._runner)
        return found

    def _exact_forms(self, verdicts: list[Verdict]) -> list[str]:
        exact = self._captured.exporter.exact
        return [
            exact[verdict.candidate.format]
            for verdict in verdicts
            if verdict.candidate.format in exact and verdict.comparison is not None and not verdict.candidate.passed
        ]

    def _tried(self, formats: Iterable[str]) -> list[Verdict]:
        return self._replayed(self._written(formats))

    def _written(self, formats: Iterable[str]) -> list[Verdict]:
        """Write the model in each format; one that cannot be written is a row that did not pass."""
        return [self._write(format) for format in formats]

    def _write(self, format: str) -> Verdict:
        captured = self._captured
        path = self._folder / format_of(format).place
        failure: AutodeployError | None = None
        if format == "native":
            failure = captured.native_failure
        elif captured.native and captured.native.size_bytes * _EXPORT_MEMORY > available_bytes():
            failure = ExportFailed("not exported", why="writing it as ONNX would need more memory than is free")
        elif not path.exists():
            try:
                captured.exporter.write(captured.request.model, format, path, captured.fed, captured.sample.signature)
            except ExportFailed as error:
                failure = error
                _remove(path)
        if failure is None:
            size_bytes = sum(file.stat().st_size for file in files_of(path))
            return Verdict(Candidate(format=format, passed=True, reason="", size_bytes=size_bytes))
        reason = f"not exported ({failure.why or failure.what})"
        return Verdict(Candidate(format=format, passed=False, reason=reason))

    def _replayed(self, exported: list[Verdict]) -> list[Verdict]:
        """Replay what could be written; what could not stays in the table with its reason."""
        written = [(item.candidate.format, item.candidate.size_bytes) for item in exported if item.candidate.passed]
        if not written:
            return exported
        write_folder(self._captured, self._number, [format for format, _ in written], self._folder)
        found = replay(self._captured, written, self._folder, self._runner)
        replayed = {verdict.candidate.format: verdict for verdict in found}
        return [replayed.get(item.candidate.format, item) for item in exported]


def _remove(path: Path) -> None:
    """Remove what an export that failed left half-way."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
