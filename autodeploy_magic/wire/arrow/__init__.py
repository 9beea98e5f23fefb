"""Tables of Arrow as requests and as answers: IPC streams, IPC files (Feather v2), Parquet.

    body.py      a body → a table, never larger than the limits; a table → a body
    ipc.py       an IPC body, measured by its messages' metadata before it is unpacked
    parquet.py   a Parquet body, measured by its pages' headers (thrift.py) before it is unpacked
    limits.py    how much a table may become
    columns.py   one column of a table → an array
    inputs.py    a table → rows that fit the signature: what JSON with the same values would be
    answers.py   outputs → a table

pyarrow is imported where it is needed: a deployment that nobody sends tables to needs none.
"""

from autodeploy_magic.wire.arrow.answers import to_table
from autodeploy_magic.wire.arrow.body import Form, read_table, write_table
from autodeploy_magic.wire.arrow.inputs import from_table

__all__ = ["Form", "from_table", "read_table", "to_table", "write_table"]
