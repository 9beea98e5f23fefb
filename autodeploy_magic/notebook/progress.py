"""The named steps of a long job, as they happen: a display that updates in a notebook, lines in a terminal."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import Literal, Protocol, Self, TextIO

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.notebook.html import Markup, card, element, join
from autodeploy_magic.notebook.screen import Output, in_notebook
from autodeploy_magic.notebook.text import seconds_text

__all__ = ["STEPS", "NotebookSteps", "Quiet", "Steps", "TerminalSteps", "steps_of", "timed"]

STEPS = ("capture", "export", "verify", "package", "start", "first prediction")
"""The steps of a deploy, in order; a job that reports others shows them where they come."""


class Steps(Protocol):
    """Where a job's progress is shown. `close` is called once, whether the job finished or not.

    `news` is what a notebook shows below the steps then; a terminal shows it with the answer.
    """

    def __call__(self, event: Progress) -> None: ...

    def close(self, news: Markup | None = None) -> None: ...


class Quiet:
    """Shows nothing."""

    def __call__(self, event: Progress) -> None:
        pass

    def close(self, news: Markup | None = None) -> None:
        pass


class TerminalSteps:
    """A line for each step; on a terminal the step under way is shown and then overwritten."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._open = False

    def __call__(self, event: Progress) -> None:
        line = f"{_MARKS[event.state]} {event.step:<17}"
        if event.lines and event.state != "started":
            return  # what was said at the end of a step that has been told
        if event.state == "started":
            if self._live:
                room = shutil.get_terminal_size().columns - 1
                said = event.lines[-1] if event.lines else event.detail
                self._write(f"\r\x1b[K{f'{line}… {said}'.rstrip()[:room]}")
                self._open = True
            return
        time_text = seconds_text(event.seconds) if event.state != "skipped" else "–"
        line = f"{line}{time_text:>8}  {event.detail}".rstrip()
        self._write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        self._open = False

    def close(self, news: Markup | None = None) -> None:
        if self._open:
            self._write("\r\x1b[K")
            self._open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class NotebookSteps:
    """One output of the cell, updated in place; what a saved notebook keeps is the last of it.

    `hint` says what a person can do about it while it is under way.

    Events may come from another thread: the display is addressed by its id, never by "the current cell".
    """

    def __init__(self, title: str, hint: str = "") -> None:
        self._title = title
        self._hint = hint
        self._events: dict[str, Progress] = {}
        self._output = Output()
        self._lock = threading.Lock()
        self._closed = False
        self._news = Markup()

    def __call__(self, event: Progress) -> None:
        with self._lock:
            self._events[event.step] = event
            self._show()

    def close(self, news: Markup | None = None) -> None:
        with self._lock:
            self._closed = True
            self._news = news or Markup()
            if self._events:
                self._show()

    def text(self) -> str:
        """The steps so far, for a reader without HTML."""
        lines = [
            f"{_MARKS[self._state(event)]} {step:<17}{_time(event):>8}  {event.detail}".rstrip()
            for step, event in self._events.items()
        ]
        return "\n".join(lines)

    def html(self) -> Markup:
        """The steps so far, and those to come."""
        planned = STEPS if not self._events or next(iter(self._events)) in STEPS else ()  # those of a deploy
        known = [*planned, *(step for step in self._events if step not in planned)]
        total = sum(event.seconds for event in self._events.values())
        if self._closed:
            known = [step for step in known if step in self._events]
        items = join(self._item(step) for step in known)
        head = element("b", self._title)
        state = element("span", seconds_text(total), class_="time") if self._closed else ""
        state = state or (element("span", self._hint, class_="mut") if self._hint else "")
        body = element("div", element("div", head, state, class_="row"), element("ol", items))
        told = element("div", body, role="status", aria_live="polite")
        return card("" if self._closed else self._bar(known), told, self._news, label=f"{self._title}: progress")

    def _bar(self, steps: list[str]) -> Markup:
        done = sum(step in self._events and self._events[step].state != "started" for step in steps)
        filled = element("i", style=f"width:{100 * done / len(steps):.0f}%")
        return element(
            "div", filled, class_="bar", role="progressbar", aria_valuenow=str(done), aria_valuemax=str(len(steps))
        )

    def _item(self, step: str) -> Markup:
        event = self._events.get(step)
        if event is None:
            return element("li", f"○ {step}", class_="mut")
        state = self._state(event)
        if state == "started":
            said = event.lines[-1] if event.lines else event.detail
            return element("li", element("span", class_="spin"), f" {step}… {said}".rstrip())
        mark = element("span", _MARKS[state], class_={"done": "ok", "failed": "bad"}.get(state, "mut"))
        told = element("span", f" {_time(event)}", class_="time")
        item = join([mark, f" {step}", told])
        return element("li", item, **({"title": event.detail} if event.detail else {}))

    def _state(self, event: Progress) -> str:
        # A step that was under way when the job ended did not finish: its own report never came.
        return "failed" if self._closed and event.state == "started" else event.state

    def _show(self) -> None:
        self._output.show({"text/plain": self.text(), "text/html": str(self.html())})


_MARKS = {"started": "·", "done": "✓", "failed": "✗", "skipped": "–"}


def steps_of(title: str, *, quiet: bool = False, hint: str = "") -> Steps:
    """Return the right place for progress: nothing, the notebook, or the terminal.

    A notebook shows `hint` while the job is under way.
    """
    return Quiet() if quiet else NotebookSteps(title, hint) if in_notebook() else TerminalSteps()


class timed:  # noqa: N801  # reads as the statement it is: `with timed(report, "start"):`
    """Report a step as started, and as done or failed with the seconds it took. `detail` may be set inside."""

    def __init__(self, report: Report, step: str) -> None:
        self._report = report
        self._step = step
        self.detail = ""
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._report(Progress(step=self._step, state="started"))
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        state: Literal["done", "failed"] = "done" if kind is None else "failed"
        self._report(Progress(step=self._step, state=state, seconds=self.seconds, detail=self.detail))


def _time(event: Progress) -> str:
    return "" if event.state in ("started", "skipped") else seconds_text(event.seconds)
