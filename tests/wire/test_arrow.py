"""Bodies that are no tables, or that would become too large ones: refused, before anything is unpacked."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import MAX_BYTES, MAX_ROWS, bodies, by_table, outcome, refusal
from pyarrow import feather, ipc

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.wire.arrow import from_table, read_table

X = Signature(container="dataframe", columns=(Column(name="x", dtype="float64"),))
TEXT = Signature(container="dataframe", columns=(Column(name="x", dtype="str"),))
ARRAY = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(2,)),))
SMALL = pa.table({"x": [1.0, 2.0, 3.0], "s": ["a", "b", "a"], "d": pa.array(["u", "v", "u"]).dictionary_encode()})
SMALL_SIGNATURE = Signature(
    container="dataframe",
    columns=tuple(Column(name=n, dtype=d) for n, d in (("x", "float64"), ("s", "str"), ("d", "str"))),
)
SMALL_BODIES = bodies(SMALL)


@pytest.fixture
def peak() -> Iterator[Any]:
    """How many bytes Arrow has held at most since the test began."""
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    yield pool.max_memory
    pa.set_memory_pool(before)


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def many_batches(batch: pa.RecordBatch, count: int) -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(count):
            writer.write_batch(batch)
    return sink.getvalue()


def file(table: pa.Table, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def refused(signature: Signature, form: Any, body: bytes, max_rows: int = MAX_ROWS) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        from_table(signature, read_table(form, body, max_rows=max_rows, max_bytes=MAX_BYTES), max_bytes=MAX_BYTES)
    refusal(caught.value)
    return caught.value


@pytest.mark.parametrize("name", SMALL_BODIES)
def test_cut_off_at_any_byte(name: str) -> None:
    form, body = SMALL_BODIES[name]
    whole = by_table(SMALL_SIGNATURE, form, body)
    assert whole[0] == "rows"
    for size in range(len(body)):
        found = by_table(SMALL_SIGNATURE, form, body[:size])
        if found[0] == "rows":  # a stream may be closed after any of its batches
            assert form == "stream"
            for column, (dtype, (rows,), values) in found[1].items():
                assert (dtype, values) == (whole[1][column][0], whole[1][column][2][:rows])
    assert by_table(SMALL_SIGNATURE, form, body + b"\0") == ("InvalidInputs", "body")


@given(st.sampled_from(sorted(SMALL_BODIES)), st.data())
@settings(deadline=None, max_examples=400)
def test_any_damage_is_refused_or_harmless(name: str, data: st.DataObject) -> None:
    form, body = SMALL_BODIES[name]
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[at] = data.draw(st.integers(0, 255))
        else:
            new = data.draw(st.binary(max_size=8))
            damaged[at : at + data.draw(st.integers(0, 8))] = new
    assert by_table(SMALL_SIGNATURE, form, bytes(damaged))


@given(st.sampled_from(["stream", "file", "parquet"]), st.binary(max_size=200))
@settings(deadline=None)
def test_no_table_at_all(form: Any, body: bytes) -> None:
    for start in (b"", b"ARROW1\0\0", b"PAR1", b"\xff\xff\xff\xff"):
        for end in (b"", b"ARROW1", b"PAR1"):
            assert by_table(X, form, start + body + end) == ("InvalidInputs", "body")


BOMB = pa.table({"x": np.zeros(4 * MAX_BYTES // 8)})
LONG = "y" * 100_000


def dictionary_of_one() -> pa.Table:
    return pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([0] * MAX_ROWS, pa.int32()), pa.array([LONG]))})


def views_of_one() -> pa.Table:
    view = struct.pack("<i4sii", len(LONG), LONG[:4].encode(), 0, 0)
    buffers = [None, pa.py_buffer(view * MAX_ROWS), pa.py_buffer(LONG.encode())]
    return pa.table({"x": pa.Array.from_buffers(pa.string_view(), MAX_ROWS, buffers)})


def nothing(count: int) -> pa.Array:
    """Nulls, which take no bytes in a body; `pa.nulls` would take some."""
    return pa.Array.from_buffers(pa.null(), count, [None])


def in_a_list(table: pa.Table) -> pa.Table:
    column = table.column("x").combine_chunks()
    return pa.table({"x": pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)})


BOMBS: dict[str, tuple[str, Any]] = {
    "zeros, zstd": ("stream", lambda: stream(BOMB, "zstd")),
    "zeros, lz4": ("stream", lambda: stream(BOMB, "lz4")),
    "zeros, file": ("file", lambda: file(BOMB, "zstd")),
    "zeros, parquet": ("parquet", lambda: parquet(BOMB, compression="zstd", use_dictionary=False)),
    "zeros, gzip": ("parquet", lambda: parquet(BOMB, compression="gzip", use_dictionary=False)),
    "zeros, run lengths": ("parquet", lambda: parquet(BOMB, compression="none")),
    "zeros, byte streams": (
        "parquet",
        lambda: parquet(BOMB, use_dictionary=False, column_encoding="BYTE_STREAM_SPLIT", compression="zstd"),
    ),
    "a long text in many rows": ("stream", lambda: stream(dictionary_of_one())),
    "the same as a file": ("file", lambda: file(dictionary_of_one(), "zstd")),
    "the same in Parquet": ("parquet", lambda: parquet(dictionary_of_one())),
    "the same as plain text in Parquet": ("parquet", lambda: parquet(pa.table({"x": [LONG] * MAX_ROWS}))),
    "a text that each row repeats the start of": (
        "parquet",
        lambda: parquet(
            pa.table({"x": [LONG] * MAX_ROWS}),
            use_dictionary=False,
            column_encoding="DELTA_BYTE_ARRAY",
            compression="none",
        ),
    ),
    "views of one text": ("stream", lambda: stream(views_of_one())),
    "views of one text in a list": ("stream", lambda: stream(in_a_list(views_of_one()))),
    "a dictionary in a list": ("stream", lambda: stream(in_a_list(dictionary_of_one()))),
    "one row of many zeros": (
        "parquet",
        lambda: parquet(pa.table({"x": pa.ListArray.from_arrays([0, len(BOMB)], BOMB["x"].combine_chunks())})),
    ),
    "nothing, many times": ("stream", lambda: stream(pa.table({"x": nothing(2**31 - 1)}))),
    "rows of nothing": (
        "stream",
        lambda: stream(pa.table({"x": pa.FixedSizeListArray.from_arrays(nothing(7 * 2**28), 2**28)})),
    ),
    "a list of very many nothings": (
        "stream",
        lambda: stream(pa.table({"x": pa.ListArray.from_arrays([0, 2**22 - 1], nothing(2**22 - 1))})),
    ),
    "many batches of nothing": (
        "stream",
        lambda: many_batches(pa.record_batch({"x": nothing(0)}), 2 * MAX_ROWS + 2000),
    ),
    "a description without end": ("stream", lambda: stream(pa.table({f"{i}{'n' * 99}": [1] for i in range(5000)}))),
    "another in Parquet": ("parquet", lambda: parquet(pa.table({f"{i}{'n' * 99}": [1] for i in range(1500)}))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_become_too_large_is_not_unpacked(name: str, peak: Any) -> None:
    form, write = BOMBS[name]
    body = write()
    assert len(body) < MAX_BYTES / 4
    before = peak()
    error = refused(TEXT, form, body, max_rows=MAX_ROWS if "batches" in name else 2**50)
    assert error.status == 413 or "DELTA_BYTE_ARRAY" in error.what
    assert peak() - before < MAX_BYTES


def test_an_index_that_names_one_batch_many_times() -> None:
    """The blocks of a file are where its footer says: each of them the first, which is compressed."""
    batch = pa.record_batch({"x": np.zeros(MAX_BYTES // 32)})
    sink = io.BytesIO()
    with ipc.new_file(sink, batch.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        for _ in range(8):
            writer.write_batch(batch)
    body = bytearray(sink.getvalue())
    (size,) = struct.unpack_from("<i", body, len(body) - 10)
    start = len(body) - 10 - size
    blocks = bytes(body[start : len(body) - 10])
    offsets = [at for at in range(0, len(blocks) - 23, 8) if _is_block(body, *struct.unpack_from("<qi4xq", blocks, at))]
    assert len(offsets) == 8
    first = blocks[offsets[-1] : offsets[-1] + 24]
    for at in offsets:
        body[start + at : start + at + 24] = first
    assert ipc.open_file(pa.py_buffer(bytes(body))).read_all().num_rows == 8 * len(batch)  # a reader would believe it
    assert refused(X, "file", bytes(body), max_rows=2**50).status == 413


def _is_block(body: bytearray, offset: int, metadata: int, length: int) -> bool:
    inside = 0 < offset < len(body) and offset % 8 == 0 and 0 < metadata < 1000 and 0 < length < len(body)
    return inside and body[offset : offset + 4] == b"\xff\xff\xff\xff"


class Loud(pa.ExtensionType):  # type: ignore[misc]
    """A type whose reading is code of a package."""

    read: ClassVar[list[bytes]] = []

    def __init__(self) -> None:
        super().__init__(pa.float64(), "tests.loud")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"whatever"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Loud:
        cls.read.append(serialized)
        return cls()


def test_no_type_of_another_package_is_read() -> None:
    pa.register_extension_type(Loud())
    try:
        table = pa.table({"x": pa.ExtensionArray.from_storage(Loud(), pa.array([1.0]))})
        written = {"stream": stream(table), "file": file(table), "parquet": parquet(table)}
        Loud.read.clear()
        for form, body in written.items():
            assert "extension type" in refused(X, form, body).what
        assert Loud.read == []
        pq.read_table(io.BytesIO(written["parquet"]))
        assert Loud.read  # which is what would have happened
    finally:
        pa.unregister_extension_type("tests.loud")


def test_feather_of_before_arrow_is_named() -> None:
    assert "Feather" in refused(X, "file", b"FEA1" + b"\0" * 40 + b"FEA1").what


def test_feather_of_pandas() -> None:
    sink = io.BytesIO()
    feather.write_feather(pd.DataFrame({"x": [1.5]}), sink)
    assert by_table(X, "file", sink.getvalue())[0] == "rows"


@pytest.mark.parametrize(
    ("table", "signature", "field"),
    [
        (pa.table({"x": [1.0], "y": [1]}), X, "inputs.y"),
        (pa.table({"y": [1.0]}), X, "inputs.x"),
        (pa.table([[1.0], [2.0]], names=["x", "x"]), X, "inputs.x"),
        (pa.table({"x": [1.0, None]}), X, "inputs[1].x"),
        (pa.table({"x": [[1.0]]}), X, "inputs[0].x"),
        (pa.table({"x": pa.array([b"1"])}), X, "inputs[0].x"),
        (pa.table({"x": pa.array([b"\xff"])}), TEXT, "inputs.x"),
        (pa.table({"x": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}), X, "inputs.x"),
        (pa.table({"x": pa.array([b"ab"], pa.binary(2))}), TEXT, "inputs.x"),
        (pa.table({"x": pa.RunEndEncodedArray.from_arrays([2], [1.0])}), X, "inputs.x"),
        (pa.table({"x": pa.array([1], pa.timestamp("s", "Asia/Tokyo"))}), X, "inputs.x"),
        (pa.table({"x": pa.array([[1.0]], pa.list_view(pa.float64()))}), X, "inputs.x"),
        (pa.table({"x": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), X, "inputs.x"),
        (pa.table({"a": [1.0]}), ARRAY, "inputs"),
        (pa.table({"a": [1.0], "b": [1.0], "c": [1.0]}), ARRAY, "inputs"),
        (pa.table({"a": [1.0], "b": [None]}), ARRAY, "inputs[0][1]"),
        (pa.table({"a": [1.0], "b": ["2"]}), ARRAY, "inputs[0][1]"),
        (pa.table({"a": [[1.0, 2.0], [3.0]]}), ARRAY, "inputs[1]"),
        (pa.table({"a": [[1.0, 2.0], None]}), ARRAY, "inputs[1]"),
        (pa.table({"a": [[1.0, 2.0], [3.0, None]]}), ARRAY, "inputs[1][1]"),
        (pa.table({"x": pa.array([], pa.float64())}), X, "inputs"),
        (pa.table({}), X, "inputs"),
    ],
)
def test_what_does_not_fit_is_named(table: pa.Table, signature: Signature, field: str) -> None:
    for body, form in ((stream(table), "stream"), (file(table), "file")):
        assert refused(signature, form, body).field == field


def test_too_many_rows() -> None:
    table = pa.table({"x": np.zeros(MAX_ROWS + 1)})
    for form, body in (("stream", stream(table)), ("file", file(table)), ("parquet", parquet(table))):
        error = refused(X, form, body)
        assert error.status == 413
        assert f"{MAX_ROWS + 1} rows" in error.what


def test_the_index_of_a_frame_is_no_column() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([7, 3]))
    named = frame.set_axis(pd.Index(["u", "v"], name="id"))
    many = frame.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    wanted = by_table(X, "stream", stream(pa.table({"x": [1.0, 2.0]})))
    for each in (frame, named, many):
        assert by_table(X, "stream", stream(pa.Table.from_pandas(each))) == wanted
        sink = io.BytesIO()
        each.to_parquet(sink)
        assert by_table(X, "parquet", sink.getvalue()) == wanted
    assert (
        outcome(lambda: from_table(ARRAY, pa.table({"__index_level_0__": [1], "a": [1], "b": [2]}), max_bytes=9999))[0]
        == "rows"
    )


def test_one_that_contradicts_itself_is_refused() -> None:
    """Indices that point outside the dictionary, offsets that go backwards: Arrow itself believes them."""
    beyond = pa.DictionaryArray.from_arrays(pa.array([5], pa.int32()), pa.array(["a"]), safe=False)
    offsets = pa.py_buffer(np.array([0, 4, 2], dtype=np.int32).tobytes())
    backwards = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abcd")])
    not_text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xff")]
    )
    for column in (beyond, backwards, not_text):
        assert refused(TEXT, "stream", stream(pa.table({"x": column}))).field == "body"
