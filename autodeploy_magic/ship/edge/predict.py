"""Answers rows with the model in this folder. It needs numpy and onnxruntime, and nothing else.

    python predict.py rows.json          one JSON line of answers for each row; also rows.csv, and - for standard input
    python predict.py --check            answers the rows of sample.json and compares with what it should say
    python predict.py --time 200         measures 200 runs

    from predict import Model
    model = Model("the/folder")
    model.predict([{"age": 31, "city": "oslo"}])["predictions"]

What a row must look like is in signature.json. Rows that do not fit are refused, with the field named.
Written for Python 3.9 and later. SPDX-License-Identifier: Apache-2.0
"""

# ruff: noqa: B905  # zip has no `strict` in Python 3.9
from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

__all__ = ["InvalidInputs", "Model", "to_plain"]


class InvalidInputs(ValueError):
    """Rows that do not fit the signature. `field` names the first value that does not: "inputs[3].age"."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field} {problem}: {fix}")
        self.field = field


class Model:
    """The model of a folder that `ship edge` wrote. `threads` is how many one run may use.

    `file` is "model.ort", or "model.onnx": both answer alike.
    """

    def __init__(self, folder: str | os.PathLike[str] = ".", *, file: str = "model.ort", threads: int = 1) -> None:
        self.folder = Path(folder)
        self.file = file
        self.signature: dict[str, Any] = json.loads((self.folder / "signature.json").read_text("utf-8"))
        if self.signature["schema"] != 1:
            raise ValueError(f"signature.json has the schema {self.signature['schema']}; this predict.py reads 1")
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = str(self.folder / file)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds, which have no common name
            raise ValueError(f"{path} cannot be loaded: {error}") from error
        self._inputs = [(item["name"], np.dtype(item["dtype"]), item["rank"]) for item in self.signature["inputs"]]
        self._code = self._load_code()

    def predict(self, inputs: Any) -> dict[str, Any]:
        """Answer rows with what the trained model would return: a dict with "predictions", "probabilities"…

        `inputs` are rows (lists), records (dicts), an object of columns, or a numpy array. Raises `InvalidInputs`.
        """
        x: Any = read(self.signature, inputs)
        if "preprocess" in self._code:
            container, rows = self.signature["container"], next(iter(x.values()))  # as the sample came in
            x = self._code["preprocess"](x if container == "dict" else rows.tolist() if container == "list" else rows)
        x = x if isinstance(x, Mapping) else {"inputs": x}
        found = self._run({str(name): np.asarray(values) for name, values in x.items()})
        if "postprocess" in self._code:
            found["predictions"] = self._code["postprocess"](found["predictions"])
        return found

    def sample(self) -> tuple[Any, dict[str, Any]]:
        """The rows that travel with the model, and the answers that the trained model gave to them."""
        kept = json.loads((self.folder / "sample.json").read_text("utf-8"))
        return kept["inputs"], kept["expected"]

    def check(self) -> dict[str, Any]:
        """Answer the sample's rows and compare: {"rows": 32, "agree": 32, "differences": []}.

        Numbers may differ by rounding, as far as the deployment's own verification let them; all else must be equal.
        """
        recorded = self.signature["files"][self.file]
        if hashlib.sha256((self.folder / self.file).read_bytes()).hexdigest() != recorded:
            return {"rows": 0, "agree": 0, "differences": [f"{self.file} is not the file that was shipped"]}
        inputs, expected = self.sample()
        found = {name: to_plain(value) for name, value in self.predict(inputs).items()}
        rows, different, said = len(_rows_of(inputs)), set(), []
        for name, values in expected.items():
            tolerance = self.signature["tolerance"] * _largest(values)
            each = isinstance(values, list) and len(values) == rows and len(found[name]) == rows
            pairs = zip(values, found[name]) if each else [(values, found[name])]
            for i, (wanted, got) in enumerate(pairs):
                if not _alike(wanted, got, tolerance):
                    different |= {i} if each else set(range(rows))
                    said.append(f"{name}[{i}] is {got!r:.80}, expected {wanted!r:.80}")
        return {"rows": rows, "agree": rows - len(different), "differences": said[:20]}

    def time(self, runs: int) -> dict[str, float]:
        """Measure `runs` answers to one row, and to all rows of the sample: medians and 95th percentile, seconds."""
        inputs, _ = self.sample()
        one = inputs[:1] if isinstance(inputs, list) else {name: values[:1] for name, values in inputs.items()}
        took: list[list[float]] = [[], []]
        for kept, rows in [([], one), *[(took[0], one), (took[1], inputs)] * runs]:  # the first is slower
            started = time.perf_counter()
            self.predict(rows)
            kept.append(time.perf_counter() - started)
        found = {"one_row_median_s": np.median(took[0]), "one_row_p95_s": np.percentile(took[0], 95)}
        found["rows_per_s"] = len(_rows_of(inputs)) / np.median(took[1])
        return {"runs": runs, **{name: float(value) for name, value in found.items()}}

    def _load_code(self) -> dict[str, Any]:
        """The functions around the model that the version was shipped with; most have none."""
        names, space = self.signature["code"], {"__name__": "around_the_model"}
        if names:
            path = self.folder / "around.py"
            exec(compile(path.read_bytes(), str(path), "exec"), space)  # noqa: S102  # as importing it would
        return {name: space[name] for name in names}

    def _run(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Give the columns to the graph, and its answers in the dtypes and shapes of the trained model."""
        rows = len(next(iter(columns.values())))
        if len(self._inputs) == 1:
            name, dtype, rank = self._inputs[0]
            parts = list(columns.values())
            feeds = {name: _typed(parts[0] if len(parts) == 1 else np.column_stack(parts), dtype, rank)}
        else:
            feeds = {name: _typed(columns[name], dtype, rank) for name, dtype, rank in self._inputs}
        answers = self.signature["model_outputs"]
        found = self._in_batches([output["graph"] for output in answers], feeds, rows)
        return {output["name"]: _restored(output, value, rows) for output, value in zip(answers, found)}

    def _in_batches(self, wanted: list[str], feeds: dict[str, Any], rows: int) -> list[Any]:
        """Run the graph once; or, where it takes exactly so many rows, as often as needed, the last time filled up."""
        size = self.signature["batch"]
        if not size:
            found: list[Any] = self._session.run(wanted, feeds)
            return found
        parts = []
        for start in range(0, rows, size):
            chunk = {name: values[start : start + size] for name, values in feeds.items()}
            here = min(size, rows - start)
            if here < size:
                chunk = {name: np.concatenate([v, np.repeat(v[-1:], size - here, axis=0)]) for name, v in chunk.items()}
            parts.append([value[:here] for value in self._session.run(wanted, chunk)])
        return [np.concatenate(values) for values in zip(*parts)]


