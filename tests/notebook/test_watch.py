"""`autodeploy watch`: what it shows is what the stream told, and the terminal is left as it was."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from windows import END, GOLDEN, events, series
from world import World

from autodeploy_magic import cli
from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.live import COLUMNS, Activity, Message, Point
from autodeploy_magic.notebook.watch.look import KEPT_S, Look
from autodeploy_magic.notebook.watch.run import watch
from autodeploy_magic.notebook.watch.screen import BLOCKS, drawn, row_text, spark_text
from autodeploy_magic.store import Store

MESSAGES = [msgspec.convert(message, Message) for message in GOLDEN["messages"]]


def looked(*kinds: str) -> Look:
    """A look that has taken the golden messages of these kinds, and five minutes of iris."""
    look = Look()
    for message in MESSAGES:
        if any(getattr(message, kind) is not None for kind in kinds or ("hello", "glances")):
            look.take(message)
    look.history(series("iris", KEPT_S, KEPT_S, gap=range(0)))
    return look


def screen(look: Look, name: str | None = None, width: int = 120, height: int = 30, **settings: object) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, **settings)  # type: ignore[arg-type]
    console.print(drawn(look, name, width, height, END))
    return file.getvalue()


def plain(look: Look, name: str | None = None, width: int = 120, height: int = 30) -> str:
    return screen(look, name, width, height, color_system=None)


# --- what is known


def test_a_look_is_put_together_from_the_messages() -> None:
    look = looked("hello", "glances", "activities", "event")
    assert look.lost == ""
    assert sorted(look.glances) == ["churn", "iris", "titanic"]
    assert [activity.title for activity in look.under_way()] == ["rollback iris"]
    assert [event.id for event in look.latest(5)] == [13]
    look.take(Message(gone=("titanic",)))
    assert "titanic" not in look.glances


def test_figures_are_of_the_last_seconds_and_unknown_where_nobody_measured() -> None:
    look = looked()
    now = look.now("iris", END)
    assert now.rate == pytest.approx(212, rel=0.2)
    assert now.memory_bytes is not None
    assert set(vars(look.now("titanic", END)).values()) == {None}
    assert look.now("iris", END + 3600).rate is None
    assert look.now("iris", END + 3600).errors is None


def test_errors_are_a_share_of_what_was_asked() -> None:
    look = Look()
    for t in range(END - 30, END):
        values = {"requests_per_s": 10.0, "failed_per_s": 1.0 if t == END - 5 else 0.0}
        look.point(Point(name="iris", t=t, v=tuple(values.get(column) for column in COLUMNS)))
    assert look.now("iris", END).errors == pytest.approx(1 / 290)


def test_a_later_point_of_a_second_replaces_the_earlier() -> None:
    look = Look()
    for rate in (1.0, 5.0):
        look.point(Point(name="iris", t=END - 3, v=(rate, *[None] * (len(COLUMNS) - 1))))
    assert look.spark("iris", "requests_per_s", 3, END) == [None, 5.0, None]
    look.history(series("iris", 60, 60, gap=range(0)))
    assert look.spark("iris", "requests_per_s", 3, END)[1] == 5.0  # what the stream told stays


def test_old_points_events_and_ended_activities_are_let_go() -> None:
    look = Look()
    for t in range(END - 2 * KEPT_S, END):
        look.point(Point(name="iris", t=t, v=(1.0, *[None] * (len(COLUMNS) - 1))))
    assert len(look._points["iris"]) == KEPT_S + 1
    look.take(Message(activity=Activity(id="1", name="iris", title="restart iris", state="done")))
    assert look.under_way()
    assert look.under_way(now_s=time.time() + 60) == []
    assert look.activities == {}


def test_what_was_known_is_not_shown_once_the_stream_is_lost() -> None:
    look = looked()
    look.lose("the supervisor has ended")
    text = plain(look)
    assert "the supervisor has ended" in text
    assert "iris" not in text
    assert "Nothing is started by looking" in text


# --- what is drawn


def test_all_deployments_with_their_figures() -> None:
    look = looked("hello", "glances", "activities", "event")
    text = plain(look, width=130)
    rows = [line for line in text.splitlines() if line.strip()[:1] in "●▲○✗◔" and len(line.split()) > 5]
    lines = {line.split()[1]: line for line in rows}
    assert "running" in lines["iris"]
    assert " /s" in lines["iris"]
    assert " ms" in lines["iris"]
    assert " MB" in lines["iris"]
    assert any(block in lines["iris"] for block in BLOCKS)
    assert lines["titanic"].split()[2:] == ["stopped", "v1", *["–"] * 6]
    assert "v11+12" in text  # churn's canary
    assert "churn: 0 of 1 workers serve" in text
    assert "rollback iris" in text
    assert "start…" in text
    assert "worker 5120 was ended by SIGKILL" in text


def test_states_have_signs_besides_colours_and_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    look = looked()
    assert "\x1b[" in screen(look)
    monkeypatch.setenv("NO_COLOR", "1")
    text = screen(look)
    colours = [code for code in ("[31", "[32", "[33", "[34", "[36", "[91") if code in text]
    assert colours == []
    assert "● iris" in text.replace("\x1b[0m", "").replace("\x1b[1m", "")


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 130, 200])
@pytest.mark.parametrize("height", [6, 10, 24])
@pytest.mark.parametrize("name", [None, "iris"])
def test_it_fits_the_terminal(width: int, height: int, name: str | None) -> None:
    look = looked("hello", "glances", "activities", "event")
    for event in events():
        look.event(event)
    lines = plain(look, name, width, height).rstrip("\n").split("\n")
    assert max(map(len, lines)) <= width
    if name is None:
        assert len(lines) <= max(height, 7)
        assert any("iris" in line for line in lines)


def test_where_there_are_more_than_fit_those_that_want_an_eye_are_shown() -> None:
    look = looked()
    glance = look.glances["titanic"]
    for i in range(40):
        name = f"a{i:02}"
        look.glances[name] = msgspec.structs.replace(glance, status=msgspec.structs.replace(glance.status, name=name))
    text = plain(look, height=16)
    assert "churn" in text
    assert "more; `autodeploy watch NAME`" in text
    assert len(text.rstrip("\n").split("\n")) <= 16


def test_one_deployment_in_full() -> None:
    text = plain(looked("hello", "glances", "event"), "iris")
    for word in ("2 of 2 workers", "requests", "p50", "p95", "p99", "waiting", "CPU", "memory", "highest"):
        assert word in text, word
    assert "churn" not in text
    assert "is not there any more" in plain(looked(), "gone")


def test_with_nothing_deployed_it_says_how_to_deploy() -> None:
    look = Look()
    look.take(Message(glances=()))
    assert "%%deploy NAME" in plain(look)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.0, 1.0], "▁█"),
        ([None, 4.0, None, 4.0], " █ █"),
        ([0.0, 0.0], "▁▁"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "▂▃▄▅▆▇█"),
        ([None, None], "  "),
        ([], ""),
    ],
)
def test_a_curve_of_blocks_tells_zero_from_unknown(values: Sequence[float | None], text: str) -> None:
    assert spark_text(values) == text


def test_a_line_for_pipes() -> None:
    look = looked()
    line = row_text(look, look.glances["iris"], END)
    assert line.startswith("● iris  v4  running  ")
    assert "p99" in line
    assert "\x1b" not in line
    assert row_text(look, look.glances["titanic"], END).count("–") == 6


# --- on a real supervisor


@pytest.fixture(scope="module")
def iris(world: World) -> Iterator[str]:
    world.serve(world.version("iris"), "iris")
    yield "iris"
    world.supervisor.remove("iris")


class Terminal:
    """A command in a terminal of its own, and what it has written there."""

    def __init__(self, *command: str, width: int = 100, height: int = 30) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(width, height, tell=False)
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # Ctrl-C reaches it, as a person's
        )
        self.text = ""

    def resize(self, width: int, height: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def reads(self, text: str, within_s: float = 30.0) -> bool:
        """Whether it comes to write that, from now on."""
        end, start = time.monotonic() + within_s, len(self.text)
        while text not in self.text[start:] and time.monotonic() < end:
            self._read(0.2)
        return text in self.text[start:]

    def ended(self, within_s: float = 15.0) -> int:
        """Its exit status."""
        end = time.monotonic() + within_s
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        self._read(0.1)
        return self.process.wait(0.1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def _read(self, seconds: float) -> None:
        if select.select([self.ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.text += os.read(self.ours, 65536).decode("utf-8", "replace")


@contextlib.contextmanager
def terminal(*command: str, **settings: int) -> Iterator[Terminal]:
    one = Terminal(*(command or WATCH), **settings)
    try:
        yield one
    finally:
        one.close()


WATCH = (sys.executable, "-m", "autodeploy_magic", "watch")
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@pytest.mark.parametrize("how", ["q", "ctrl-c", "sigterm"])
def test_it_ends_and_leaves_the_terminal_as_it_was(iris: str, how: str) -> None:
    with terminal() as one:
        assert one.reads(ENTER)
        assert one.reads("iris")
        if how == "sigterm":
            one.process.send_signal(signal.SIGTERM)
        else:
            one.press("q" if how == "q" else "\x03")
        assert one.ended() == (128 + signal.SIGTERM if how == "sigterm" else 0)
        assert one.text.rindex(LEAVE) > one.text.rindex(ENTER)
        assert one.text.rindex(SHOW) > one.text.rindex(HIDE)
        assert termios.tcgetattr(one.theirs) == one.before
        assert "Traceback" not in one.text


def test_it_is_live_and_follows_the_size_of_the_terminal(world: World, iris: str) -> None:
    with terminal(width=130) as one:
        assert one.reads("memory")
        one.resize(42, 12)
        assert one.reads("deployment")
        one.resize(130, 30)
        assert one.reads("memory")
        world.supervisor.stop(iris)
        assert one.reads("stopped")
        world.supervisor.start(iris, lambda progress: None)
        assert one.reads("running")
        one.press("q")
        assert one.ended() == 0


def test_ctrl_z_gives_the_terminal_back_and_fg_goes_on(iris: str) -> None:
    with terminal("bash", "--norc", "--noprofile", "-i") as one:
        one.press(f"{' '.join(WATCH)}; echo ended with $?\n")
        assert one.reads(ENTER)
        assert one.reads("iris")
        one.press("\x1a")
        assert one.reads("Stopped")
        assert one.text.rindex(LEAVE) > one.text.rindex(ENTER)
        one.press("fg\n")
        assert one.reads(ENTER)
        assert one.reads("iris")
        one.press("q")
        assert one.reads(LEAVE)
        one.press("exit\n")
        assert one.ended() == 0


def test_without_a_supervisor_it_waits_and_starts_none(home: Path) -> None:
    store = Store(home)
    with terminal() as one:
        assert one.reads("no supervisor runs")
        one.press("q")
        assert one.ended() == 0
    assert not store.supervisor_file.exists()
    with pytest.raises(SupervisorFailed, match="no supervisor runs"):
        watch(once=True)


def test_it_finds_a_supervisor_that_comes_later(home: Path) -> None:
    from autodeploy_magic.supervisor.client import connect

    store = Store(home)
    with terminal() as one:
        assert one.reads("no supervisor runs")
        supervisor = connect(store)
        try:
            assert one.reads("Nothing is deployed")
        finally:
            supervisor.shutdown(stop_deployments=True)
        assert one.reads("supervisor")
        one.press("q")
        assert one.ended() == 0


def test_in_a_pipe_it_writes_a_line_a_second(iris: str) -> None:
    with subprocess.Popen(WATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.stdout.close()  # as `| head -3` does
        assert process.wait(10) == 0
    assert all("● iris  v1  running" in line for line in lines)
    assert len({line.split()[0] for line in lines}) == 3


def test_one_look(iris: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", "--once"]) == 0
    assert capsys.readouterr().out.startswith("● iris  v1  running")
    assert cli.main(["watch", "iris", "--once", "--json"]) == 0
    assert '"framework": "sklearn"' in capsys.readouterr().out
    assert cli.main(["watch", "iriss"]) == 1
    assert "did you mean 'iris'" in capsys.readouterr().err
