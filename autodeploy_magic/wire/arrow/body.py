"""Bodies ↔ tables."""

from __future__ import annotations

import struct
from typing import Any, Literal

from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire.arrow.ipc import read_ipc
from autodeploy_magic.wire.arrow.limits import Limits, TableRefused
from autodeploy_magic.wire.arrow.parquet import read_parquet
from autodeploy_magic.wire.fields import check_rows

__all__ = ["Form", "read_table", "write_table"]

Form = Literal["stream", "file", "parquet"]


def read_table(form: Form, body: bytes | bytearray | memoryview, *, max_rows: int, max_bytes: int) -> Any:
    """Read a body as a `pyarrow.Table` that is sound: no offset, index or text of it leads astray.

    `max_bytes` are what all columns may take once they are unpacked, which is known before they are. A stream and a
    file are told apart by their bytes. Raises `InvalidInputs` for what is no such table, `BodyTooLarge` for too large a
    one.
    """
    import pyarrow as pa

    limits = Limits(max_rows, max_bytes)
    view = memoryview(body)
    name = "a Parquet file" if form == "parquet" else "an Arrow IPC stream or file"
    try:
        table = read_parquet(view, limits) if form == "parquet" else read_ipc(view, limits)
        table.validate(full=True)
    except TableRefused as error:
        raise InvalidInputs(f"the body {error.what}", fix=error.fix, field="body") from error
    except pa.ArrowNotImplementedError as error:
        raise InvalidInputs(
            "the body has a column of a type that is not read here",
            fix="send numbers, texts, lists, dates",
            field="body",
        ) from error
    except (pa.ArrowException, struct.error, EOFError, OSError, ValueError, LookupError, OverflowError) as error:
        raise InvalidInputs(
            f"the body is not {name}, or not the whole of one", fix=f"send {name}", field="body"
        ) from error
    check_rows(table.num_rows, max_rows)
    return table


def write_table(form: Form, table: Any) -> bytes:
    """The table as a body: Arrow as it is, Parquet with its usual compression."""
    import pyarrow as pa
    from pyarrow import ipc, parquet

    sink = pa.BufferOutputStream()
    if form == "parquet":
        parquet.write_table(table, sink)
    else:
        with (ipc.new_stream if form == "stream" else ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())