def read(signature: Mapping[str, Any], inputs: Any) -> dict[str, Any]:
    """The columns of `inputs` as arrays of the signature's dtypes. Raises `InvalidInputs` for the first bad value."""
    columns, container = signature["columns"], signature["container"]
    table = container == "dataframe" or (container == "dict" and isinstance(inputs, list))
    lists: Any
    if isinstance(inputs, np.ndarray) and container != "dict":
        if table and (inputs.ndim != 2 or inputs.shape[1] != len(columns)):
            refuse("inputs", f"has the shape {list(inputs.shape)}", f"send the shape [rows, {len(columns)}]")
        lists = list(inputs.T) if table else [inputs]
    elif isinstance(inputs, Mapping) and container in ("dataframe", "dict") and inputs:
        _check_names(columns, inputs, "inputs")
        lists = [inputs[column["name"]] for column in columns]
        for column, values in zip(columns, lists):
            if not isinstance(values, (list, np.ndarray)):
                refuse(f"inputs.{column['name']}", f"is {_kind(values)}, not a list of values", "send a list")
        if len({len(values) for values in lists}) > 1:
            refuse("inputs", "has columns of different lengths", "send as many values in each column")
    elif not isinstance(inputs, list):
        refuse("inputs", f"is {_kind(inputs)}, not a list of rows", "send [row, row, …]")
    elif table:
        lists = _from_rows(columns, inputs)
    else:
        lists = [inputs]
    if not len(lists[0]):
        refuse("inputs", "is empty", "send at least one row")
    return {column["name"]: _column(column, values, table=table) for column, values in zip(columns, lists)}


