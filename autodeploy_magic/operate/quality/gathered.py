"""What came for one deployment, as far as quality needs it: labelled rows of all versions and of each, confidences."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from autodeploy_magic.contracts import Version
from autodeploy_magic.operate.quality import counted
from autodeploy_magic.operate.quality.columns import Columns
from autodeploy_magic.operate.quality.expected import Expected
from autodeploy_magic.operate.quality.pairs import Pairs
from autodeploy_magic.operate.quality.window import WINDOW, Window
from autodeploy_magic.reservoir import Labelled, Recorded, recent, recent_labelled

__all__ = ["VERSIONS", "Gathered"]

VERSIONS = 4
"""Versions that have a window of their own: those that were labelled last."""


class Gathered:
    """Begins with what is on file: `whole` is the window of all versions, `versions` has that of each.

    `answered` counts the recorded rows of each version. Raises `sqlite3.Error` where the file cannot be read.
    """

    def __init__(self, file: Path, version: Version) -> None:
        self.pairs = Pairs(version)
        self.whole = Window(columns=Columns(WINDOW))
        self.columns = self.whole.columns
        self.versions: OrderedDict[int, Window] = OrderedDict()
        self.expected = Expected(self.pairs)
        labels = recent_labelled(file, version.signature, 2 * WINDOW)
        for i in range(len(labels) - 1, -1, -1):  # the oldest first
            labelled = labels[i]
            pair = self.pairs.of(labelled.prediction, labelled.label)
            self.version(labelled.version).add(labelled, pair)
            if i < WINDOW:
                self.whole.add(labelled, pair)
        self._known = {recorded.id for recorded in recent(file, WINDOW) if self._expect(recorded)}
        self.answered = counted.answered(file)

    def label(self, labelled: Labelled) -> None:
        """Take a label in; the newest of a row counts."""
        pair = self.pairs.of(labelled.prediction, labelled.label)
        self.whole.add(labelled, pair)
        self.version(labelled.version).add(labelled, pair)

    def record(self, recorded: Recorded) -> bool:
        """Take a request in; whether it was an answered one that is new."""
        if recorded.id in self._known or not self._expect(recorded):
            return False
        self.answered[recorded.version] = self.answered.get(recorded.version, 0) + len(recorded.kept)
        return True

    def recount(self, file: Path) -> None:
        """Count the recorded rows anew, since old ones are deleted. Raises `sqlite3.Error`."""
        self.answered = counted.answered(file)
        self._known = set()

    def version(self, number: int) -> Window:
        """The window of one version, which is made where it has none; then the one longest without a label goes."""
        window = self.versions.get(number)
        if window is None:
            window = self.versions[number] = Window()
            if len(self.versions) > VERSIONS:
                self.versions.popitem(last=False)
        elif next(reversed(self.versions)) != number:
            self.versions.move_to_end(number)
        return window

    def _expect(self, recorded: Recorded) -> bool:
        if recorded.status >= 400:
            return False
        self.expected.add(recorded)
        return True
