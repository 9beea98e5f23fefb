"""What a drill showed; and a recorded request, as the model takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Drill
from autodeploy_magic.notebook.html import Markup, card, element
from autodeploy_magic.notebook.views import View

if TYPE_CHECKING:
    from autodeploy_magic.reservoir import Recorded

__all__ = ["Repro", "Sent", "ShownDrill", "not_recorded", "sent"]


@dataclass(frozen=True)
class ShownDrill(View):
    """A drill that is over: how long until it was seen and put right, and what was lost. `record` has the numbers."""

    record: Drill

    def text(self) -> str:
        return "\n".join([f"{self.record.name}: {self.record.text}", *self._lines()])

    def html(self) -> Markup:
        title = element("div", self.record.name, element("b", f" {self.record.text}"))
        return card(title, *(element("div", line) for line in self._lines()), label=f"drill of {self.record.name}")

    def _lines(self) -> list[str]:
        seen = [f"  seen: {text}" for text in self.record.alerts]
        return seen + [f"  {'' if text.startswith('not done') else 'done: '}{text}" for text in self.record.actions]


@dataclass(frozen=True)
class Sent:
    """A request that was recorded. `inputs` are its rows as the model takes them, None where they were not kept.

    `hidden` are columns that were dropped or hashed: where there are any, `inputs` are JSON values, as they are kept.
    `answer` is what was answered, by name; `error` what failed, "" where nothing did; `body` what was sent, as it was,
    of a request that failed.
    """

    id: str
    version: int
    status: int
    inputs: Any
    answer: dict[str, Any]
    error: str
    body: str
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repro(View):
    """The code of a cell that sends an incident's request through the live object."""

    code: str

    def text(self) -> str:
        return self.code

    def html(self) -> Markup:
        return element("pre", self.code)


def sent(version: Version, recorded: Recorded) -> Sent:
    """The request in the containers of the version that answered it."""
    from autodeploy_magic.reservoir import hidden_columns
    from autodeploy_magic.wire import decode, to_container

    inputs = recorded.inputs
    hidden = hidden_columns(version.signature, inputs)
    if inputs is not None and not hidden:
        inputs = to_container(decode(version.signature, recorded.inputs))
    return Sent(
        recorded.id,
        recorded.version,
        recorded.status,
        inputs,
        dict(recorded.outputs),
        recorded.error,
        recorded.body,
        hidden,
    )


def not_recorded(name: str, request: str) -> InvalidOption:
    """Nobody recorded it."""
    return InvalidOption(
        f"{name} has no record of the request {request!r}",
        why="a sample of each second's requests is recorded, those that failed first, and kept for some weeks",
        fix="`record_requests` sets how many; `%deploy data NAME` shows what is recorded",
    )
