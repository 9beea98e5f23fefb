"""Pickles whose bytes depend on the content alone: the same model and code give the same bytes in every kernel.

What the notebook defines (functions, classes, the globals they use) travels by value, through cloudpickle. What has a
file of its own travels by reference, and its module is noted: it becomes a pin or a copied file.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import os
import re
import sys
import textwrap
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cloudpickle

from autodeploy_magic.build.code_culprit import DeviceTensor, culprit_of, is_on_device
from autodeploy_magic.build.code_secrets import secret_names
from autodeploy_magic.build.environment.imports import accessors_of, imported_by_code
from autodeploy_magic.errors import AutodeployError, ExportFailed, ModelTooLarge

__all__ = ["Pickled", "dump", "source_text"]

FILE_NAME = "<notebook>"
"""What a traceback calls the file of a function that was defined in a cell."""

_CACHED = functools._lru_cache_wrapper  # noqa: SLF001  # what lru_cache makes; it says of itself where it can be imported
_TRACKER_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Pickled:
    """One pickle on disk: the full names of the `modules` it refers to, and what it carries whole, `by_value`.

    `secrets` are the names of those texts in it that look like a password, a token or a key.
    """

    path: Path
    sha256: str
    size_bytes: int
    modules: frozenset[str]
    by_value: tuple[Any, ...]
    secrets: tuple[str, ...] = ()


def dump(
    value: Any, path: Path, *, what: str, limit_bytes: int | None = None, reduce: Callable[[Any], Any] | None = None
) -> Pickled:
    """Pickle `value` into `path`, without holding a copy of it in memory.

    `reduce` is asked about each object first, as a pickler's `reducer_override` is. Raises `ExportFailed` where it
    cannot be pickled (`what` names it), `ModelTooLarge` where it would have more than `limit_bytes`.
    """
    with path.open("wb") as stream:
        sink = _Sink(stream, what, limit_bytes)
        pickler = _ContentPickler(sink, reduce=reduce)
        try:
            pickler.dump(value)
        except (AutodeployError, OSError):
            raise
        except MemoryError as error:
            raise ModelTooLarge(
                f"{what} does not fit into memory a second time", fix="close other notebooks, or shrink the model"
            ) from error
        except Exception as error:  # an object's own __reduce__ may raise anything
            raise _cannot(value, what, error, reduce) from error
    return Pickled(
        path,
        sink.sha256.hexdigest(),
        sink.size_bytes,
        frozenset(pickler.modules),
        tuple(pickler.by_value.values()),
        tuple(sorted(pickler.secrets)),
    )


def _cannot(value: Any, what: str, error: Exception, reduce: Callable[[Any], Any] | None) -> ExportFailed:
    """Say which object it is that cannot be pickled, and how the person's own names lead to it."""
    because = f"{type(error).__name__}: {_first_line(error)}"
    culprit = culprit_of(value, _ContentPickler, reduce)
    if culprit is None:
        return ExportFailed(f"{what} cannot be pickled", why=because, fix="let it hold data and functions only")
    place = what + culprit.path if culprit.path.startswith((".", "[")) else culprit.path
    where = f"{place} is {culprit.kind}" if culprit.path else f"it holds {culprit.kind}"
    return ExportFailed(f"{what} cannot be pickled", why=f"{where}, which cannot travel ({because})", fix=culprit.fix)


def source_text(functions: Mapping[str, Callable[..., Any]], carried: tuple[Any, ...]) -> str:
    """Return the source of `functions` and of what travels with them, for people to read; it is never run."""
    texts = ["# What travels with the model, for reading: code.pkl is what runs.\n"]
    chosen = set(map(id, functions.values()))
    for thing in [*(item for item in carried if id(item) not in chosen), *functions.values()]:
        try:
            texts.append(textwrap.dedent(inspect.getsource(thing)))
        except (OSError, TypeError):
            texts.append(f"# {getattr(thing, '__qualname__', thing)}: its source is not known to this kernel\n")
    return "\n\n".join(texts)


class _Sink:
    """A file that counts, hashes and refuses to grow past a limit."""

    def __init__(self, stream: IO[bytes], what: str, limit_bytes: int | None) -> None:
        self._stream = stream
        self._what = what
        self._limit_bytes = limit_bytes
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> int:
        size = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        self.size_bytes += size
        if self._limit_bytes is not None and self.size_bytes > self._limit_bytes:
            raise ModelTooLarge(
                f"{self._what} is too large for the memory of this machine",
                why=f"it has more than {self._limit_bytes / 2**20:,.0f} MB, and a clean process must load it a second "
                "time to verify it",
                fix="free memory (close other notebooks, `%deploy stop` what is not needed), or shrink the model",
            )
        self.sha256.update(data)
        self._stream.write(data)
        return size