def refuse(field: str, problem: str, fix: str) -> NoReturn:
    raise InvalidInputs(field, problem, fix)


def _from_rows(columns: Sequence[Any], rows: list[Any]) -> list[list[Any]]:
    """Rows, or records, as a list for each column."""
    for i, row in enumerate(rows):
        if isinstance(row, Mapping):
            _check_names(columns, row, f"inputs[{i}]")
        elif not isinstance(row, (list, tuple)):
            refuse(f"inputs[{i}]", f"is {_kind(row)}, not a record or a row", "send an object, or a list")
        elif len(row) != len(columns):
            fix = f"send {len(columns)} values: {', '.join(_names(columns)[:20])}"
            refuse(f"inputs[{i}]", f"has {len(row)} values", fix)
    if len({isinstance(row, Mapping) for row in rows}) > 1:
        refuse("inputs", "mixes records and rows", "send all rows as objects, or all as lists")
    by_name = bool(rows) and isinstance(rows[0], Mapping)
    return [[row[column["name"] if by_name else i] for row in rows] for i, column in enumerate(columns)]


def _names(columns: Sequence[Any]) -> list[str]:
    return [str(column["name"]) for column in columns]


def _check_names(columns: Sequence[Any], given: Mapping[str, Any], where: str) -> None:
    names = _names(columns)
    for name in sorted(set(names) - set(given)):
        refuse(f"{where}.{name}", "is missing", f"send the columns {', '.join(names[:20])}")
    for name in sorted(set(given) - set(names)):
        refuse(f"{where}.{str(name)[:80]}", "is not a column of this model", "leave it out")


def _column(column: Mapping[str, Any], values: Any, *, table: bool) -> Any:
    """One column as an array of its dtype, of the shape (rows, *column["shape"])."""

    def at(i: int) -> str:
        index = [int(j) for j in np.unravel_index(i, shape)]
        if not table:
            return "inputs" + "".join(f"[{j}]" for j in index)
        return f"inputs[{index[0]}].{column['name']}" + "".join(f"[{j}]" for j in index[1:])

    quick = _quick(column, values)
    if quick is not None:
        return quick
    leaves, shape = _listed(values), [len(values)]
    for size in column["shape"]:
        wanted = len(leaves[0]) if size == -1 and isinstance(leaves[0], list) else size
        for i, item in enumerate(leaves):
            if not isinstance(item, list):
                refuse(at(i), f"is {_kind(item)}, not a list of {wanted} values", "wrap the row in brackets: [[…]]")
            if len(item) != wanted:
                refuse(at(i), f"has {len(item)} values", f"send {wanted} values")
        shape.append(wanted)
        leaves = [leaf for item in leaves for leaf in item]
    if not column["nullable"] and None in leaves:
        fix = "send a value; the sample that this model was deployed with has none missing there"
        refuse(at(leaves.index(None)), "is null", fix)
    return _read_values(column, leaves, at).reshape(shape)


