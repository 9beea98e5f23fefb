"""Sparse matrices and arrays of scipy."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.errors import BadSample
from autodeploy_magic.registry import need

__all__ = ["ScipyLibrary", "library"]

_MOST_VALUES = 2**24
"""More values than this, zeros counted, are not written out: JSON has no other way to say them."""


class ScipyLibrary:
    """A request holds every value, the zeros too; the model gets them in compressed rows, as it was fitted on."""

    def recognises(self, value: Any) -> bool:
        return bool(need("scipy.sparse", "reading a sparse matrix").issparse(value))

    def to_plain(self, value: Any) -> Any:
        rows, *_ = value.shape
        if value.shape[0] and rows * (value.shape[1] if value.ndim > 1 else 1) > _MOST_VALUES:
            raise BadSample(
                f"a sparse matrix of shape {value.shape} is too large to be written out",
                why="a request has no form for sparse rows: it holds the zeros too",
                fix="give fewer rows, or fewer columns: sample[:100]",
            )
        return value.toarray()

    def from_plain(self, value: Any) -> Any:
        return need("scipy.sparse", "answering with a sparse matrix").csr_matrix(value)


library = ScipyLibrary()
