"""Reports: they say what was measured, stand alone, are the same each time, and never replace what is not theirs."""

from __future__ import annotations

import html.parser
import io
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from IPython.core.interactiveshell import InteractiveShell
from metered import alive, rollup, write
from PIL import Image
from records import make_version
from windows import END, events, nothing, series, view
from world import World, until

import autodeploy_magic as ad
from autodeploy_magic import cli
from autodeploy_magic.contracts import Desired, Traffic
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.live import COLUMNS
from autodeploy_magic.metrics import Comparison
from autodeploy_magic.metrics.whole import whole
from autodeploy_magic.notebook.chart import Window
from autodeploy_magic.notebook.figures import Figures
from autodeploy_magic.notebook.report.compose import CREATOR, composed
from autodeploy_magic.notebook.report.document import Document, Section, Sign, Table
from autodeploy_magic.notebook.report.file import place
from autodeploy_magic.notebook.report.file import write as write_file
from autodeploy_magic.notebook.report.findings import Findings
from autodeploy_magic.notebook.report.lines import columns, wrapped
from autodeploy_magic.notebook.report.made import rendered
from autodeploy_magic.notebook.text import seconds_text

DAY = 86400
FIGURES = Figures(float(END - DAY), DAY, 18_316_800, 3_663, 20, 0.0019, 0.0027, 0.0034, 0.34, 6.4e7, 1.8e6, 1.2e9, 3, 0)
EVIL = "<script>alert('x')</script>\"&"


def findings(**changes: Any) -> Findings:
    """A busy day, with a canary and a shadow."""
    values: dict[str, Any] = {
        "name": "iris",
        "at_s": float(END),
        "seconds": DAY,
        "view": view(),
        "desired": Desired(
            name="iris", version=4, executable="python", traffic=Traffic(canary=5, share=0.1, shadow=6), history=(3,)
        ),
        "versions": (make_version(4, reason=EVIL),),
        "window": Window.of(series(seconds=DAY, points=288)),
        "figures": FIGURES,
        "by_version": {3: FIGURES, 4: FIGURES},
        "statuses": {200: 18_313_117, 401: 12, 422: 3_651, 500: 20},
        "events": events(DAY),
        "shadow": Comparison(1200, 1200, 3, 0, 4, 0.0012, 0.0019, 0.0034, 0.0021, 0.0041),
    }
    return Findings(**{**values, **changes})


def page(**changes: Any) -> str:
    return rendered(findings(**changes), "html").decode()


def sheet() -> Document:
    return composed(findings())


# --- what it says


def test_it_tells_the_figures_the_model_and_what_happened() -> None:
    text = page()
    for fact in (
        *("iris", "v4", "ONNX", "running", "p99&lt;50ms", "18,316,800", "212 /s", "1.9 ms", "2.7 ms", "3.4 ms"),
        *("0.02 %", "&lt;0.01 %", "34 %", "64 MB", "1.8 MB", "422 InvalidInputs", "3,651", "500 ModelFailed"),
        *("sklearn.tree._classes.DecisionTreeClassifier", "classification", "green because of its kind"),
        *("v4 swapped in: v3 → v4", "worker 5120 was ended by SIGKILL", "more trees", "champion", "canary", "10%"),
        *("Shadow v6 beside v4", "0.25 %", "batch_rows", "256 rows", "curl -s http://127.0.0.1:3131", "import httpx"),
        *("The last 24 h", "2025-11-21", "release"),
    ):
        assert fact in text, fact


def test_it_holds_no_token_and_asks_nobody_for_anything() -> None:
    text = page()
    assert not re.search(r"(src|href)=", text)
    assert "url(" not in text
    assert "<script" not in text
    assert "<link" not in text
    assert "default-src 'none'" in text


def test_what_a_person_wrote_never_becomes_markup() -> None:
    text = page()
    assert EVIL not in text
    assert "&lt;script&gt;alert('x')&lt;/script&gt;" in text
    assert "&lt;no&gt; workers" in text


def test_the_page_is_whole_and_its_charts_have_words() -> None:
    parser = _Page()
    parser.feed(page())
    assert parser.open == []
    assert parser.charts == 6
    assert all("24 h" in alt for alt in parser.alts)
    assert [title for title in parser.headings if title in ("Summary", "Measurements", "What happened", "Versions")]


