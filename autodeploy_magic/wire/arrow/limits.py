"""How large a table may become, counted before it is unpacked."""

from __future__ import annotations

from autodeploy_magic.errors import BodyTooLarge

__all__ = ["Limits", "TableRefused"]


class TableRefused(Exception):
    """A table that is not read: what is the matter with it, said of "the body", and what to send instead."""

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class Limits:
    """Counts what a table would become; every method raises `BodyTooLarge` once it is too much.

    `max_bytes` are of all columns, unpacked. No value takes less than a byte, so there are no more values than bytes.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self.max_rows = max_rows
        self.max_bytes = max_bytes
        self._rows = 0
        self._bytes = 0
        self._values = 0
        self._parts = 0

    def rows(self, more: int) -> None:
        """Rows of one more batch."""
        self._rows += _whole(more)
        if self._rows > self.max_rows:
            raise BodyTooLarge(
                f"the request has {self._rows} rows; this deployment takes {self.max_rows} in one request",
                fix=f"send the rows in parts of at most {self.max_rows}",
                field="inputs",
            )

    def bytes(self, more: int) -> None:
        """Bytes that one more part has, unpacked."""
        self._bytes += _whole(more)
        if self._bytes > self.max_bytes:
            self.refuse()

    def values(self, more: int) -> None:
        """Values that one more part has, in all its columns."""
        self._values += _whole(more)
        if self._values > self.max_bytes:
            self.refuse()

    def part(self) -> None:
        """One more batch, page or dictionary: each costs something, even where it is empty."""
        self._parts += 1
        if self._parts > self.max_parts:
            raise BodyTooLarge(
                f"the table comes in more than {self.max_parts} parts", fix="write it with fewer batches", field="body"
            )

    def header(self, size: int) -> None:
        """The description of the columns."""
        if size > self.max_header:
            raise BodyTooLarge(
                f"the table's description takes {size} bytes; at most {self.max_header} are read",
                fix="send the model's columns only, without notes of your own in the metadata",
                field="body",
            )

    @property
    def max_parts(self) -> int:
        return self.max_rows + 1000

    @property
    def max_header(self) -> int:
        """A description becomes some fifty times its size in memory."""
        return max(256 * 1024, self.max_bytes // 64)

    def refuse(self) -> None:
        """Raise `BodyTooLarge` for a table that would take too many bytes."""
        raise BodyTooLarge(
            f"the table has more than {self.max_bytes} bytes once it is unpacked",
            fix="send the rows in parts, or raise AUTODEPLOY_MAX_BODY_BYTES and restart the deployment",
            field="body",
        )


def _whole(count: int) -> int:
    if count < 0:
        raise TableRefused("names a negative size", fix="write the table again")
    return count
