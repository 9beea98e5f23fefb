"""`%deploy retune`: what its lines mean, what its picture and its table tell, and the training rows that are kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from deployed import iris_model
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Column, Lineage, Progress, Signature, Version
from autodeploy_magic.errors import InvalidInputs, InvalidOption
from autodeploy_magic.notebook.retune import (
    Asked,
    ShownRetune,
    background,
    cancelled,
    looked_for,
    order_of,
    replayed,
    shown,
    taken,
    undone,
)
from autodeploy_magic.notebook.retune_plot import drawn
from autodeploy_magic.notebook.training import MOST_ROWS, keep_training
from autodeploy_magic.notebook.views import Versions, to_json
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.retuning import Check, Contender, DataUsed, Figures, Order, Retune
from autodeploy_magic.store import Store

CHAMPION = Contender(
    id="c0",
    optimiser="",
    title="v3, onnx",
    family="run",
    state="champion",
    front=True,
    figures=Figures(
        metric="accuracy", value=0.931, low=0.91, high=0.95, cpu_s=3.1e-4, size_bytes=4_100_000, p95_s=0.0042
    ),
)
FASTER = Contender(
    id="c1",
    optimiser="onnx_dynamic",
    title="int8, dynamic",
    family="smaller",
    state="passed",
    front=True,
    reason="2.5x faster",
    figures=Figures(
        metric="accuracy", value=0.93, low=0.909, high=0.949, agreement=0.996, cpu_s=1.25e-4, size_bytes=1_050_000
    ),
)
WORSE = Contender(
    id="c2",
    optimiser="onnx_static",
    title="int8, <static>",
    family="smaller",
    state="fell",
    checks=(
        Check(name="speed", passed=True, text="faster"),
        Check(name="metric", passed=False, text="accuracy 0.921: too much lost"),
    ),
    figures=Figures(metric="accuracy", value=0.921, agreement=0.981, cpu_s=1.2e-4, size_bytes=1_040_000),
)
NOT_TRIED = Contender(
    id="c3", optimiser="torch_tune", title="torch", family="better", state="skipped", reason="made of sklearn"
)
RETUNE = Retune(
    id="4f2a",
    name="iris",
    order=Order(),
    state="done",
    champion=3,
    started_s=1000.0,
    ended_s=1137.0,
    contenders=(CHAMPION, NOT_TRIED, WORSE, FASTER),
    best="c1",
    chosen="c1",
    outcome="int8, dynamic is 2.5x faster",
    data=DataUsed(training=812, held_out=412, requests=1200, sources=("traffic",), notes=("labels of 3 days only",)),
)


def changed(retune: Retune = RETUNE, **fields: Any) -> Retune:
    return msgspec.structs.replace(retune, **fields)


@dataclass
class Known:
    """A supervisor with these re-tunes, which notes what it is asked for."""

    records: list[Retune]
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    while_it_runs: Callable[[Any], None] = lambda report: None

    def retune(self, name: str, order: Order, report: Any) -> Retune:
        self.asked.append(("retune", order))
        self.records.insert(0, changed(id="new", state="running", order=order, step="makes int8"))
        self.while_it_runs(report)
        self.records[0] = changed(id="new", order=order)
        return self.records[0]

    def retunes(self, name: str) -> list[Retune]:
        return self.records

    def retune_of(self, name: str, key: str) -> Retune:
        return next(one for one in self.records if one.id == key)

    def cancel_retune(self, name: str, key: str) -> Retune:
        self.asked.append(("cancel", key))
        return changed(self.retune_of(name, key), state="cancelled", outcome="")

    def take(self, name: str, key: str, contender: str, report: Any) -> Retune:
        self.asked.append(("take", key, contender))
        return changed(self.retune_of(name, key), promoted=contender)

    def undo_retune(self, name: str, key: str, report: Any) -> Retune:
        self.asked.append(("undo", key))
        return changed(self.retune_of(name, key), undone=True)


def quiet(_: Any) -> None:
    pass


# --- what is shown


def test_the_table_tells_every_candidate_and_why() -> None:
    lines = ShownRetune(RETUNE).text().splitlines()
    assert lines[0] == "iris: int8, dynamic is 2.5x faster"
    rows = {line.split()[1]: line for line in lines if re.match(r"\S c\d ", line)}
    assert list(rows) == ["c0", "c1", "c2"]
    assert rows["c0"].startswith("●")
    assert "0.31 ms" in rows["c0"]
    assert "4.1 MB" in rows["c0"]
    assert re.match(
        r"→ c1  int8, dynamic +smaller +0.930 +0.909 – 0.949 +99.60 % +2.5x +3.9x +– +2.5x faster", rows["c1"]
    )
    assert rows["c2"].startswith("✗")
    assert "accuracy 0.921: too much lost" in rows["c2"]
    assert "  torch: made of sklearn" in lines  # what was not tried is told by its reason
    text = "\n".join(lines)
    assert "812 labelled rows to train with, 412 held out to judge by, 1,200 requests replayed (traffic)" in text
    assert "missing  labels of 3 days only" in text
    assert "%deploy retune iris --show 4f2a --take c1: serve int8, dynamic" in text
    assert "--replay 4f2a" in text


def test_the_picture_is_a_plot_and_a_table_and_escapes_what_it_is_told() -> None:
    html = str(ShownRetune(RETUNE).html())
    assert html.count("<circle") == 2 * 3  # a ring and its centre for each that was measured
    assert 'stroke-dasharray="4 4"' in html  # the front
    assert "int8, &lt;static&gt;" in html
    assert "<static>" not in html
    assert "1 not tried" in html
    assert to_json(ShownRetune(RETUNE))["record"]["chosen"] == "c1"


def test_the_plot_tells_size_by_area_and_better_by_place() -> None:
    drawing = drawn(RETUNE)
    assert drawing is not None
    rings = {ink.radius: ink for ink in drawing.inks if getattr(ink, "hollow", False)}
    large, small = rings[max(rings)], rings[min(rings)]
    assert (large.radius / small.radius) ** 2 == pytest.approx(4_100_000 / 1_040_000, rel=0.01)
    assert large.x > small.x  # it takes longer
    assert large.y < small.y  # and is more often right
    words = {ink.text: ink for ink in drawing.inks if hasattr(ink, "text")}
    assert words["c1 int8, dynamic"].bold
    assert "accuracy (higher is better)" in words
    assert "int8, dynamic: 0.93" in drawing.alt


def test_without_labels_agreement_is_drawn_and_of_an_error_less_is_better() -> None:
    bare = [
        msgspec.structs.replace(one, figures=msgspec.structs.replace(one.figures, metric="", value=None))
        for one in RETUNE.contenders
    ]
    drawing = drawn(changed(contenders=tuple(bare)))
    assert drawing is not None
    assert "agreement against CPU time" in drawing.alt
    text = ShownRetune(changed(contenders=tuple(bare))).text()
    assert "accuracy  " not in text
    assert "95 % interval" not in text
    errors = [
        msgspec.structs.replace(one, figures=msgspec.structs.replace(one.figures, metric="rmse", value=12345.678))
        for one in RETUNE.contenders
    ]
    drawing = drawn(changed(contenders=tuple(errors)))
    assert drawing is not None
    assert any(getattr(ink, "text", "") == "rmse (lower is better)" for ink in drawing.inks)


def test_nothing_is_drawn_of_one_measurement_and_odd_figures_do_no_harm() -> None:
    assert drawn(changed(contenders=(CHAMPION,))) is None
    assert drawn(changed(contenders=())) is None
    odd = msgspec.structs.replace(FASTER, figures=Figures(metric="accuracy", value=float("nan"), cpu_s=0.0))
    assert drawn(changed(contenders=(CHAMPION, odd))) is None
    same = msgspec.structs.replace(FASTER, figures=msgspec.structs.replace(CHAMPION.figures, size_bytes=None))
    assert drawn(changed(contenders=(CHAMPION, same))) is not None
    bare = changed(state="failed", contenders=(), outcome="", error="the disk is full", data=DataUsed())
    assert "the re-tune failed, and nothing was changed: the disk is full" in ShownRetune(bare).text()
    assert "<svg" not in str(ShownRetune(bare).html())


@pytest.mark.parametrize(
    ("fields", "told", "next_"),
    [
        ({"state": "running", "outcome": "", "step": "makes int8"}, "re-tuning: makes int8; 2 of 2 tried", "--cancel"),
        ({"state": "cancelled", "outcome": ""}, "cancelled: nothing was changed", "--take c1"),
        ({"chosen": "c0", "outcome": "", "contenders": (CHAMPION, WORSE)}, "v3 stays as it is", "--replay"),
        ({"promoted": "c1", "bakes_until_s": time.time() + 300}, "2.5x faster", "--undo 4f2a: serve again"),
        ({"promoted": "c1", "undone": True}, "; taken back since", "--replay"),
    ],
)
def test_the_outcome_and_what_can_be_done_next(fields: dict[str, Any], told: str, next_: str) -> None:
    text = ShownRetune(changed(**fields)).text()
    assert told in text.splitlines()[0]
    assert next_ in text
    assert ("--undo" in text) is (fields.get("promoted") == "c1" and not fields.get("undone"))


def test_earlier_ones_are_listed() -> None:
    found = shown(Known([RETUNE, changed(id="older", chosen="c0")]), "iris", "all")  # type: ignore[arg-type]
    lines = found.text().splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["4f2a", "older"]
    assert "1 of 3" in lines[2]
    assert "<table" in str(found.html())
    nothing = shown(Known([]), "iris", "all")  # type: ignore[arg-type]
    assert nothing.text() == "iris: it was never re-tuned; %deploy retune iris"


def test_a_version_that_a_re_tune_made_says_so(store: Store, tmp_path: Path) -> None:
    made = write_version(tmp_path / "v4", iris_model(), X, number=4)
    lineage = Lineage(retune="4f2a", contender="c1", parent=3, root=3, optimiser="onnx_dynamic", title="int8, dynamic")
    versions = Versions([made, msgspec.structs.replace(made, number=5, note="mine", lineage=lineage)])
    line = next(line for line in versions.text().splitlines() if " v5 " in line)
    assert "mine; re-tune 4f2a: int8, dynamic, made of v3" in line
    assert versions.text().count("re-tune") == 1


# --- what is asked


def test_lines_become_orders() -> None:
    order = order_of("latency", "30s", "0.5%", "auto", 7)
    assert (order.goal, order.budget_s, order.promote, order.seed) == ("latency", 30.0, "auto", 7)
    assert order.max_loss == pytest.approx(0.005)
    assert order_of("auto", "1h", "0.005", "ask", 0).budget_s == 3600.0
    assert order_of("auto", 90, 0.01, "ask", 0).budget_s == 90.0
    assert order_of("auto", "5m", "0", "ask", 0).max_loss == 0.0


@pytest.mark.parametrize(
    ("given", "what", "fix"),
    [
        ({"budget": "5"}, "--budget 5 is not a period", "--budget 90s"),
        ({"budget": "soon"}, "--budget soon is not a period", "15m"),
        ({"max_loss": "0.5"}, "lets 50% of the quality go", "--max-loss 0.5% is 0.5%"),
        ({"max_loss": "100%"}, "would let anything pass", "0.5%"),
        ({"max_loss": "-1%"}, "--max-loss -1% is not a loss", "0.5%"),
        ({"goal": "fast"}, "--goal cannot be 'fast'", "latency"),
        ({"promote": "yes"}, "--promote cannot be 'yes'", "ask, auto"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_would_do(given: dict[str, Any], what: str, fix: str) -> None:
    line = {"goal": "auto", "budget": "5m", "max_loss": "0.5%", "promote": "ask", "seed": 0, **given}
    with pytest.raises(InvalidOption) as caught:
        order_of(**line)
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_options_that_do_not_go_together_are_refused() -> None:
    for given in ({"cancel": True, "undo": "last"}, {"take": "c1", "replay": "a"}, {"show": "all", "cancel": True}):
        with pytest.raises(InvalidOption, match="do not go together"):
            Asked(**given).check()
    Asked(take="c1", show="4f2a").check()
    Asked(background=True, replay="4f2a").check()


def test_an_interrupt_cancels_it_and_shows_how_far_it_was() -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    known = Known([RETUNE], while_it_runs=interrupt)
    found = looked_for(known, "iris", Order(), quiet)  # type: ignore[arg-type]
    assert known.asked[-1] == ("cancel", "new")
    assert "cancelled: nothing was changed" in found.text()
    known.retune = lambda *_: interrupt(None)  # type: ignore[assignment, method-assign, return-value, func-returns-value]
    known.records = [RETUNE]
    with pytest.raises(KeyboardInterrupt):  # it had not begun: there is nothing to cancel
        looked_for(known, "iris", Order(), quiet)  # type: ignore[arg-type]


def test_in_the_background_it_is_left_once_it_has_begun() -> None:
    known = Known([RETUNE], while_it_runs=lambda report: report(Progress(step="plan", state="started")))
    found = background(known, "iris", Order(), "12 training rows")  # type: ignore[arg-type]
    assert found.record.state == "running"
    assert "12 training rows" in found.text()
    assert len(known.asked) == 1
    with pytest.raises(InvalidOption, match="no re-tune of iris runs"):
        cancelled(Known([RETUNE]), "iris")  # type: ignore[arg-type]
    assert "cancelled" in cancelled(known, "iris").text()  # type: ignore[arg-type]


def test_while_it_runs_the_steps_tell_the_best_so_far() -> None:
    known = Known([], while_it_runs=lambda report: report(Progress(step="re-tune", state="started", detail="int8")))
    seen: list[Progress] = []
    looked_for(known, "iris", Order(), seen.append)  # type: ignore[arg-type]
    assert [event.detail for event in seen] == ["makes int8; 2 of 2 tried; the best so far: int8, dynamic"]


def test_taking_and_undoing_are_of_the_last_or_of_the_one_named() -> None:
    known = Known([changed(id="b"), changed(id="a", promoted="c1")])
    assert taken(known, "iris", "c1", None, quiet).record.promoted == "c1"  # type: ignore[arg-type]
    taken(known, "iris", "c1", "a", quiet)  # type: ignore[arg-type]
    undone(known, "iris", "last", quiet)  # type: ignore[arg-type]
    assert known.asked == [("take", "b", "c1"), ("take", "a", "c1"), ("undo", "a")]
    with pytest.raises(InvalidOption) as caught:
        taken(known, "iris", "c2", None, quiet)  # type: ignore[arg-type]
    assert "int8, <static> fell" in caught.value.why
    assert "c1 (int8, dynamic)" in caught.value.fix
    with pytest.raises(InvalidOption, match="never re-tuned"):
        taken(Known([]), "iris", "c1", None, quiet)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="nothing of a re-tune of iris is served"):
        undone(Known([RETUNE]), "iris", "last", quiet)  # type: ignore[arg-type]


def test_a_replay_has_the_order_of_the_earlier_one() -> None:
    earlier = changed(order=Order(goal="size", seed=5, promote="auto", trigger="schedule"))
    order = replayed(Known([earlier]), "iris", "4f2a")  # type: ignore[arg-type]
    assert (order.goal, order.seed, order.replay, order.trigger) == ("size", 5, "4f2a", "replay 4f2a")
    assert order.promote == "ask"


# --- training rows


@pytest.fixture
def version(store: Store, tmp_path: Path) -> Version:
    store.folder("iris").mkdir(parents=True)
    return write_version(tmp_path / "v1", iris_model(), X)


def test_training_rows_are_kept_as_re_tuning_reads_them(store: Store, version: Version) -> None:
    labels = [None if i == 3 else str(NAMES[y]) for i, y in enumerate(Y)]
    said = keep_training(store, version, X, labels)
    assert said == "149 training rows are kept for this re-tune and later ones; 1 without a label are left out"
    file = store.training_file("iris")
    assert file.stat().st_mode & 0o077 == 0
    rows = Rows.read(file, version.signature)
    assert rows.count == 149
    assert rows.inputs[3] == X[4].tolist()
    assert rows.labels[:4] == tuple(NAMES[Y[[0, 1, 2, 4]]].tolist())
    np.testing.assert_array_equal(rows.x(), np.delete(X, 3, axis=0))


def test_of_too_many_rows_some_are_kept_evenly(store: Store, version: Version) -> None:
    many = np.repeat(X, 400, axis=0)
    said = keep_training(store, version, many, pd.Series(np.repeat(Y, 400)))
    assert said.startswith(f"{MOST_ROWS:,} training rows of 60,000, evenly, are kept")
    rows = Rows.read(store.training_file("iris"), version.signature)
    counts = np.bincount(rows.y())
    assert counts.min() > 0.99 * MOST_ROWS / 3


def test_rows_of_a_table_are_kept_by_column(store: Store, version: Version) -> None:
    columns = (Column(name="age", dtype="float64"), Column(name="city", dtype="str"))
    table = msgspec.structs.replace(version, signature=Signature(container="dataframe", columns=columns))
    frame = pd.DataFrame({"city": ["x", "y"], "age": [1, 2]})
    keep_training(store, table, frame, pd.DataFrame({"bought": [True, False]}))
    rows = Rows.read(store.training_file("iris"), table.signature)
    assert rows.inputs == {"age": [1.0, 2.0], "city": ["x", "y"]}
    assert rows.labels == (True, False)


@pytest.mark.parametrize(
    ("data", "labels", "error", "told"),
    [
        (X, Y[:10], InvalidOption, "--data has 150 rows and --labels 10"),
        (X[:, :3], Y, InvalidInputs, "--data is not like the rows of requests"),
        (X, [None] * 150, InvalidOption, "--labels has no label"),
        ("X", Y, InvalidOption, "--data is a str"),
        (X, "Y", InvalidOption, "--labels is a str"),
        (X, pd.DataFrame({"a": Y, "b": Y}), InvalidOption, "--labels is a table of 2 columns"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_earlier_ones_stay(
    store: Store, version: Version, data: Any, labels: Any, error: type[Exception], told: str
) -> None:
    keep_training(store, version, X[:5], Y[:5])
    with pytest.raises(error, match=re.escape(told)):
        keep_training(store, version, data, labels)
    assert Rows.read(store.training_file("iris"), version.signature).count == 5
