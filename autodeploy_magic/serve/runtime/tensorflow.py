"""TensorFlow in a worker: quiet, with its share of the processors and of a GPU, and compiled once for any batch."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from autodeploy_magic.registry import need
from autodeploy_magic.wire.libraries.tensorflow import without_noise

__all__ = ["Compiled", "prepare"]


def prepare(threads: int | None) -> Any:
    """Import TensorFlow as a worker wants it, and return it. `threads` is for one run; None leaves that to it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what it says of the processor at import is no news in a log
    with without_noise():  # some of it comes before TensorFlow has read that
        tf = need("tensorflow", "running this model")

    with contextlib.suppress(RuntimeError):  # it has computed something already, and keeps what it has
        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    with contextlib.suppress(RuntimeError):
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # else one worker takes all of its memory
    return tf


class Compiled:
    """A function of one tensor, or of a dict of tensors, as a graph that takes any number of rows.

    It is traced once for each kind of input. Where rows come in other sizes than before, once more with those sizes
    left open: never for a number of rows.
    """

    def __init__(self, call: Callable[[Any], Any]) -> None:
        import tensorflow as tf

        self._tensorflow = tf
        self._function = tf.function(call, autograph=False)
        self._made: dict[Any, tuple[list[tuple[int | None, ...]], Any]] = {}
        self._lock = threading.Lock()
        self.traces = 0

    def __call__(self, inputs: Any) -> Any:
        named = isinstance(inputs, Mapping)
        names = sorted(inputs) if named else [""]
        tensors = [self._tensorflow.convert_to_tensor(inputs[name] if named else inputs) for name in names]
        kind = tuple((name, tensor.dtype, tensor.shape.rank) for name, tensor in zip(names, tensors, strict=True))
        sizes = [tuple(tensor.shape[1:]) for tensor in tensors]
        made = self._made.get(kind)
        if made is None or not _fits(made[0], sizes):
            with self._lock:
                made = self._made.get(kind)
                if made is None or not _fits(made[0], sizes):
                    made = self._trace(names if named else None, tensors, made[0] if made else sizes, sizes)
                    self._made[kind] = made
        return made[1](dict(zip(names, tensors, strict=True)) if named else tensors[0])

    def _trace(
        self, names: list[str] | None, tensors: list[Any], before: list[tuple[int | None, ...]], sizes: list[Any]
    ) -> tuple[list[tuple[int | None, ...]], Any]:
        open_sizes = [
            tuple(a if a == b else None for a, b in zip(old, new, strict=True))
            for old, new in zip(before, sizes, strict=True)
        ]
        specs = [
            self._tensorflow.TensorSpec((None, *size) if tensor.shape.rank else (), tensor.dtype)
            for tensor, size in zip(tensors, open_sizes, strict=True)
        ]
        self.traces += 1
        return open_sizes, self._function.get_concrete_function(
            dict(zip(names, specs, strict=True)) if names is not None else specs[0]
        )


def _fits(open_sizes: list[tuple[int | None, ...]], sizes: list[tuple[int, ...]]) -> bool:
    return all(
        a is None or a == b for old, new in zip(open_sizes, sizes, strict=True) for a, b in zip(old, new, strict=True)
    )
