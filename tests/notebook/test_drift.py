"""`%deploy drift NAME`: the columns in words, the worst first."""

from __future__ import annotations

from autodeploy_magic.health import ColumnDrift
from autodeploy_magic.notebook.drift import ShownDrift

TENURE = ColumnDrift(
    column="tenure",
    method="ks",
    value=0.31,
    limit=0.2,
    state="drifted",
    p_value=1e-12,
    rows=1000,
    reference=600,
    text="mean 32 → 41",
)
GAPS = ColumnDrift(
    column="0",
    method="missing",
    value=0.2,
    limit=0.03,
    state="drifted",
    rows=200,
    text="20% of the newest 200 rows have no x[0]; 3% is usual at most",
)
ANSWERS = ColumnDrift(
    column="", method="psi", value=0.01, limit=0.2, state="same", rows=1000, reference=500, text="'<yes>' 30% → 31%"
)


def test_a_column_is_told_with_its_index_and_in_words() -> None:
    text = ShownDrift("iris", (TENURE, GAPS, ANSWERS)).text()
    head, names, tenure, gaps, answers, *_ = text.splitlines()
    assert head == "iris: 2 of 2 columns are not as they were"
    assert names.split()[:2] == ["column", "PSI"]
    assert tenure.split() == ["tenure", "drifted", "0.31", "mean", "32", "→", "41", "1,000", "600"]
    assert gaps.split()[:3] == ["x[0]", "drifted", "20%"]
    assert answers.split()[:2] == ["(answers)", "0.01"]


def test_the_html_has_the_same_and_escapes_values() -> None:
    page = ShownDrift("iris", (TENURE, ANSWERS)).html()
    assert "mean 32 → 41" in page
    assert "&lt;yes&gt;" in page
    assert "<yes>" not in page
    assert "1 of 1 columns is not as they were" not in page


def test_what_it_says_as_a_whole() -> None:
    def summary(*columns: ColumnDrift) -> str:
        return ShownDrift("iris", columns).summary

    assert summary() == "no requests were looked at yet"
    assert summary(ANSWERS) == "nothing has drifted"
    assert summary(TENURE, ANSWERS) == "1 of 1 columns is not as it was"
    assert "deploy test iris" in ShownDrift("iris", ()).text()
    assert "no requests were looked at yet" in ShownDrift("iris", ()).html()