def _listed(value: Any) -> Any:
    """Arrays and tuples as lists, NaN as None: what a request would say."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _quick(column: Mapping[str, Any], values: Any) -> Any:
    """Numbers that fit a column of floats, all at once; None where they have to be looked at one by one."""
    if column["dtype"] not in ("float64", "float32", "float16"):
        return None
    if not isinstance(values, np.ndarray):
        if column["shape"] or not set(map(type, values)) <= {float, int}:
            return None
        try:
            values = np.array(values, float)
        except OverflowError:
            return None
    fits = values.dtype.kind in "iuf" and values.ndim == 1 + len(column["shape"])
    if not fits or any(want not in (-1, got) for want, got in zip(column["shape"], values.shape[1:])):
        return None
    with np.errstate(over="ignore"):
        found = values.astype(column["dtype"])
    return found if np.isfinite(found).all() else None


def _read_values(column: Mapping[str, Any], leaves: list[Any], at: Any) -> Any:
    """The single values of a column, flat, as an array of its dtype."""
    dtype = column["dtype"]
    if dtype in ("str", "bool", "boolean"):
        wanted, said = (str, "a text") if dtype == "str" else (bool, "true or false")
        for i, leaf in enumerate(leaves):
            if leaf is not None and not isinstance(leaf, wanted):
                refuse(at(i), f"is {_kind(leaf)}, not {said}", f"send {said}")
            for allowed in (column["known"], column["categories"]):
                if leaf is not None and allowed is not None and leaf not in allowed:
                    refuse(at(i), "is a text that the model does not know", f"send one of: {', '.join(allowed[:20])}")
        return np.array(leaves, bool) if wanted is bool and None not in leaves else _objects(leaves)
    if dtype == "object":
        return _objects(leaves)
    own = dtype != dtype.lower()  # "Int16" is pandas' own, in which whole numbers may be missing
    kind = np.dtype(dtype.lower())
    found = [
        None if leaf is None and (own or kind.kind == "f") else _number(kind, leaf, at, i, own)
        for i, leaf in enumerate(leaves)
    ]
    return _objects(found) if own else np.array([math.nan if v is None else v for v in found], kind)


def _number(dtype: Any, leaf: Any, at: Any, i: int, own: bool) -> Any:
    """A number in the dtype. Raises `InvalidInputs` for what is none, or is another number in that dtype."""
    if not isinstance(leaf, (int, float)) or (own and isinstance(leaf, bool)):
        refuse(at(i), f"is {_kind(leaf)}, not a number", f"send a {dtype}")
    if dtype.kind == "f":
        try:
            with np.errstate(over="ignore"):
                found = np.asarray(float(leaf)).astype(dtype)
        except OverflowError:
            found = np.asarray(math.inf)
        if np.isinf(found):
            refuse(at(i), f"is too large for {dtype}", "send a finite number")
        return found.item()
    limits = np.iinfo(dtype)
    if not limits.min <= leaf <= limits.max or leaf != int(leaf):
        said = leaf if abs(leaf) < 2**128 else "a number of that size"
        refuse(at(i), f"is {said}, not a whole number of {dtype}", f"send {limits.min} to {limits.max}")
    return int(leaf)


def _objects(leaves: Sequence[Any]) -> Any:
    found = np.empty(len(leaves), dtype=object)
    found[:] = leaves
    return found


def _kind(value: Any) -> str:
    names = {bool: "true or false", str: "a text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def _typed(values: Any, dtype: Any, rank: int) -> Any:
    """A column as the graph takes it. Texts are strings, and a missing one is empty: ONNX has no null for them."""
    if dtype.kind == "O":
        texts = ["" if v is None or (isinstance(v, float) and math.isnan(v)) else str(v) for v in values.reshape(-1)]
        values = np.array(texts, dtype=object).reshape(values.shape)
    elif values.dtype != dtype:
        given = values
        with np.errstate(over="ignore"):
            values = given.astype(dtype)
        if given.dtype.kind == "f" and dtype.kind == "f":
            bad = np.isfinite(given) & np.isinf(values)
            if bad.any():
                fix = f"send less: the model computes in {dtype}"
                refuse("inputs", f"has {given[bad][0]:g} in row {np.argwhere(bad)[0][0]}, which is too large", fix)
    if values.ndim == 1 and rank == 2:
        return values.reshape(-1, 1)
    if values.ndim == 2 and values.shape[1] == 1 and rank == 1:
        return values.reshape(-1)
    return values


def _restored(output: Mapping[str, Any], value: Any, rows: int) -> Any:
    """An answer in the trained model's dtype and shape: a graph says float32 and (n, 1) for float64 and (n,)."""
    if output["container"] != "ndarray" or not isinstance(value, np.ndarray):
        return value
    shape, dtype = tuple(output["shape"]), np.dtype(output["dtype"])
    if output["per_row"] and value.shape[1:] != shape and value.size == rows * math.prod(shape):
        value = value.reshape(rows, *shape)
    if dtype.kind == "U":
        return value.astype(str)
    return value if value.dtype == dtype else value.astype(dtype)


