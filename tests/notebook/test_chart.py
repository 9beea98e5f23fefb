"""Charts on paper: what is drawn is where it was measured, and the person's own matplotlib is left alone."""

from __future__ import annotations

import html.parser
import io
import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from windows import END, events, nothing, series

from autodeploy_magic.live import COLUMNS, Event, Series
from autodeploy_magic.notebook.chart import Box, Drawing, Label, Window, panels
from autodeploy_magic.notebook.chart.area import Area, Curve
from autodeploy_magic.notebook.chart.ink import Disc, Fill, Line
from autodeploy_magic.notebook.chart.paint import pdf, png, width
from autodeploy_magic.notebook.chart.palette import SEVERITIES, STATES
from autodeploy_magic.notebook.chart.scale import linear, logarithmic, times
from autodeploy_magic.notebook.chart.svg import svg
from autodeploy_magic.notebook.events import line, short

BOX = Box(0, 0, 520, 200)
CURVE = Curve("rate", "requests_per_s", "#123456")


def small(*values: float | None) -> Window:
    """A window of one column, a point a second."""
    found = tuple(tuple(values) if column == "requests_per_s" else (None,) * len(values) for column in COLUMNS)
    return Window.of(Series(name="iris", start_s=100.0, step_s=1.0, columns=COLUMNS, values=found))


def drawn(window: Window) -> Drawing:
    drawing = Drawing(520, 200)
    area = Area(drawing, BOX, times(window.start_s, window.end_s), linear(10.0, str, least=1.0))
    area.curves(window, (CURVE,))
    return drawing


def labels(drawing: Drawing) -> list[str]:
    return [ink.text for ink in drawing.inks if isinstance(ink, Label)]


# --- reading a series


def test_a_window_is_read_by_its_columns() -> None:
    window = small(1.0, None, 4.0, None)
    assert (window.points, window.end_s, window.time(0)) == (4, 104.0, 100.5)
    assert window.last("requests_per_s") == 4.0
    assert window.most("requests_per_s") == 4.0
    assert window.least("requests_per_s") == 1.0
    assert window.mean("requests_per_s") == 2.5
    assert window.most("p50_s") is None
    assert window.mean("p50_s") is None
    assert window["no such column"] == ()


def test_it_knows_whether_anything_was_measured_and_answered() -> None:
    assert not Window.of(nothing()).measured
    assert small(0.0).measured
    assert not small(0.0).answered
    assert small(None, 2.0).answered


def test_it_begins_where_something_was_measured_and_is_never_too_short() -> None:
    window = small(*[None] * 200, *[1.0] * 100)
    assert window.since_measured(60).points == 100
    assert window.since_measured(150).points == 150
    assert window.since_measured(60).start_s == 300.0
    assert window.since_measured(999).points == 300
    assert Window.of(nothing()).since_measured() == Window.of(nothing())


# --- scales


def test_a_linear_scale_ends_at_a_round_number_above_the_highest() -> None:
    scale = linear(212.0, "{:g}".format, least=1.0)
    assert [text for _, text in scale.ticks] == ["0", "100", "200", "300"]
    assert scale(0) == 0
    assert scale(300) == 1
    assert linear(None, str, least=2.0).high >= 2


@pytest.mark.parametrize("values", [[0.002, 0.003], [0.0001, 3.0], [1e-6, 50.0], [0.001]])
def test_a_logarithmic_scale_holds_its_values_and_has_ticks(values: list[float]) -> None:
    scale = logarithmic(values, str)
    assert scale.low < min(values) <= max(values) < scale.high
    assert scale.high / scale.low >= 5.99
    assert 2 <= len(scale.ticks) <= 9
    assert all(0 <= scale(mark) <= 1 for mark, _ in scale.ticks)


def test_a_logarithmic_scale_of_nothing_has_no_ticks() -> None:
    assert logarithmic([0.0], str).ticks == ()


