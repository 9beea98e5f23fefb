"""How requests get in: the token, shown only where that is asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from autodeploy_magic.calling.snippets import shell_path, tilde
from autodeploy_magic.notebook.html import Markup, card, element, facts
from autodeploy_magic.notebook.text import OPEN_TEXT, seconds_text
from autodeploy_magic.notebook.views import View

__all__ = ["Access", "Token"]

_SHOWN = 4


class Token(str):
    """A token, as any text; but as the value of a cell it is masked, since a notebook is saved and shared."""

    __slots__ = ()

    @property
    def masked(self) -> str:
        return f"{self[:_SHOWN]}…"

    def __repr__(self) -> str:
        return f"<token {self.masked}; print() writes it>"


@dataclass(frozen=True)
class Access(View):
    """How requests get in. `token` is "" unless it was asked for; `older` are the ends of those still good."""

    name: str
    auth: bool
    file: Path
    masked: str
    token: str = ""
    rotated: bool = False
    older: tuple[float, ...] = ()

    def text(self) -> str:
        return "\n".join([self.summary, *(f"  {word:<9}{text}" for word, text in self._facts())])

    def html(self) -> Markup:
        tone = "" if self.auth else "warn"
        rows = [(word, element("code", text) if word in ("header", "file") else text) for word, text in self._facts()]
        return card(element("b", self.summary, class_=tone), facts(*rows), label=f"token of {self.name}")

    @property
    def summary(self) -> str:
        """What matters, in one line."""
        if not self.auth:
            return f"{self.name} is {OPEN_TEXT}"
        if not self.rotated:
            return f"{self.name} asks for a bearer token"
        if not self.older:
            return f"{self.name} has a new token; the old one is refused by all workers within a second"
        return (
            f"{self.name} has a new token; the old one is good for {seconds_text(max(self.older) - time.time())} more"
        )

    def _facts(self) -> list[tuple[str, str]]:
        if not self.auth:
            return [("close it", f"%%deploy {self.name} --auth …")]
        lines = [
            ("token", self.token or f"{self.masked} (the whole of it: %deploy token {self.name} --show)"),
            ("file", tilde(self.file)),
            ("header", f"Authorization: Bearer $(cat {shell_path(self.file)})"),
        ]
        if self.older and not self.rotated:
            ends = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(max(self.older)))
            lines.append(("older", f"{len(self.older)} before it still good, the last until {ends}"))
        return lines