def to_plain(value: Any) -> Any:
    """`value` as JSON values: arrays as nested lists, NaN as null."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    raise TypeError(f"an answer holds a {type(value).__name__}, which JSON cannot say")


def _largest(value: Any) -> float:
    """The largest absolute number in JSON values, the scale of its rounding errors; 1 where there is none."""
    if isinstance(value, (list, dict)):
        return max(map(_largest, value.values() if isinstance(value, dict) else value), default=1.0)
    return abs(value) or 1.0 if isinstance(value, (int, float)) else 1.0


def _alike(wanted: Any, got: Any, tolerance: float) -> bool:
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return all(_alike(a, b, tolerance) for a, b in zip(wanted, got))
    if isinstance(wanted, dict) and isinstance(got, dict) and wanted.keys() == got.keys():
        return all(_alike(a, got[key], tolerance) for key, a in wanted.items())
    numbers = isinstance(wanted, (int, float)) and isinstance(got, (int, float))
    return abs(wanted - got) <= tolerance if numbers else bool(wanted == got)


def rows_of_file(path: str, signature: Mapping[str, Any]) -> Any:
    """The rows in a file: JSON (rows, or a request with "inputs"), a JSON value a line, or CSV; - is standard input."""
    text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")
    if path.lower().endswith(".csv"):
        return _rows_of_csv(text.splitlines(), signature["columns"])
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    table = signature["container"] in ("dataframe", "dict") and "inputs" in _names(signature["columns"])
    return found["inputs"] if isinstance(found, dict) and "inputs" in found and not table else found


def _rows_of_csv(lines: Iterable[str], columns: Sequence[Any]) -> list[Any]:
    """The rows of a CSV file, whose first line names the columns; an empty cell is a missing value."""
    found = list(csv.reader(lines))
    if not found:
        return []
    if columns[0]["shape"]:  # rows of an array: the line of names is for people
        parsed = [[_cell(cell, "float64") for cell in row] for row in found if row]
        return parsed[1:] if any(isinstance(cell, str) for cell in parsed[0]) else parsed
    dtypes = {column["name"]: column["dtype"] for column in columns}
    return [{name: _cell(cell, dtypes.get(name, "")) for name, cell in zip(found[0], row)} for row in found[1:] if row]


def _cell(text: str, dtype: str) -> Any:
    """What a cell holds: a text, a truth, or a number; its text where it is no number."""
    if text == "" or dtype == "str":
        return text or None
    if dtype.lower().startswith("bool"):
        return {"true": True, "false": False}.get(text.lower(), text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _rows_of(inputs: Any) -> Any:
    """Something as long as there are rows."""
    return inputs if isinstance(inputs, list) else next(iter(inputs.values()))


def _lines(answers: Mapping[str, Any], rows: int) -> Iterable[dict[str, Any]]:
    plain = {name: to_plain(value) for name, value in answers.items()}
    if all(isinstance(value, list) and len(value) == rows for value in plain.values()):
        return ({name: value[i] for name, value in plain.items()} for i in range(rows))
    return [plain]


def main(words: Sequence[str] | None = None) -> int:
    """Run a command of the command line. 0: well; 1: an answer differs; 2: the rows, or the folder, cannot be used."""
    parser = argparse.ArgumentParser(description="Answer rows with the model in this folder.")
    parser.add_argument("rows", nargs="?", help="a file of rows: .json, .csv, or - for standard input")
    parser.add_argument("--folder", default=str(Path(__file__).resolve().parent), help="where the model is")
    parser.add_argument("--file", default="model.ort", choices=["model.ort", "model.onnx"], help="which model runs")
    parser.add_argument("--check", action="store_true", help="replay the sample, and compare")
    parser.add_argument("--time", type=int, default=0, metavar="N", help="measure N runs")
    asked = parser.parse_args(words)
    if not (asked.rows or asked.check or asked.time > 0):
        parser.error("name a file of rows, or --check, or --time N")
    try:
        model = Model(asked.folder, file=asked.file)
        if asked.check:
            found = model.check()
            sys.stdout.write(json.dumps(found) + "\n")
            if found["agree"] != found["rows"] or found["differences"]:
                return 1
        if asked.time > 0:
            sys.stdout.write(json.dumps(model.time(asked.time)) + "\n")
        if asked.rows:
            rows = rows_of_file(asked.rows, model.signature)
            for line in _lines(model.predict(rows), len(_rows_of(rows))):
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
