"""predict.py answers, and refuses, as the deployment does; alone with numpy and onnxruntime."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edging import MODELS, PEOPLE, cargo_of, make, ship

from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.ship.edge import predict
from autodeploy_magic.wire import to_request

ALONE = """
import runpy, sys
class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {"numpy", "onnxruntime", "predict"} and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not on this device", name=name)
sys.meta_path.insert(0, Only())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a file where nothing but numpy, onnxruntime and the standard library can be imported."""


def device(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, str(folder / "predict.py"), *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=folder, env={**os.environ}
    )


def plain(answers: dict[str, Any]) -> dict[str, Any]:
    return {name: predict.to_plain(value) for name, value in answers.items()}


def same(found: Any, wanted: Any) -> bool:
    """Equal, and numbers within the last digits of float32."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == (pytest.approx(wanted, rel=1e-5, abs=1e-6) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_what_the_deployment_answers(shipped: Path, name: str) -> None:
    served, model = ServedModel.load(shipped / f"{name}.version"), predict.Model(shipped / name)
    rows, _ = model.sample()
    names = [output.name for output in served.version.outputs]
    wanted = served.predict(rows, names)
    found = model.predict(rows)
    assert same(plain(found), wanted)
    for output, value in served.run(served.decode(rows), names).items():
        assert found[output].dtype == value.dtype
        assert found[output].shape == value.shape
    assert model.check() == {"rows": 12, "agree": 12, "differences": []}
    assert same(plain(predict.Model(shipped / name, file="model.onnx").predict(rows)), wanted)


@pytest.mark.parametrize("shape", ["rows", "records", "columns", "array"])
def test_rows_come_in_any_form(shipped: Path, shape: str) -> None:
    model = predict.Model(shipped / "regression")
    records, expected = model.sample()
    forms: dict[str, Any] = {
        "rows": [list(record.values()) for record in records],
        "records": [dict(reversed(record.items())) for record in records],
        "columns": {name: [record[name] for record in records] for name in records[0]},
        "array": np.array([[float(value) for value in record.values()] for record in records]),
    }
    if shape == "array":  # the last column is true or false, which no float is
        with pytest.raises(predict.InvalidInputs, match=r"inputs\[0\]\.true is a number, not true or false"):
            model.predict(forms[shape])
    else:
        assert plain(model.predict(forms[shape]))["predictions"] == pytest.approx(expected["predictions"], rel=1e-5)


def test_arrays_have_nan_where_something_is_missing(shipped: Path) -> None:
    model = predict.Model(shipped / "people")
    table = PEOPLE[:9].astype(object).where(PEOPLE[:9].notna(), np.nan)
    assert same(plain(model.predict(table.to_numpy())), plain(model.predict(to_request(PEOPLE[:9]))))
    assert same(plain(model.predict(PEOPLE[:9].to_dict("list"))), plain(model.predict(to_request(PEOPLE[:9]))))
    iris = predict.Model(shipped / "iris")
    rows = np.array(iris.sample()[0])
    assert (iris.predict(rows)["predictions"] == iris.predict(rows.tolist())["predictions"]).all()
    with pytest.raises(predict.InvalidInputs, match=r"inputs\[1\]\[2\] is null"):
        iris.predict(np.where(np.arange(8).reshape(2, 4) == 6, np.nan, 1.0))
    with pytest.raises(predict.InvalidInputs, match=r"inputs\[0\]\[0\] is too large for float64"):
        iris.predict([[float("inf"), 1, 1, 1]])


GOOD = {"age": 31.5, "children": 2, "city of birth": "oslo", "member": True, "size": "m", "score": 0.5}
BAD: list[Any] = [
    [],
    {},
    None,
    "rows",
    [1],
    [[1, 2]],
    [GOOD, [1, 2, "oslo", True, "m", 1]],
    [{**GOOD, "more": 1}],
    [{name: value for name, value in GOOD.items() if name != "size"}],
    {"age": [1.0]},
    {**{name: [value] for name, value in GOOD.items()}, "age": [1.0, 2.0]},
    {**{name: [value] for name, value in GOOD.items()}, "age": 1.0},
    *[
        [GOOD, {**GOOD, name: value}]
        for name, value in (
            ("age", "old"),
            ("age", [1]),
            ("age", 10**400),
            ("age", 1e300),
            ("children", 1.5),
            ("children", None),
            ("children", 2**63),
            ("children", "2"),
            ("city of birth", 3),
            ("member", 1),
            ("member", None),
            ("size", "xl"),
            ("size", None),
            ("score", 1e39),
            ("score", {}),
        )
    ],
]
FINE: list[Any] = [
    [{**GOOD, name: value}]
    for name, value in (
        ("age", None),
        ("age", True),
        ("age", 3),
        ("children", 2.0),
        ("children", True),
        ("city of birth", None),
    )
]


