"""Tensors of TensorFlow."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from autodeploy_magic.registry import need

__all__ = ["TensorFlowLibrary", "library", "without_noise"]

_NOISE = re.compile(rb"^(?:[IW]\d{4,}\s|WARNING: All log messages before absl|To enable the following instructions)")
"""How lines begin that TensorFlow's C++ side writes: straight to the process's error output, whatever Python asks."""


class TensorFlowLibrary:
    """Eager tensors and variables become arrays, text as str; arrays become tensors with their dtype.

    A ragged tensor becomes a list of lists, and such a list a ragged tensor.
    """

    def recognises(self, value: Any) -> bool:
        tensorflow = need("tensorflow", "reading a tensor")
        kinds = (tensorflow.Tensor, tensorflow.Variable, tensorflow.RaggedTensor, tensorflow.SparseTensor)
        return isinstance(value, kinds)

    def to_plain(self, value: Any) -> Any:
        tensorflow = need("tensorflow", "reading a tensor")
        if isinstance(value, tensorflow.SparseTensor):
            value = tensorflow.sparse.to_dense(value)
        if isinstance(value, tensorflow.RaggedTensor):
            return _texts(value.to_list())
        found = value.numpy()
        if value.dtype == tensorflow.string:
            return _text_array(found)
        return found.astype("float32") if value.dtype == tensorflow.bfloat16 else found

    def from_plain(self, value: Any) -> Any:
        tensorflow = need("tensorflow", "answering with tensors")
        if isinstance(value, list) and len({len(row) if isinstance(row, list) else -1 for row in value}) > 1:
            return tensorflow.ragged.constant(value)
        return tensorflow.convert_to_tensor(value)


def _text_array(found: Any) -> Any:
    """Bytes of UTF-8 as text; a lone one, which numpy gives as such, as an array without dimensions."""
    import numpy as np

    array = np.asarray(found, dtype=object)
    texts = np.empty(array.shape, dtype=object)
    texts.reshape(-1)[:] = [_texts(item) for item in array.reshape(-1)]
    return texts


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


library = TensorFlowLibrary()


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Keep the lines of TensorFlow's C++ side out of the error output; what others write to it comes afterwards."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without an error output
        yield
        return
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            stream.seek(0)
            others = b"".join(line for line in stream if not _NOISE.match(line))
            if others:
                os.write(2, others)
