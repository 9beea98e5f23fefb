"""Second by second: what came is taken in, and the figures are made anew every few seconds in which something came.

What costs most is done least: slices are looked for, and the file is counted, once in a while only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from autodeploy_magic.contracts import Version
from autodeploy_magic.health import Quality, Slice
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.quality import counted
from autodeploy_magic.operate.quality.expected import Calibration, calibrated
from autodeploy_magic.operate.quality.gathered import VERSIONS, Gathered
from autodeploy_magic.operate.quality.rows import Rows
from autodeploy_magic.operate.quality.slices import worst_slices
from autodeploy_magic.operate.quality.window import WINDOW, Window

__all__ = ["Tracker", "class_count"]

FIGURES_S = 5
"""How often figures are made anew at most."""
SLICES_S = 60
"""How often slices are looked for, confidences put right, and labels without an answer counted."""
BURST = 500
"""Labels of one moment from which on there may have been more (see `Reader.news`): the file is read again."""
ANSWERED_S = 600
"""How often the recorded rows are counted in the file; what comes between is added."""


class Tracker:
    """Follows the quality of a deployment. All of it in one thread.

    It knows what the file knew when it was first asked, so a supervisor that starts again tells what the last one did.
    """

    def __init__(self, name: str, file: Path) -> None:
        self._name = name
        self._file = file
        self._version: Version | None = None
        self._kind: tuple[Any, ...] = ()
        self._known: frozenset[str] = frozenset()
        self._gathered: Gathered | None = None
        self._quality: Quality | None = None
        self._slices: tuple[Slice, ...] = ()
        self._calibrations: dict[int, Calibration | None] = {}
        self._unmatched = 0
        self._news = self._unsliced = self._burst = False
        self._made_s = self._sliced_s = self._counted_s = -math.inf

    def see(self, moment: Moment) -> Quality | None:
        """Take in what came since the last moment, and return how right the deployment answers; None where nothing is
        recorded yet. Raises `sqlite3.Error` where the file cannot be read; it is read the next time.
        """
        gathered = self._gathered
        if gathered is None or moment.version is not self._version:
            gathered = self._begin(moment)
        self._burst |= len(moment.labelled) >= BURST
        for labelled in moment.labelled:
            gathered.label(labelled)
            self._news = self._unsliced = True
        for recorded in moment.recorded:
            self._news |= gathered.record(recorded)
        # The clock may have been set back.
        slicing = self._unsliced and abs(moment.t - self._sliced_s) >= SLICES_S
        if (self._news and abs(moment.t - self._made_s) >= FIGURES_S) or slicing:
            if self._burst:
                gathered = self._gathered = Gathered(self._file, moment.version)
                self._burst = False
            self._quality = self._tell(gathered, moment.t, slicing)
            self._made_s, self._news = moment.t, False
        return self._quality

    def close(self) -> None:
        """Let go of what it holds."""
        self._gathered = self._version = self._quality = None

    def _begin(self, moment: Moment) -> Gathered:
        """Take another version as the champion; where that answers otherwise, begin with what is on file."""
        version, gathered = moment.version, self._gathered
        if gathered is None or self._kind != (version.task, version.outputs):
            gathered = Gathered(self._file, version)
            self._kind = version.task, version.outputs
            self._slices, self._calibrations, self._quality = (), {}, None
            self._made_s = self._sliced_s = -math.inf
            self._counted_s = moment.t
            self._news, self._unsliced = True, len(gathered.whole) > 0
        answers = (gathered.pairs.answer(value) for value in moment.reference().outputs.get("predictions", ())[:WINDOW])
        self._known = frozenset(answer for answer in answers if answer is not None)
        self._gathered, self._version = gathered, version
        return gathered

    def _tell(self, gathered: Gathered, t: int, slicing: bool) -> Quality | None:
        if abs(t - self._counted_s) >= ANSWERED_S:
            gathered.recount(self._file)
            self._counted_s = t
        if not len(gathered.whole) and not any(gathered.answered.values()):
            return None
        rows = gathered.whole.rows(self._known)
        positive = (rows or Rows.none()).positive(
            self._known | set(gathered.expected.classes), class_count(self._version)
        )
        if slicing:
            self._sliced_s, self._unsliced = t, False
            self._unmatched = counted.unmatched(self._file)
            columns = gathered.columns
            self._slices = () if rows is None or columns is None else worst_slices(rows, columns, positive)
            self._calibrations = {0: _calibration(rows)}
        whole = self._of(gathered, gathered.whole, rows, positive)
        return replace(
            whole,
            unmatched=self._unmatched,
            slices=self._slices,
            versions=tuple(self._versions(gathered, whole, positive, slicing=slicing)),
        )

    def _versions(
        self, gathered: Gathered, whole: Quality, positive: str | None, *, slicing: bool
    ) -> Iterator[Quality]:
        """The champion and the newest others of which anything is recorded."""
        champion = self._version.number if self._version else 0
        numbers = sorted({number for number, rows in gathered.answered.items() if rows} | set(gathered.versions))
        if len(numbers) == 1:
            yield replace(whole, version=numbers[0])
            return
        others = [number for number in numbers if number != champion][1 - VERSIONS :]
        for number in sorted({*others, champion} & set(numbers)):
            window = gathered.versions.get(number) or Window(0)
            rows = window.rows(self._known)
            if slicing:
                self._calibrations[number] = _calibration(rows)
            yield self._of(gathered, window, rows, positive, number)

    def _of(
        self, gathered: Gathered, window: Window, rows: Rows | None, positive: str | None, version: int = 0
    ) -> Quality:
        # A version's own labels say more of its confidences than those of another.
        calibration = self._calibrations.get(version) or self._calibrations.get(0)
        return Quality(
            name=self._name,
            version=version,
            task=self._version.task if self._version else "",
            labels=len(window),
            answered=gathered.answered.get(version, 0) if version else sum(gathered.answered.values()),
            late=window.late,
            changed=window.changed,
            window=WINDOW,
            figures=() if rows is None else rows.figures(positive),
            estimated=gathered.expected.figures(calibration, positive, version),
            confusion=None if rows is None else rows.confusion(),
        )


def class_count(version: Version | None) -> int | None:
    """How many classes a model has, where its probabilities tell."""
    for output in version.outputs if version is not None else ():
        if output.name == "probabilities" and len(output.shape) == 1 and output.shape[0] > 1:
            return output.shape[0]
    return None


def _calibration(rows: Rows | None) -> Calibration | None:
    if rows is None or rows.kind == "numbers":
        return None
    return calibrated(rows.confidence, 1.0 - rows.loss)