class _Page(html.parser.HTMLParser):
    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.charts = 0
        self.alts: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "svg":
            self.charts += 1
            self.alts.append(dict(attrs).get("aria-label") or "")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def test_a_time_in_which_nothing_was_measured_is_said_and_not_drawn() -> None:
    empty = msgspec.structs.replace
    text = page(
        window=Window.of(nothing(DAY, 288)),
        figures=Figures(float(END - DAY), DAY, *[None] * 12),
        by_version={},
        statuses={},
        events=(),
        view=empty(view(), events=()),
        shadow=None,
    )
    assert "Nothing was measured in this period" in text
    assert "There is nothing to draw" in text
    assert "Nothing happened to it in this period" in text
    assert "<svg" not in text


def test_a_version_whose_record_is_gone_does_not_stop_the_report() -> None:
    text = page(versions=())
    assert "What serves" not in text
    assert "18,316,800" in text


# --- as a file


@pytest.mark.parametrize("format", ["html", "png", "pdf"])
def test_the_same_findings_give_the_same_bytes_and_carry_who_made_them(format: str) -> None:
    data = rendered(findings(), format)
    assert data == rendered(findings(), format)
    assert CREATOR.encode() in data[:8192] + data[-8192:]


def test_the_png_is_one_sheet_and_the_pdf_has_pages_of_a4() -> None:
    picture = Image.open(io.BytesIO(rendered(findings(), "png")))
    assert picture.width == round(794 * 1.5)
    assert picture.height > picture.width
    data = rendered(findings(), "pdf")
    assert data.startswith(b"%PDF-")
    boxes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", data)
    assert len(boxes) >= 2
    assert {(round(float(a)), round(float(b))) for a, b in boxes} == {(596, 842)}


def test_a_long_table_goes_on_at_the_next_page_with_its_head() -> None:
    from autodeploy_magic.notebook.report.pages import as_pdf

    rows = tuple((f"row {i}", "x" * 200) for i in range(120))
    document = Document(
        "iris", Sign("●", "#000000", "running"), (), "", "foot", (Section("Rows", (Table(("a", "b"), rows),)),)
    )
    data = as_pdf(document, CREATOR)
    assert len(re.findall(rb"/MediaBox", data)) >= 4


