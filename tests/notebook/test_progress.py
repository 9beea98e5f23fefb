"""Named steps, as a notebook, a terminal and a file show them."""

from __future__ import annotations

import io
from typing import Any

import pytest

from autodeploy_magic.contracts import Progress
from autodeploy_magic.notebook.html import element
from autodeploy_magic.notebook.progress import NotebookSteps, TerminalSteps, timed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def events() -> list[Progress]:
    return [
        Progress(step="capture", state="started"),
        Progress(step="capture", state="done", seconds=0.021, detail="4 columns"),
        Progress(step="export", state="skipped", detail="unchanged"),
        Progress(step="verify", state="started"),
    ]


def test_a_file_gets_one_line_a_finished_step_and_no_control_characters() -> None:
    stream = io.StringIO()
    steps = TerminalSteps(stream)
    for event in events():
        steps(event)
    steps.close()
    lines = stream.getvalue().splitlines()
    assert [line.split() for line in lines] == [
        ["✓", "capture", "21.0", "ms", "4", "columns"],
        ["–", "export", "–", "unchanged"],
    ]
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_a_terminal_shows_the_step_under_way_and_clears_it() -> None:
    stream = Terminal()
    steps = TerminalSteps(stream)
    for event in events():
        steps(event)
    assert stream.getvalue().endswith("· verify           …")
    steps.close()
    assert stream.getvalue().endswith("\r\x1b[K")


class Kept:
    """In the place of the cell's output: keeps what was shown."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []

    def show(self, bundle: dict[str, str]) -> None:
        self.bundles.append(bundle)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> tuple[NotebookSteps, Kept]:
    result, kept = NotebookSteps("deploy iris"), Kept()
    monkeypatch.setattr(result, "_output", kept)
    return result, kept


def test_a_notebook_shows_what_is_done_under_way_and_to_come(steps: tuple[NotebookSteps, Kept]) -> None:
    bar, kept = steps
    for event in events():
        bar(event)
    shown = kept.bundles[-1]["text/html"]
    assert len(kept.bundles) == 4
    assert 'role="status"' in shown
    assert 'aria-live="polite"' in shown
    assert 'role="progressbar"' in shown
    assert "verify…" in shown
    assert "○ package" in shown
    assert kept.bundles[-1]["text/plain"].splitlines()[0] == "✓ capture           21.0 ms  4 columns"


def test_what_a_saved_notebook_keeps_shows_an_interrupted_step_as_failed(steps: tuple[NotebookSteps, Kept]) -> None:
    bar, kept = steps
    for event in events():
        bar(event)
    bar.close()
    last = kept.bundles[-1]
    assert "✗ verify" in last["text/plain"]
    assert "○" not in last["text/html"]
    assert "progressbar" not in last["text/html"]
    assert 'spin"' not in last["text/html"]


def test_what_a_job_has_to_tell_stands_below_its_steps_once_it_is_over(steps: tuple[NotebookSteps, Kept]) -> None:
    bar, kept = steps
    for event in events():
        bar(event)
    bar.close(element("p", "v2 < v1"))
    assert "<p>v2 &lt; v1</p>" in kept.bundles[-1]["text/html"]
    assert "v2" not in kept.bundles[-2]["text/html"]


def test_timed_reports_success_and_failure() -> None:
    told: list[Any] = []
    with timed(told.append, "start") as step:
        step.detail = "1 worker"
    with pytest.raises(ValueError, match="no"), timed(told.append, "verify"):
        raise ValueError("no")
    assert [(event.step, event.state) for event in told] == [
        ("start", "started"),
        ("start", "done"),
        ("verify", "started"),
        ("verify", "failed"),
    ]
    assert told[1].detail == "1 worker"
    assert told[1].seconds == step.seconds > 0
