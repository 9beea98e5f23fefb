"""The language of requests and answers: JSON ↔ the containers a notebook holds.

    inputs.py    a sample → what a request would send; a request → arrays, checked against the signature
    columns.py   one column of it, with the first value that does not fit named (numbers.py, times.py)
    pictures.py  pictures and files, in base64
    fields.py    how a value is called in an error
    arrays.py    a request that comes as arrays, checked against the same signature
    arrow/       a request or an answer as a table of Arrow or Parquet
    libraries/   frames of polars and tensors of torch ↔ numpy's and pandas'
    streams.py   answers that come item by item
    answers.py   what a live object returns ↔ JSON, with what a client needs to rebuild it

On the floor, since the kernel that builds, the worker that serves and the handle that calls all speak it.
"""

from autodeploy_magic.wire.answers import describe, restore, to_plain
from autodeploy_magic.wire.arrays import from_arrays
from autodeploy_magic.wire.inputs import Batch, decode, in_library, to_container, to_request

__all__ = [
    "Batch",
    "decode",
    "describe",
    "from_arrays",
    "in_library",
    "restore",
    "to_container",
    "to_plain",
    "to_request",
]