class _ContentPickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # cloudpickle ships no types
    """Takes out of a pickle what says where and when, and not what: files, line numbers, random ids, stray memory."""

    def __init__(self, file: Any, *, track_classes: bool = True, reduce: Callable[[Any], Any] | None = None) -> None:
        super().__init__(file, protocol=5)
        self._reduce = reduce
        self.modules: set[str] = set()
        self.by_value: dict[int, Any] = {}
        self.secrets: set[str] = set()
        self._track_classes = track_classes

    def reducer_override(self, obj: Any) -> Any:
        if self._reduce is not None:
            found = self._reduce(obj)
            if found is not NotImplemented:
                return found
        if isinstance(obj, types.CodeType):
            # `co_firstlineno` is where the cell put it; the line table is relative to it and stays
            return self.dispatch_table[types.CodeType](obj.replace(co_filename=FILE_NAME, co_firstlineno=1))
        if isinstance(obj, types.ModuleType):
            self._note(obj.__name__)
            return NotImplemented
        special = _special(obj)
        if special is not None:
            return special
        if _is_padded_array(obj):
            return _without_padding(obj).__reduce_ex__(5)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented:
            if isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
                self._note(getattr(obj, "__module__", None))
            return reduced
        if isinstance(obj, types.FunctionType):
            self.by_value[id(obj)] = obj
            self._note(obj.__module__)
            self._function(obj, reduced[2][1])
            reduced[1][1].pop("__file__", None)  # the function's base globals: where a script lies is not content
            reduced[1][1].pop("__path__", None)
        elif isinstance(obj, type) and len(reduced) > 2:  # type(None) and its like reduce to a call
            self.by_value[id(obj)] = obj
            reduced = self._class(obj, reduced)
        return reduced

    def _function(self, obj: types.FunctionType, state: dict[str, Any]) -> None:
        """A function by value: what it imports when it runs, and what it holds that had better stay here."""
        self.modules |= imported_by_code(obj.__code__)
        hung = accessors_of(obj.__code__)
        self.modules |= hung
        # what cloudpickle has there is imported where the function is loaded, and then forgotten
        state["_cloudpickle_submodules"] += [sys.modules[name] for name in sorted(hung) if name in sys.modules]
        cells = zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True)
        held = {name: _content(cell) for name, cell in cells}
        self.secrets |= set(secret_names(state["__globals__"])) | set(secret_names(held))

    def _class(self, obj: type, reduced: Any) -> Any:
        """A class by value: cloudpickle gives it a random id, to know it again in one process; ours is its content."""
        make, arguments, state, *rest = reduced
        identity = self._identity(obj) if self._track_classes else None
        arguments = tuple(
            identity if isinstance(item, str) and _TRACKER_ID.fullmatch(item) else item for item in arguments
        )
        if isinstance(state, tuple) and isinstance(state[0], dict):
            content = {k: v for k, v in state[0].items() if k not in ("__firstlineno__", "__static_attributes__")}
            state = (content, *state[1:])
        return (make, arguments, state, *rest)

    def _identity(self, obj: type) -> str:
        stream = io.BytesIO()
        type(self)(stream, track_classes=False, reduce=self._reduce).dump(obj)
        return hashlib.sha256(stream.getbuffer()).hexdigest()[:32]

    def _note(self, module: str | None) -> None:
        if module and module != "__main__":
            self.modules.add(module)


def _special(obj: Any) -> Any:
    """How objects travel that cloudpickle would carry too much of, or cannot; None for all others."""
    if obj is os.environ:
        return "environ"  # by reference: by value it would carry all that this kernel's environment holds
    if type(obj) is functools.cached_property:
        # until Python 3.12 it holds a lock
        return functools.cached_property, (obj.func,), {"attrname": obj.attrname}
    if type(obj) is _CACHED and not _is_importable(obj):
        told = obj.cache_parameters()
        held = {name: value for name, value in vars(obj).items() if name != "cache_parameters"}
        return _CACHED, (obj.__wrapped__, told["maxsize"], told["typed"], functools._CacheInfo), held  # noqa: SLF001
    if obj is sys.stdout or obj is sys.stderr:
        return getattr, (sys, "stdout" if obj is sys.stdout else "stderr")  # a notebook's own are no files
    if isinstance(obj, io.IOBase) and not isinstance(obj, io.BytesIO | io.StringIO):
        raise TypeError("an open file is read to its end only once")  # cloudpickle would copy what is left of it
    if not isinstance(obj, type) and is_on_device(obj):
        raise DeviceTensor(f"it lies on {obj.device}, which the process that loads it may not have")
    return None


def _is_importable(obj: Any) -> bool:
    found: Any = sys.modules.get(obj.__module__) if obj.__module__ != "__main__" else None
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # not yet filled


def _is_padded_array(obj: Any) -> bool:
    """A record array of plain numbers. Told by its name: pickling must not import numpy for those who have none."""
    if type(obj).__name__ != "ndarray" or type(obj).__module__ != "numpy":
        return False
    return obj.dtype.names is not None and not obj.dtype.hasobject


def _without_padding(array: Any) -> Any:
    """A record array with zeros between its fields, where the memory of a fitted tree holds whatever was there."""
    import numpy as np

    clean = np.zeros(array.shape, dtype=array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    return clean


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:300]
