"""Whatever bytes a body is, every protocol reads rows from it, or refuses it and names the field."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from outcomes import refusal
from versions import X, write_version

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import Inference, Request
from autodeploy_magic.serve.road import Road

TABLE = Signature(
    container="dataframe",
    columns=(
        Column(name="age", dtype="int64"),
        Column(name="fare", dtype="float64", nullable=True),
        Column(name="port", dtype="str"),
        Column(name="alone", dtype="bool"),
        Column(name="day", dtype="datetime64[ns]", nullable=True),
    ),
)
TEXTS = Signature(container="list", columns=(Column(name="inputs", dtype="str"),))
SIGNATURES = {"array": None, "table": TABLE, "texts": TEXTS}
QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

JSON = "application/json"
CSV = "text/csv"
BINARY = "application/octet-stream"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
WAYS = [
    ("/predict", JSON),
    ("/predict", ARROW),
    ("/predict", PARQUET),
    ("/invocations", JSON),
    ("/invocations", CSV),
    ("/v1/models/iris:predict", JSON),
    ("/v2/models/iris/infer", JSON),
    ("/v2/models/iris/infer", BINARY),
]


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory, classifier: Any) -> dict[str, Road]:
    """One road for each signature; only what they read is looked at, so that one model serves all."""
    folder: Path = tmp_path_factory.mktemp("version")
    write_version(folder, classifier, X)
    found = {}
    for name, signature in SIGNATURES.items():
        served = ServedModel.load(folder)
        if signature is not None:
            served = ServedModel(
                msgspec.structs.replace(served.version, signature=signature), served._runner, {}, folder
            )
        found[name] = Road(served)
    return found


def read(road: Road, path: str, kind: str, body: bytes, headers: dict[bytes, bytes] | None = None) -> int:
    """How many rows were read; 0 where the body was refused."""
    found = road.find(path)
    assert found is not None
    route, protocol = road.routes[found[0]]["POST"]
    request = Request("id", path, kind, {b"content-type": kind.encode(), **(headers or {})}, body, found[1])
    try:
        result = route.handler(request)
    except RequestRefused as error:
        refusal(error)
        answer = protocol.refusal(error, "id")
        assert len(answer.body) < 5000
        assert b"Traceback" not in answer.body
        assert b"site-packages" not in answer.body
        return 0
    assert isinstance(result, Inference)
    assert result.batch.rows >= 1
    assert all(len(values) == result.batch.rows for values in result.batch.columns.values())
    return result.batch.rows


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "S", "true", "2026-01-31", "now", "FP64", "BYTES", "iris", "predictions", "b64"])
    | st.text(max_size=4)
)
KEYS = (
    "inputs outputs instances dataframe_split dataframe_records data columns index id parameters binary_data_size "
    "binary_data binary_data_output name shape datatype signature_name age fare port alone day b64 params "
    "classification"
)
keys = st.sampled_from(KEYS.split())
values = st.recursive(leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=5), max_leaves=20)

RECORD = {"age": 3, "fare": None, "port": "S", "alone": True, "day": "2026-01-31T00:00:00"}
ROWS = {"array": X[:2].tolist(), "table": [RECORD, RECORD], "texts": ["good", "bad"]}
SPLIT = {"columns": list(RECORD), "data": [list(RECORD.values())]}
TENSORS = {
    "array": [{"name": "inputs", "datatype": "FP64", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}],
    "texts": [{"name": "inputs", "datatype": "BYTES", "shape": [2], "data": ["good", "bad"]}],
    "table": [
        {"name": name, "datatype": datatype, "shape": [1, 1], "data": [value]}
        for (name, value), datatype in zip(RECORD.items(), ["INT64", "FP64", "BYTES", "BOOL", "BYTES"], strict=True)
    ],
}


@cache
def good(name: str, path: str, kind: str) -> bytes:
    """A body that is read."""
    if kind == CSV:
        lines = {
            "array": "1,2,3,4\n5,6,7,8\n",
            "table": "port,age,fare,alone,day\nS,3,,true,\n",
            "texts": "good\nbad\n",
        }
        return lines[name].encode()
    if kind in (ARROW, PARQUET):
        return _table(name, kind)
    if "v2" in path:
        return msgspec.json.encode({"inputs": TENSORS[name], "outputs": [{"name": "predictions"}]})
    if path == "/invocations" and name == "table":
        return msgspec.json.encode({"dataframe_split": SPLIT})
    key = "inputs" if path == "/predict" else "instances"
    return msgspec.json.encode({key: ROWS[name]})


def _table(name: str, kind: str) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"array": {"x": ROWS["array"]}, "texts": {"x": ROWS["texts"]}}.get(
        name, {k: [v] for k, v in RECORD.items()}
    )
    table = pa.table(columns)
    sink = io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(("path", "kind"), WAYS)
@pytest.mark.parametrize("name", SIGNATURES)
def test_what_is_right_is_read(roads: dict[str, Road], name: str, path: str, kind: str) -> None:
    assert read(roads[name], path, kind, good(name, path, kind))


@pytest.mark.parametrize(("path", "kind"), WAYS)
@pytest.mark.parametrize("name", SIGNATURES)
def test_cut_off_at_any_byte(roads: dict[str, Road], name: str, path: str, kind: str) -> None:
    body = good(name, path, kind)
    whole = read(roads[name], path, kind, body)
    for size in range(len(body)):
        assert read(roads[name], path, kind, body[:size]) <= whole


@given(st.sampled_from(sorted(SIGNATURES)), st.sampled_from(WAYS), st.binary(max_size=60))
@QUICK
def test_any_bytes(roads: dict[str, Road], name: str, way: tuple[str, str], body: bytes) -> None:
    read(roads[name], *way, body)


@given(st.sampled_from(sorted(SIGNATURES)), st.sampled_from(WAYS), st.dictionaries(keys, values, max_size=4) | values)
@settings(QUICK, max_examples=600)
@example("table", ("/invocations", JSON), {"dataframe_split": {"data": [[1]], "columns": []}})
@example("array", ("/invocations", JSON), {"dataframe_records": []})
@example("array", ("/v2/models/iris/infer", JSON), {"inputs": []})
@example("array", ("/v1/models/iris:predict", JSON), {"instances": {"b64": 1}})
def test_any_json(roads: dict[str, Road], name: str, way: tuple[str, str], body: Any) -> None:
    read(roads[name], *way, msgspec.json.encode(body))


@given(st.sampled_from(sorted(SIGNATURES)), st.sampled_from(WAYS), st.data())
@settings(QUICK, max_examples=600)
def test_any_damage(roads: dict[str, Road], name: str, way: tuple[str, str], data: st.DataObject) -> None:
    body = bytearray(good(name, *way))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"[", b"]", b"{", b"}", b",", b"null", b"1e400", b"-", b"\xed\xa0\x80"])
        )
    read(roads[name], *way, bytes(body))


@given(st.sampled_from(sorted(SIGNATURES)), st.binary(max_size=40), st.integers(-5, 100), st.data())
@QUICK
def test_any_binary_tensors(roads: dict[str, Road], name: str, rest: bytes, length: int, data: st.DataObject) -> None:
    tensors = msgspec.json.decode(msgspec.json.encode(TENSORS[name]))
    for tensor in tensors:
        if data.draw(st.booleans()):
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": data.draw(st.sampled_from([-1, 0, 1, 4, 8, 32, 2**31, 2**64]))}
        if data.draw(st.booleans()):
            tensor["datatype"] = data.draw(st.sampled_from(["BYTES", "FP64", "INT8", "BOOL", "FP16", "X"]))
    header = msgspec.json.encode({"inputs": tensors})
    said = str(len(header) if length > 50 else length).encode()
    found = {b"inference-header-content-length": said}
    read(roads[name], "/v2/models/iris/infer", BINARY, header + rest, found)


@pytest.mark.parametrize("length", [b"", b"-1", b"+1", b"1_0", b" 1", b"9" * 20, b"9" * 5000, b"0x10", b"\xb2", b"1.0"])
def test_any_length_of_the_json_part(roads: dict[str, Road], length: bytes) -> None:
    body = good("array", "/v2/models/iris/infer", BINARY)
    header = {b"inference-header-content-length": length}
    assert read(roads["array"], "/v2/models/iris/infer", BINARY, body, header) == 0


cells = st.sampled_from(
    ["", "1", "1.5", "1_000", "١", "nan", "inf", "-1e999", "9" * 5000, "true", "S", "2026-01-31", '"', '"a""b"']
)
cells |= st.text(alphabet='ab,";\r\n\x00 1', max_size=4)


@given(
    st.sampled_from(sorted(SIGNATURES)),
    st.lists(st.lists(cells | st.sampled_from(list(RECORD)), max_size=6), max_size=4),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(QUICK, max_examples=400)
def test_any_csv(roads: dict[str, Road], name: str, rows: list[list[str]], start: str, end: str) -> None:
    text = start + end.join(",".join(row) for row in rows)
    read(roads[name], "/invocations", CSV, text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "port,age,fare,alone,day\nS,3,,true,,5\n",  # a value that belongs to no column
        "port,age,fare,alone,day\nS,3,,true\n",
        "port,age,fare,alone,day,age\nS,3,,true,,4\n",  # which of the two
        "port,age,fare,alone,day\n",
        "3,1.5,S,true\n",
        '3,1.5,"S,true,\n',
    ],
)
def test_csv_that_can_be_read_in_two_ways_is_refused(roads: dict[str, Road], text: str) -> None:
    assert read(roads["table"], "/invocations", CSV, text.encode()) == 0


@pytest.mark.parametrize(("path", "kind"), WAYS)
def test_deep_and_odd(roads: dict[str, Road], path: str, kind: str) -> None:
    key = {"/predict": b"inputs", "/v2/models/iris/infer": b"inputs"}.get(path, b"instances")
    for body in (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"%s":' % key + b"[" * 900 + b"]" * 900 + b"}",
        b'{"%s":' % key + b'{"a":' * 900 + b"1" + b"}" * 901,
        b"\xef\xbb\xbf" + b'{"%s": [[1, 2, 3, 4]]}' % key,
        b'{"%s": [[NaN, 1, 2, 3]]}' % key,
        b'{"%s": [[Infinity, 1, 2, 3]]}' % key,
        b'{"%s": ["\\ud800"]}' % key,
        b'{"%s": ["\xed\xa0\x80"]}' % key,
        b'{"%s": [[1, 2, 3, %s]]}' % (key, b"9" * 10_000),
        b"",
        b"null",
        b"0",
        b'"' + b"x" * 10_000,
    ):
        for road in roads.values():
            assert read(road, path, kind, body) == 0 or (kind == CSV and road is not roads["array"])


def test_of_a_name_that_stands_twice_the_last_counts(roads: dict[str, Road]) -> None:
    """As in every reader of JSON that does not refuse it."""
    body = b'{"inputs": "x", "inputs": [[1, 2, 3, 4]], "inputs": [[5, 6, 7, 8], [1, 2, 3, 4]]}'
    assert read(roads["array"], "/predict", JSON, body) == 2


LONG = "x" * 100_000


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v1/models/iris:predict", "/v2/models/iris/infer"])
@pytest.mark.parametrize(
    "body",
    [
        {LONG: 1},
        {"inputs": [[1, 2, 3, 4]], "outputs": [LONG]},
        {"inputs": [[1, 2, 3, 4]], LONG: 1},
        {"inputs": {LONG: [1]}},
        {"inputs": [{LONG: 1}]},
        {"inputs": [LONG]},
        {"instances": [{LONG: 1}], "signature_name": LONG},
        {"instances": [[1, 2, 3, LONG]]},
        {"dataframe_split": {"columns": [LONG, LONG], "data": [[1, 2]]}},
        {"dataframe_records": [{LONG: 1}, {"a": 1}]},
        {"inputs": [TENSORS["array"][0] | {"name": LONG}]},
        {"inputs": [TENSORS["array"][0] | {"name": LONG}] * 2},
        {"inputs": [TENSORS["array"][0] | {"datatype": LONG}]},
        {"inputs": [TENSORS["array"][0] | {"name": LONG, "parameters": {"binary_data_size": 10**30}}]},
        {"inputs": TENSORS["array"], "outputs": [{"name": LONG}]},
    ],
)
def test_no_answer_repeats_a_body(roads: dict[str, Road], path: str, body: Any) -> None:
    for road in roads.values():
        read(road, path, JSON, msgspec.json.encode(body))
    assert read(roads["table"], "/invocations", CSV, f"{LONG},{LONG}\n{LONG}\n".encode()) == 0