@pytest.mark.parametrize("inputs", BAD, ids=repr)
def test_what_the_deployment_refuses_is_refused_by_the_same_field(shipped: Path, inputs: Any) -> None:
    served, model = ServedModel.load(shipped / "people.version"), predict.Model(shipped / "people")
    with pytest.raises(InvalidInputs) as theirs:
        served.predict(inputs)
    with pytest.raises(predict.InvalidInputs) as ours:
        model.predict(inputs)
    assert ours.value.field == theirs.value.field


def test_what_the_deployment_takes_is_taken(shipped: Path) -> None:
    served, model = ServedModel.load(shipped / "people.version"), predict.Model(shipped / "people")
    for inputs in FINE:
        assert same(plain(model.predict(inputs)), served.predict(inputs, ["predictions", "probabilities"]))


@pytest.mark.parametrize("name", ["people", "two labels"])
def test_a_graph_of_exactly_five_rows_answers_any_number(shipped: Path, tmp_path: Path, name: str) -> None:
    ship(cargo_of(shipped / f"{name}.version", batch=5), tmp_path / "out")
    model, other = predict.Model(tmp_path / "out"), predict.Model(shipped / name)
    rows, _ = model.sample()
    assert model.check()["agree"] == 12
    for count in (1, 4, 5, 6, 12):
        found, wanted = model.predict(rows[:count]), other.predict(rows[:count])
        assert (found["predictions"] == wanted["predictions"]).all()
        np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], rtol=1e-5)


def test_it_runs_alone_on_a_device(shipped: Path, tmp_path: Path) -> None:
    folder = shipped / "people"
    rows, expected = predict.Model(folder).sample()
    (tmp_path / "rows.json").write_text(json.dumps({"inputs": rows}), "utf-8")
    done = device(folder, str(tmp_path / "rows.json"), "--check", "--time", "2")
    assert done.returncode == 0, done.stderr
    check, time, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert check == {"rows": 12, "agree": 12, "differences": []}
    assert time["runs"] == 2
    assert time["one_row_median_s"] > 0
    assert [line["predictions"] for line in lines] == expected["predictions"]
    assert len(lines[0]["probabilities"]) == 2


def test_rows_of_files_are_read(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shipped / "people"
    rows, expected = predict.Model(folder).sample()
    PEOPLE[:12].to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    for file in ("rows.csv", "rows.jsonl"):
        assert predict.main([str(tmp_path / file), "--folder", str(folder)]) == 0
        found = [json.loads(line)["predictions"] for line in capsys.readouterr().out.splitlines()]
        assert found == expected["predictions"]
    (tmp_path / "iris.csv").write_text("a,b,c,d\n5.1,3.5,1.4,0.2\n", "utf-8")
    assert predict.main([str(tmp_path / "iris.csv"), "--folder", str(shipped / "iris")]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == "setosa"


def test_what_cannot_be_used_is_said_in_a_line(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text('[{"age": 1}]')
    assert predict.main([str(tmp_path / "bad.json"), "--folder", str(shipped / "people")]) == 2
    assert capsys.readouterr().err.startswith("inputs[0].children is missing: send the columns")
    assert predict.main([str(tmp_path / "none.json"), "--folder", str(shipped / "people")]) == 2
    assert "none.json" in capsys.readouterr().err
    assert predict.main(["--check", "--folder", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        predict.main([])


def test_a_folder_that_was_changed_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ship(make("iris", tmp_path / "version"), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "sample.json").read_text("utf-8"))
    kept["expected"]["predictions"][3] = "virginica"
    (tmp_path / "out" / "sample.json").write_text(json.dumps(kept), "utf-8")
    assert predict.main(["--check", "--folder", str(tmp_path / "out")]) == 1
    assert json.loads(capsys.readouterr().out)["differences"] == ["predictions[3] is 'setosa', expected 'virginica'"]
    with (tmp_path / "out" / "model.ort").open("ab") as stream:
        stream.write(b"\0")
    assert predict.main(["--check", "--folder", str(tmp_path / "out")]) == 1
    assert "not the file that was shipped" in capsys.readouterr().out
    (tmp_path / "out" / "model.ort").write_bytes(b"no model")
    assert predict.main(["--check", "--folder", str(tmp_path / "out")]) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_it_is_written_for_python_3_9_and_imports_nothing_else() -> None:
    tree = ast.parse(Path(predict.__file__).read_text("utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {name.partition(".")[0] for name in names}
    assert {name for name in tops if name not in sys.stdlib_module_names} == {"numpy", "onnxruntime"}
