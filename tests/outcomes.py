"""What came of a request, in a form in which the roads that it may take can be compared."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.wire import Batch, decode
from autodeploy_magic.wire.arrow import from_table, read_table

MAX_ROWS = 1_000
MAX_BYTES = 4 * 1024 * 1024

Outcome = tuple[Any, ...]


def outcome(road: Callable[[], Batch]) -> Outcome:
    """The columns with their dtypes and values; or the refusal's kind and field. Anything else raises."""
    try:
        batch = road()
    except RequestRefused as error:
        return refusal(error)
    for values in batch.columns.values():
        assert len(values) == batch.rows
        assert values.flags.writeable
    return ("rows", {name: (str(v.dtype), v.shape, _plain(v)) for name, v in batch.columns.items()})


def refusal(error: RequestRefused) -> Outcome:
    """A refusal is the client's to mend: it names a field, what is wrong with it, and what to send."""
    assert 400 <= error.status < 500
    assert error.field
    assert error.what
    assert error.fix
    assert len(str(error)) < 2000  # it repeats no body
    return type(error).__name__, error.field


def _plain(values: np.ndarray[Any, Any]) -> list[Any]:
    """Flat; what equals nothing, not even itself, by its name."""
    return [repr(v) if v != v or isinstance(v, float) else v for v in values.reshape(-1).tolist()]


def by_json(signature: Signature, inputs: Any) -> Outcome:
    """As JSON has it: written and read."""
    sent = msgspec.json.decode(msgspec.json.encode({"inputs": inputs}))["inputs"]
    return outcome(lambda: decode(signature, sent, max_rows=MAX_ROWS))


def by_table(signature: Signature, form: Any, body: bytes) -> Outcome:
    """As a table."""

    def road() -> Batch:
        table = read_table(form, body, max_rows=MAX_ROWS, max_bytes=MAX_BYTES)
        return from_table(signature, table, max_bytes=MAX_BYTES)

    return outcome(road)


def bodies(table: pa.Table) -> dict[str, tuple[str, bytes]]:
    """The table in every form that pyarrow writes: name → form and body."""
    found = {}
    for compression in (None, "lz4", "zstd"):
        options = ipc.IpcWriteOptions(compression=compression)
        for form, new in (("stream", ipc.new_stream), ("file", ipc.new_file)):
            sink = io.BytesIO()
            with new(sink, table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=2)
            found[f"{form}, {compression}"] = form, sink.getvalue()
    for options in (
        {"compression": "snappy"},
        {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 2},
        # Spans of time are Arrow's alone: Parquet has them as whole numbers, and Arrow's own note beside them.
        {
            "compression": "none",
            "use_dictionary": False,
            "store_schema": any(map(pa.types.is_duration, table.schema.types)),
        },
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink, **options)
        found[f"parquet, {options}"] = "parquet", sink.getvalue()
    return found
