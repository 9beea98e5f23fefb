"""What `containerize` and `ship` answer, as a person reads it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodeploy_magic.notebook.html import Markup, card, details, element, facts, join, table
from autodeploy_magic.notebook.text import grid, seconds_text, size_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.shipping import Cancelled, Image, Shipped

__all__ = ["ShownCancelled", "ShownImage", "ShownShipped", "ShownTargets"]


@dataclass(frozen=True)
class ShownImage(View):
    """An image that `containerize` built. `record` has what is known of it."""

    record: Image

    @property
    def image(self) -> str:
        return self.record.name

    def text(self) -> str:
        lines = [self._title(), *(f"  {word:<10}{value}" for word, value in self._facts())]
        return "\n".join(
            [
                *lines,
                *(f"  note: {note}" for note in self.record.notes),
                "run it:",
                *(f"  {line}" for line in self.record.run),
            ]
        )

    def html(self) -> Markup:
        rows = [(word, value) for word, value in self._facts()]
        notes = [element("p", note, class_="mut") for note in self.record.notes]
        run = element("pre", "\n".join(self.record.run))
        title = element("b", self._title())
        return card(title, facts(*rows), *notes, details("Run it", run), label=f"image of {self.record.deployment}")

    def _title(self) -> str:
        how = f"with {self.record.engine}" if self.record.engine else "without an engine"
        return f"{self.record.name} is built {how}, and proved"

    def _facts(self) -> list[tuple[str, str]]:
        record = self.record
        where = "in the image" if record.checked == "started" else "its files, outside the image"
        found = [("flavour", record.flavour), ("base", record.base)]
        found += [("archive", record.archive)] if record.archive else []
        found += [("size", f"{size_text(record.size_bytes)}, {size_text(record.added_bytes)} of it on the base")]
        found += [("digest", record.digest)] if record.digest else []
        found += [("proved", f"{record.rows} rows answered as verified ({where})")]
        found += [("ready", f"after {seconds_text(record.ready_s)}, with {size_text(record.rss_bytes)} of memory")]
        return [*found, ("built in", seconds_text(record.build_s))]


@dataclass(frozen=True)
class ShownShipped(View):
    """What `ship` did. `record` has its files, its notes and what comes next."""

    record: Shipped

    @property
    def folder(self) -> str:
        """Where the files are; "" for a target that writes none."""
        return self.record.folder

    def text(self) -> str:
        record = self.record
        lines = [self._title(), *(f"  {file}" for file in record.files), *(f"note: {note}" for note in record.notes)]
        return "\n".join([*lines, *(["next:"] if record.next else []), *(f"  {step}" for step in record.next)])

    def html(self) -> Markup:
        record = self.record
        files = details(f"{len(record.files)} files", element("pre", "\n".join(record.files))) if record.files else ""
        notes = [element("p", note, class_="mut") for note in record.notes]
        then = join([element("p", "Next:"), element("pre", "\n".join(record.next))]) if record.next else ""
        return card(element("b", self._title()), files, *notes, then, label=f"{record.deployment}: {record.target}")

    def _title(self) -> str:
        record = self.record
        what = f"v{record.version} of {record.deployment}"
        if record.url:
            return f"{what} serves at {record.url} ({record.target})"
        return f"{what} for {record.target} is in {record.folder}"


@dataclass(frozen=True)
class ShownCancelled(View):
    """What `--cancel` ended. `record` says what it was, and how long it had gone on."""

    record: Cancelled

    def text(self) -> str:
        return f"{self.record.title} was cancelled after {seconds_text(self.record.after_s)}; nothing is left of it"

    def html(self) -> Markup:
        return card(element("p", self.text()), label=f"{self.record.title}: cancelled")


@dataclass(frozen=True)
class ShownTargets(View):
    """Where a version can go: the targets, each with what it writes and its options."""

    name: str
    targets: Mapping[str, Any]

    def text(self) -> str:
        return grid(("target", "what it writes", "options (--set)"), self._rows())

    def html(self) -> Markup:
        return card(table(("target", "what it writes", "options (--set)"), self._rows()), label="targets of ship")

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (
                name,
                (inspect.getdoc(target) or "").split("\n", maxsplit=1)[0],
                ", ".join(f"{choice.name}={choice.default}" for choice in target.choices),
            )
            for name, target in self.targets.items()
        ]