@pytest.mark.parametrize("span", [30, 300, 900, 3600, 86400, 7 * 86400, 90 * 86400])
def test_ticks_of_time_are_whole_and_inside(span: int) -> None:
    scale = times(END - span, END)
    assert 1 <= len(scale.ticks) <= 14
    assert all(END - span <= at <= END for at, _ in scale.ticks)
    gaps = {round(b[0] - a[0]) for a, b in pairwise(scale.ticks)}
    assert len(gaps) <= 1


# --- what is drawn


def test_a_gap_is_a_gap_and_a_lonely_point_a_dot() -> None:
    drawing = drawn(small(1.0, 2.0, None, 5.0, None, 3.0, 4.0))
    (curve,) = [ink for ink in drawing.inks if isinstance(ink, Line)]
    assert [len(run) for run in curve.runs] == [2, 2]
    assert len([ink for ink in drawing.inks if isinstance(ink, Disc)]) == 1


def test_nothing_is_drawn_of_what_was_not_measured() -> None:
    drawing = Drawing(520, 200)
    panels.memory(drawing, BOX, Window.of(nothing()), ())
    assert "not measured" in labels(drawing)
    assert "mem" not in labels(drawing)
    panels.latency(drawing, BOX, small(0.0, 0.0), ())
    assert "no request was answered" in labels(drawing)


def test_curves_are_named_at_their_ends_and_names_do_not_cover_each_other() -> None:
    drawing = Drawing(520, 200)
    panels.latency(drawing, BOX, Window.of(series()), ())
    ends = sorted(ink.y for ink in drawing.inks if isinstance(ink, Label) and ink.text in ("p50", "p95", "p99"))
    assert len(ends) == 3
    assert all(b - a >= 11 for a, b in pairwise(ends))


def test_latencies_differ_by_more_than_their_colour() -> None:
    drawing = Drawing(520, 200)
    panels.latency(drawing, BOX, Window.of(series()), ())
    curves = [ink for ink in drawing.inks if isinstance(ink, Line) and len(ink.runs[0]) > 2]
    assert len({ink.color for ink in curves}) == 3
    assert any(ink.dash for ink in curves)


def test_a_single_failure_among_millions_is_seen() -> None:
    window = Window.of(series(points=300, gap=range(0)))
    columns = {**window.columns, "requests_per_s": [1e6] * 300, "failed_per_s": [0.0] * 299 + [0.3]}
    drawing = Drawing(520, 200)
    panels.requests(drawing, BOX, Window(window.start_s, window.step_s, columns), ())
    bars = [ink for ink in drawing.inks if isinstance(ink, Fill) and ink.color == "#b3261e"]
    assert len(bars) == 1
    assert max(y for _, y in bars[0].points) - min(y for _, y in bars[0].points) >= 3


def test_events_are_marked_with_a_sign_and_words_that_do_not_collide() -> None:
    drawing = Drawing(520, 200)
    panels.latency(drawing, BOX, Window.of(series()), events())
    found = labels(drawing)
    assert "v4 swapped in" in found
    assert "v3 deployed" in found
    many = [Event(id=i, name="iris", at_s=END - 450 + i, kind="restarted") for i in range(40)]
    crowd = Drawing(520, 200)
    panels.latency(crowd, BOX, Window.of(series()), many)
    assert labels(crowd).count("restarted") == 1


def test_where_two_events_are_close_the_graver_has_the_words() -> None:
    found = [
        Event(id=1, name="iris", at_s=END - 400, kind="restarted"),
        Event(id=2, name="iris", at_s=END - 390, kind="worker_died", severity="warning"),
    ]
    drawing = Drawing(520, 200)
    panels.latency(drawing, BOX, Window.of(series()), found)
    assert "worker died" in labels(drawing)
    assert "restarted" not in labels(drawing)


def test_every_state_and_severity_has_a_sign_of_its_own() -> None:
    assert len({sign for sign, _ in STATES.values()}) == len(STATES)
    assert len({sign for sign, _ in SEVERITIES.values()}) == len(SEVERITIES)


