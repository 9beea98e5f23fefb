"""A live object, as the notebook had it: what the runners of all formats that load one have in common."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.wire.answers import by_target
from autodeploy_magic.wire.streams import close, is_stream

__all__ = ["LiveRunner"]

OPENMP_ROWS = 256
"""A histogram gradient boosting answers fewer rows quicker in one thread: a team of threads costs a barrier for every
tree, 1.3 → 1.3 ms a row on an idle machine of two processors and 1.3 → 5 ms on a busy one."""
JOBLIB_ROWS = 4096
"""A forest with n_jobs=-1 answers fewer rows quicker one tree after the other, with the same answers: every tree is a
task that costs 0.2 ms (100 trees, two processors: 1 row 4.5 ms instead of 23, 1 000 rows 15 instead of 34)."""


class LiveRunner:
    """Calls the methods that the live object answered the sample with.

    A format's own runner says how its file becomes that object, and where it must be called in another way.
    `threads` is how many its libraries may use at a time; None leaves that to them. Few rows are answered in one.
    """

    needs_container = True

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        self.model: Any = self.load(path, version)
        self._methods = {output.name: output.method for output in version.model_outputs or version.outputs}
        self._pools = _Pools(threads)

    def load(self, path: Path, version: Version) -> Any:
        """The live object that `path`, a file or a folder of the version, holds."""
        raise NotImplementedError

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer `x`, in the container of the sample or as a preprocess returned it, with the outputs `names`."""
        with self._pools.sized(x):
            answers = self.answers(x, names)
        return {name: self._sized(x, value) if is_stream(value) else value for name, value in answers.items()}

    def answers(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """The same, once the pools are set: a framework that gives all outputs at once says how here."""
        return {name: self.call(self._methods[name], x) for name in names}

    def apply(self, predict: Callable[[Any, Any], Any], x: Any) -> Any:
        """Answer `x` with the person's own `predict`, which is given the model."""
        with self._pools.sized(x):
            answer = predict(self.model, x)
        return self._sized(x, answer) if is_stream(answer) else answer

    def _sized(self, x: Any, stream: Iterator[Any]) -> Iterator[Any]:
        """The items of an answer on which the model is still at work, with the pools as they are for a whole one."""
        try:
            while True:
                with self._pools.sized(x):
                    try:
                        item = next(stream)
                    except StopIteration:
                        return
                yield item
        finally:
            close(stream)

    def call(self, method: str, x: Any) -> Any:
        """What the object's `method` says to `x`."""
        found = self.model(x) if method in ("", "__call__") else getattr(self.model, method)(x)
        return by_target(found) if method == "predict_proba" else found


class _Pools:
    """The pools of threads that a model's libraries have: no more threads than they should, and one for few rows."""

    def __init__(self, threads: int | None) -> None:
        self._threads = threads
        self._openmp: list[tuple[Any, int]] = []  # a library, and its threads for many rows
        self._joblib = sys.modules.get("joblib")  # which the model's module has imported, if it uses it
        try:
            import threadpoolctl
        except ImportError:
            return
        for library in threadpoolctl.ThreadpoolController().lib_controllers:
            own = _own_threads.setdefault(library.filepath, library.num_threads)
            most = own if threads is None else min(threads, own)
            if library.user_api == "openmp":
                self._openmp.append((library, most))
            elif most < own:
                library.set_num_threads(most)  # of BLAS: for the whole process

    def sized(self, x: Any) -> AbstractContextManager[Any]:
        """Be ready to answer `x` in this thread."""
        rows = _rows(x)
        if self._openmp:
            wanted = [most if rows >= OPENMP_ROWS else 1 for _, most in self._openmp]
            if getattr(_here, "openmp", None) != wanted:
                for (library, _), count in zip(self._openmp, wanted, strict=True):
                    library.set_num_threads(count)
                _here.openmp = wanted
        if self._joblib is None or (rows >= JOBLIB_ROWS and self._threads != 1):
            return nullcontext()
        config: AbstractContextManager[Any] = self._joblib.parallel_config(backend="sequential")
        return config


_own_threads: dict[str, int] = {}
"""How many threads a library had before we told it, by its file."""
_here = threading.local()
"""What OpenMP was told last in this thread: it counts for each that calls it."""


def _rows(x: Any) -> int:
    """How many rows a container has, or what a preprocess returned; 1 where that cannot be said."""
    if isinstance(x, Mapping) and x:
        x = next(iter(x.values()))
    shape = getattr(x, "shape", None)
    if shape:
        return int(shape[0])
    return len(x) if hasattr(x, "__len__") else 1
