"""How a value of a request is called in an error, and the errors themselves: the field, what is wrong, what to send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import BodyTooLarge, InvalidInputs

__all__ = ["SHOWN", "Path", "check_rows", "describe_kind", "first", "place", "refuse", "refuse_missing", "short"]

SHOWN = 80
"""Characters of a client's own text, and names of its columns, that an error repeats: there may be a body full."""


class Path:
    """How a column's values are called: `inputs[3].age` in a table, `inputs[3][1]` among rows, `age[3]` in a tensor."""

    __slots__ = ("name", "style")

    def __init__(self, name: str, style: Literal["table", "rows", "tensor"] = "table") -> None:
        self.name = name
        self.style = style

    @property
    def whole(self) -> str:
        """The column as such."""
        return {"table": f"inputs.{self.name}", "rows": "inputs", "tensor": self.name}[self.style]

    def at(self, index: Sequence[int]) -> str:
        """The value, or the row, at `index`."""
        if self.style == "table" and index:
            return f"inputs[{index[0]}].{self.name}" + "".join(f"[{i}]" for i in index[1:])
        return self.whole + "".join(f"[{i}]" for i in index)

    def of(self, indices: Sequence[Sequence[int]]) -> Path:
        """The path of values that stood at `indices` before they were picked out into a list of their own."""
        return _Picked(self, indices)


class _Picked(Path):
    __slots__ = ("_all", "_indices")

    def __init__(self, all_: Path, indices: Sequence[Sequence[int]]) -> None:
        super().__init__(all_.name, all_.style)
        self._all = all_
        self._indices = indices

    def at(self, index: Sequence[int]) -> str:
        return self._all.at(self._indices[index[0]])


def first(bad: NDArray[Any]) -> tuple[int, ...]:
    """The index of the first true value; there is one."""
    return tuple(int(i) for i in np.argwhere(bad)[0])


def place(i: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The index, in an array of `shape`, of its flat value number `i`."""
    return tuple(int(j) for j in np.unravel_index(i, tuple(shape)))


def refuse(field: str, problem: str, fix: str) -> NoReturn:
    """Raise the `InvalidInputs` that names a field, what is wrong with it, and what to send instead."""
    raise InvalidInputs(f"{field} {problem}", fix=fix, field=field)


def refuse_missing(field: str, what: str = "null") -> NoReturn:
    """Raise the `InvalidInputs` for a value that is missing where the sample had none missing."""
    raise InvalidInputs(
        f"{field} is {what}",
        why="the sample that this model was deployed with has no missing value there",
        fix="send a value, or deploy again with a sample that has missing values in this column",
        field=field,
    )


def check_rows(rows: int, max_rows: int | None, field: str = "inputs") -> None:
    """Raise `InvalidInputs` where there is no row, `BodyTooLarge` where there are more than `max_rows`."""
    if rows == 0:
        raise InvalidInputs(f"{field} is empty", fix="send at least one row", field=field)
    if max_rows is not None and rows > max_rows:
        raise BodyTooLarge(
            f"the request has {rows} rows; this deployment takes {max_rows} in one request",
            fix=f"send the rows in parts of at most {max_rows}",
            field=field,
        )


def describe_kind(value: Any) -> str:
    """How a JSON value is called in an error: "a number", "null", "a list"."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def short(text: str) -> str:
    """A client's own text, as long as an error may repeat it."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
