"""The matrix of frameworks: its text, from fixed figures, and how it gets into the README."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    specification = importlib.util.spec_from_file_location("matrix_of_frameworks", BENCHMARKS / "matrix.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "matrix_of_frameworks", module)
    specification.loader.exec_module(module)
    return module


def row(matrix: ModuleType, **changes: Any) -> Any:
    values = {
        "framework": "xgboost",
        "model": "a | b",
        "exports": "ONNX, XGBoost UBJSON",
        "max_difference": 1.2e-7,
        "agreement": 1.0,
        "one": matrix.Ratio(34.4, 30.0),
        "batch": matrix.Ratio(1.234, 1.1),
        "kept": "ONNX",
    }
    return matrix.Row(**{**values, **changes})


def test_the_table_says_what_was_measured(matrix: ModuleType) -> None:
    rows = [row(matrix), row(matrix, framework="catboost", one=None, batch=None, max_difference=0.0, kept="CatBoost")]
    assert matrix.table_of(rows) == (
        "| framework | model | exports | parity | 1 row × native | 256 rows × native | kept |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| xgboost | a \\| b | ONNX, XGBoost UBJSON | within 1e-07 | 34 | 1.23 | ONNX |\n"
        "| catboost | a \\| b | ONNX, XGBoost UBJSON | equal | 1 | 1 | CatBoost |\n"
    )


def test_a_row_is_good_where_the_kept_format_is_nowhere_slower_and_all_agrees(matrix: ModuleType) -> None:
    assert row(matrix).faults == []
    assert row(matrix, batch=matrix.Ratio(0.8, 0.97)).faults == []  # another process's load falsifies the clock
    assert row(matrix, one=None, batch=None).faults == []
    assert row(matrix, batch=matrix.Ratio(0.8, 0.9)).faults == ["256 rows: 0.80 × native, and 0.90 by CPU"]
    assert row(matrix, agreement=0.998).faults == ["only 99.80% of its answers agree"]
    assert "99.8% agree" in matrix.table_of([row(matrix, agreement=0.998)])


def test_a_ratio_is_of_the_medians_over_the_turns(matrix: ModuleType) -> None:
    kept = [matrix.Times(1e-3, 2e-3), matrix.Times(9e-3, 2e-3), matrix.Times(1e-3, 2e-3)]
    live = [matrix.Times(4e-3, 3e-3)] * 3
    assert matrix.ratio(kept, live) == matrix.Ratio(pytest.approx(4.0), pytest.approx(1.5))


def test_it_stands_between_its_marks_and_leaves_the_rest(matrix: ModuleType) -> None:
    text = f"# Title\n\n{matrix.BEGIN}\nold\n{matrix.END}\n\nafter <!-- other -->\n"
    new = matrix.replaced(text, matrix.table_of([row(matrix)]))
    assert new.startswith(f"# Title\n\n{matrix.BEGIN}\n| framework |")
    assert new.endswith(f"| ONNX |\n{matrix.END}\n\nafter <!-- other -->\n")
    assert matrix.replaced(new, matrix.table_of([row(matrix)])) == new


@pytest.mark.parametrize("text", ["", "<!-- matrix -->\n", "<!-- /matrix -->\n<!-- matrix -->\n"])
def test_a_readme_without_the_marks_is_told_what_it_lacks(matrix: ModuleType, text: str) -> None:
    with pytest.raises(SystemExit, match="add the lines <!-- matrix --> and <!-- /matrix -->"):
        matrix.replaced(text, "table")


def test_the_check_compares_names_alone(matrix: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(matrix, model="one"), row(matrix, model="two")]
    text = matrix.replaced(f"{matrix.BEGIN}{matrix.END}", matrix.table_of(rows))
    names = [("xgboost", "one"), ("xgboost", "two")]
    assert matrix.names_in(text) == names
    assert matrix.check(text, names) == 0
    assert matrix.check(text, [("xgboost", "one"), ("torch", "net")]) == 1
    assert "lacks torch: net and has no case for xgboost: two" in capsys.readouterr().out
    assert matrix.check(text, names[::-1]) == 1
    assert "another order" in capsys.readouterr().out


def test_formats_that_answer_otherwise_have_a_cross(matrix: ModuleType) -> None:
    from autodeploy_magic.contracts import Candidate

    candidates = [
        Candidate(format="onnx", passed=False, reason="differ", size_bytes=9, agreement=0.9),
        Candidate(format="onnx-float64", passed=True, reason="", size_bytes=9, agreement=1.0),
        Candidate(format="native", passed=False, reason="not replayed (9x slower)", size_bytes=9),
    ]
    assert matrix.exports_of(candidates, "xgboost") == "ONNX ✗, ONNX (float64), XGBoost UBJSON"
    assert matrix.exports_of([Candidate(format="onnx", passed=False, reason="not exported")], "native") == "native"


def test_every_case_with_a_row_has_a_name_of_its_own(matrix: ModuleType) -> None:
    names = [(case.framework, case.row) for case in matrix.all_cases()]
    assert len(names) == len(set(names)) >= 1
    assert all("|" not in model for _, model in names)