def test_lines_fit_their_room_and_lose_no_letter() -> None:
    from autodeploy_magic.notebook.chart.paint import width

    text = "a few words and " + "onelongword" * 30 + " at the end"
    lines = wrapped(text, 11.0, 200.0)
    assert all(width(line, 11.0) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrapped("", 11.0, 200.0) == [""]
    assert wrapped("    indented", 11.0, 200.0, mono=True) == ["    indented"]


def test_columns_share_the_room_there_is() -> None:
    table = Table(("a", "b", "c"), (("short", "x" * 400, "middle " * 10),))
    widths = columns(table, 600.0, 11.0)
    assert sum(widths) == pytest.approx(600.0)
    assert widths[0] < 60


# --- where it goes


def test_the_name_and_the_format_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place("iris", None, None, CREATOR) == (tmp_path / "iris-report.html", "html")
    assert place("iris", "pdf", None, CREATOR) == (tmp_path / "iris-report.pdf", "pdf")
    assert place("iris", None, "week.png", CREATOR) == (tmp_path / "week.png", "png")
    assert place("iris", None, "week.HTM", CREATOR)[1] == "html"
    assert place("iris", "png", tmp_path, CREATOR) == (tmp_path / "iris-report.png", "png")
    assert place("iris", "pdf", "week", CREATOR) == (tmp_path / "week", "pdf")


@pytest.mark.parametrize(
    ("format", "file", "told"),
    [
        (None, "week.doc", "html, png or pdf"),
        (None, "week", "html, png or pdf"),
        ("docx", None, "html, png or pdf"),
        ("pdf", "week.html", "disagree"),
        (None, "no/such/folder/week.html", "there is no folder"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str | None, file: str | None, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption, match=told) as caught:
        place("iris", format, file, CREATOR)
    assert caught.value.fix


@pytest.mark.parametrize("format", ["html", "png", "pdf"])
def test_only_an_earlier_report_is_replaced(tmp_path: Path, format: str) -> None:
    file = tmp_path / f"week.{format}"
    file.write_bytes(b"my own work")
    with pytest.raises(InvalidOption, match="is no report"):
        place("iris", None, file, CREATOR)
    assert file.read_bytes() == b"my own work"
    file.write_bytes(rendered(findings(), format))
    assert place("iris", None, file, CREATOR)[0] == file


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "week.html"
    before = os.umask(0o022)
    try:
        write_file(file, b"first")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644  # as any file of theirs: a report is handed on
    write_file(file, b"second")
    assert file.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(InvalidOption, match="cannot be written"):
        write_file(tmp_path / "gone" / "week.html", b"")


# --- of a deployment


@pytest.fixture(scope="module")
def iris(world: World) -> Iterator[str]:
    """A deployment with a known past: 600 seconds of five requests, one refused and one failed in each."""
    world.serve(world.version("iris"), "iris")
    now = int(time.time())
    rows = [rollup(now - s, [0.002] * 3 + [0.01, 0.02], statuses=[200] * 3 + [422, 500]) for s in range(600, 1200)]
    write(world.store.metrics_file("iris"), rows, [alive(now - s) for s in range(600, 1200)])
    yield "iris"
    world.supervisor.remove("iris")


def test_its_figures_are_those_of_the_series(world: World, iris: str, tmp_path: Path) -> None:
    report = ad.attach(iris).report(last="30m", file=tmp_path)
    text = report.path.read_text("utf-8")
    assert report.path == tmp_path / "iris-report.html"
    told = world.supervisor.series(iris, 1800, 360)
    rates = [value or 0.0 for value in told.values[told.columns.index("requests_per_s")]]
    assert report.figures.requests == round(sum(rates) * told.step_s) == 3000
    known = Figures.of(whole(world.store.metrics_file(iris), told))
    assert (report.figures.p50_s, report.figures.p99_s) == (known.p50_s, known.p99_s)
    for fact in ("3,000", seconds_text(known.p50_s), seconds_text(known.p99_s), "20 %", "422 InvalidInputs", "600"):
        assert fact in text, fact
    assert "v1 deployed" in text
    assert world.store.token(iris) not in text


def test_a_report_is_a_path_wherever_one_is_taken(iris: str, tmp_path: Path) -> None:
    report = ad.attach(iris).report(last="1h", format="png", file=tmp_path / "a.png")
    assert Path(report) == report.path
    assert Image.open(os.fspath(report)).format == "PNG"
    assert str(report.path) in report.text()
    assert "3,000 requests" in report.text()
    bundle = report._repr_mimebundle_()
    assert "report of iris" in bundle["text/html"]


def test_again_it_replaces_the_one_before(iris: str, tmp_path: Path) -> None:
    dep = ad.attach(iris)
    first = dep.report(last="1h", file=tmp_path)
    assert dep.report(last="24h", file=tmp_path).path == first.path
    assert "The last 24 h" in first.path.read_text("utf-8")


def test_the_magic_writes_beside_the_notebook(
    ipython_shell: InteractiveShell, iris: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ipython_shell.run_line_magic("deploy", f"report {iris} --last 15m --format pdf")
    assert (tmp_path / "iris-report.pdf").read_bytes().startswith(b"%PDF-")


def test_the_command_tells_where_it_is(
    iris: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", iris, "--last", "1h"]) == 0
    assert str(tmp_path / "iris-report.html") in capsys.readouterr().out
    assert cli.main(["report", iris, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "iris-report.html")
    (tmp_path / "iris-report.html").write_text("mine")
    assert cli.main(["report", iris]) == 2
    assert "is no report" in capsys.readouterr().err


def test_of_one_that_does_not_record_requests_none_are_told(world: World, tmp_path: Path) -> None:
    world.serve(world.version("silent"), "silent", settings={"metrics": False})
    try:
        assert world.predict("silent").status_code == 200
        until(lambda: world.supervisor.series("silent", 10, 10).values[COLUMNS.index("memory_bytes")].count(None) < 10)
        report = ad.attach("silent").report(last="1m", file=tmp_path)
        assert report.figures.requests is None
        assert report.figures.memory_bytes
    finally:
        world.supervisor.remove("silent")