@pytest.mark.parametrize(
    ("event", "words", "told"),
    [
        (Event(id=1, name="a", at_s=0, kind="swapped", version=4, text="v3 → v4"), "v4 swapped in", ": v3 → v4"),
        (Event(id=1, name="a", at_s=0, kind="deployed", version=1, text="v1"), "v1 deployed", ""),
        (Event(id=1, name="a", at_s=0, kind="rolled_back"), "rolled back", ""),
        (Event(id=1, name="a", at_s=0, kind="incident", text="p99 88 ms"), "incident", ": p99 88 ms"),
    ],
)
def test_events_read_in_a_few_words(event: Event, words: str, told: str) -> None:
    assert short(event) == words
    assert line(event) == f"{words}{told}"


# --- painted


def full() -> Drawing:
    drawing = Drawing(820, 420, "charts of <iris>")
    window = Window.of(series())
    panels.latency(drawing, Box(14, 10, 520, 190), window, events())
    panels.requests(drawing, Box(14, 215, 520, 190), window, events())
    panels.cpu(drawing, Box(545, 10, 265, 190), window, events())
    panels.queue(drawing, Box(545, 215, 265, 190), window, events())
    return drawing


def test_a_png_has_its_size_its_text_and_few_bytes() -> None:
    data = png(full(), colors=128, about={"Software": "it"})
    picture = Image.open(io.BytesIO(data))
    assert picture.size == (1230, 630)
    assert picture.text["Software"] == "it"  # type: ignore[attr-defined]
    assert len(data) <= 80_000
    assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20  # there is something on it


def test_the_same_drawing_gives_the_same_bytes() -> None:
    assert png(full()) == png(full())
    assert pdf([full()], {"Title": "a"}) == pdf([full()], {"Title": "a"})


def test_a_letter_that_the_font_lacks_is_a_box_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    drawing = Drawing(200, 40)
    drawing.add(Label(5, 20, "模型 🚀 iris", "#000000"))
    assert png(drawing)
    assert width("模", 12.0) == width("□", 12.0)
    assert [str(warning.message) for warning in recwarn] == []


def test_widths_are_those_of_the_font() -> None:
    assert width("WWW", 12.0) > width("iii", 12.0) > 0
    assert width("iris", 24.0) == pytest.approx(2 * width("iris", 12.0), rel=0.05)
    assert width("iris", 12.0, bold=True) > width("iris", 12.0)


def test_svg_is_whole_and_escapes_what_it_says() -> None:
    text = svg(full())
    parser = _Tags()
    parser.feed(text)
    assert parser.open == []
    assert "charts of &lt;iris&gt;" in text
    assert 'role="img"' in text
    assert "nan" not in text


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_person_s_matplotlib_is_neither_touched_nor_heeded() -> None:
    """Whatever they have set for their own figures: ours look the same, and theirs stay as they were."""
    script = """
import hashlib, json, sys, threading
sys.path.insert(0, sys.argv[1])
from test_chart import full, png
plain = hashlib.sha256(png(full())).hexdigest()
assert "matplotlib.pyplot" not in sys.modules
import matplotlib as mpl
mpl.rcParams.update({"text.usetex": True, "figure.facecolor": "black", "lines.linewidth": 9, "font.size": 40,
    "figure.constrained_layout.use": True, "axes.grid": True, "savefig.transparent": True, "figure.dpi": 30,
    "path.sketch": (1, 100, 2), "text.color": "white", "font.family": "monospace", "path.simplify": False})
before = mpl.rcParams.copy()
painted = []
thread = threading.Thread(target=lambda: painted.append(hashlib.sha256(png(full())).hexdigest()))
thread.start()
thread.join()
after = mpl.rcParams.copy()
print(json.dumps([plain, *painted, before == after, "matplotlib.pyplot" in sys.modules]))
"""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", script, str(here)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(here.parent)},
    )
    assert done.returncode == 0, done.stderr
    plain, styled, untouched, pyplot = json.loads(done.stdout.splitlines()[-1])
    assert plain == styled
    assert untouched
    assert not pyplot


def test_curves_stay_inside_their_area() -> None:
    drawing = full()
    for ink in drawing.inks:
        if isinstance(ink, Line):
            for run in ink.runs:
                assert all(0 <= x <= 820 and 0 <= y <= 420 and not math.isnan(x + y) for x, y in run)
