"""Which object of all that was to be pickled could not be, how it is reached, and what to do about it.

preprocess → helper → LOG is an open file (train.log)
"""

from __future__ import annotations

import io
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Culprit", "DeviceTensor", "culprit_of", "is_on_device"]

_MOST_OBJECTS = 200_000
_BUDGET_S = 5.0


@dataclass(frozen=True)
class Culprit:
    """`path` is how a person's own names lead to it, `kind` what it is, `fix` what to do."""

    path: str
    kind: str
    fix: str


_INSIDE = "make it inside the function that uses it, so that every worker has its own"
_FETCH = "fetch what is needed first"
_KINDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("io.IOBase", "_io._IOBase", "tempfile._TemporaryFileWrapper"),
        "an open file",
        "read what is needed from it at the top of the cell, and let the function use that; or open it in the function",
    ),
    (("builtins.generator",), "a generator", "make a list of it: a generator is used up by one reader"),
    (
        ("builtins.coroutine", "builtins.async_generator", "_asyncio.Future", "asyncio.events.AbstractEventLoop"),
        "something of asyncio's",
        _INSIDE,
    ),
    (
        (
            *("_thread.lock", "_thread.RLock", "threading.Condition", "threading.Event", "threading.Semaphore"),
            "multiprocessing.synchronize.SemLock",
        ),
        "a lock",
        "make it inside the function, or leave it out: a worker calls the model from one thread at a time",
    ),
    (("threading.Thread", "multiprocessing.process.BaseProcess"), "a thread or a process", _INSIDE),
    (("_thread._local",), "a threading.local", _INSIDE),
    (
        ("concurrent.futures._base.Executor", "multiprocessing.pool.Pool"),
        "a pool of threads or processes",
        "make it inside the function, or leave it out: a deployment has workers of its own",
    ),
    (("_queue.SimpleQueue", "queue.Queue", "multiprocessing.queues.Queue"), "a queue", _INSIDE),
    (("_socket.socket", "_ssl._SSLContext", "_ssl._SSLSocket"), "a network connection", f"{_INSIDE}, or {_FETCH}"),
    (
        (
            *("sqlite3.Connection", "sqlite3.Cursor", "psycopg2.extensions.connection", "duckdb.DuckDBPyConnection"),
            *("sqlalchemy.engine.base.Engine", "sqlalchemy.engine.base.Connection"),
        ),
        "a database connection",
        "connect inside the function; or read what is needed at the top of the cell, and let the function use that",
    ),
    (("_weakref.ReferenceType", "weakref.ReferenceType"), "a weak reference", "hold the object itself"),
    (("builtins.frame", "builtins.traceback"), "a frame of running code", "leave it out: keep its text"),
)
"""Base classes by their full names, since most are never imported → what they are in a person's words, what to do."""


class DeviceTensor(TypeError):
    """A tensor that lies on a device, which the process that loads it may not have."""


def kind_of(value: Any) -> tuple[str, str] | None:
    """What an object is in a person's words, and what to do about it; None where it is of no kind that is known."""
    if is_on_device(value):
        device = str(value.device).partition(":")[0]
        fix = "keep it on the CPU (.cpu()), and move it where it is used: to the device of the input"
        return f"a tensor on the device {device}", fix
    names = {f"{base.__module__}.{base.__qualname__}" for base in type(value).__mro__}
    for bases, kind, fix in _KINDS:
        if names & set(bases):
            return _named(value, kind), fix
    if type(value).__name__.endswith(("Connection", "Cursor", "Session", "Client", "Engine")):
        return f"a {type(value).__name__}, which seems to hold a connection", f"{_INSIDE}, or {_FETCH}"
    return None


def is_on_device(value: Any) -> bool:
    """Whether it is a PyTorch tensor that lies elsewhere than in memory. Never imports PyTorch."""
    if type(value).__module__.partition(".")[0] != "torch" or not hasattr(value, "untyped_storage"):
        return False
    return str(getattr(value, "device", "cpu")).partition(":")[0] != "cpu"


def culprit_of(value: Any, pickler: type[Any], reduce: Callable[[Any], Any] | None = None) -> Culprit | None:
    """Pickle `value` once more, and tell the last object that was begun; None where it can be pickled now."""
    last: list[Any] = [value]

    class Watching(pickler):  # type: ignore[misc]
        def persistent_id(self, obj: Any) -> None:
            last[0] = obj  # every object passes here before it is written

    try:
        Watching(_Nowhere(), reduce=reduce).dump(value)
    except Exception:  # noqa: BLE001  # it failed before, and is to fail again
        found = last[0]
    else:
        return None
    path = ""
    for name, item in [*_path_to(value, found), ("", found)]:
        path += name if not path or name.startswith((".", "[")) or not name else f" → {name}"
        kind = kind_of(item)  # a pool holds a queue, which holds a lock: the pool is what the person made
        if kind is not None:
            return Culprit(path, *kind)
    named = f"a {type(found).__module__}.{type(found).__qualname__}"
    return Culprit(path, named, f"let it hold data and functions only, or {_INSIDE}")


class _Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


def _named(value: Any, kind: str) -> str:
    name = getattr(value, "name", None)
    return f"{kind} ({name})" if isinstance(name, str) and len(name) < 200 else kind


def _path_to(root: Any, wanted: Any) -> list[tuple[str, Any]]:
    """The shortest way from `root` to `wanted`, as names and what they name; [] where no way of ours leads there."""
    until = time.monotonic() + _BUDGET_S
    before: dict[int, tuple[Any, str]] = {}
    queue: deque[Any] = deque([root])
    seen: dict[int, Any] = {id(root): root}  # kept alive, so that no id is given twice
    while queue and len(seen) < _MOST_OBJECTS and time.monotonic() < until:
        item = queue.popleft()
        if item is wanted:
            return _steps(item, before)
        for name, part in _parts(item, of_functions=item is root):
            if id(part) not in seen:
                seen[id(part)] = part
                before[id(part)] = (item, name)
                queue.append(part)
    return []


def _steps(item: Any, before: dict[int, tuple[Any, str]]) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = []
    while id(item) in before:
        holder, name = before[id(item)]
        steps.insert(0, (name, item))
        item = holder
    return steps


def _parts(value: Any, *, of_functions: bool) -> Iterator[tuple[str, Any]]:
    """What an object holds that would be pickled with it, by the name that a person knows it by."""
    if isinstance(value, str | bytes | int | float | complex | types.ModuleType | type(None)):
        return
    if isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, dict | types.MappingProxyType):
        for key, item in value.items():
            yield (key if of_functions and isinstance(key, str) else f"[{repr(key)[:40]}]"), item
            yield "", key
    elif isinstance(value, list | tuple | set | frozenset):
        for position, item in enumerate(value):
            yield f"[{position}]", item
    elif isinstance(value, types.MethodType):
        yield f".{value.__name__}", value.__func__
        yield "", value.__self__
    elif isinstance(value, type):
        if value.__module__ == "__main__" or "<locals>" in value.__qualname__:
            yield from ((f".{name}", item) for name, item in vars(value).items())
    else:
        yield from _parts_of_object(value)


def _parts_of_function(value: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue  # not yet filled
    used = set(_global_names(value.__code__))
    yield from ((name, item) for name, item in value.__globals__.items() if name in used)
    count, given = value.__code__.co_argcount, value.__defaults__ or ()
    names = value.__code__.co_varnames[count - len(given) : count]
    yield from zip(names, given, strict=False)
    yield from (value.__kwdefaults__ or {}).items()
    yield from ((f".{name}", item) for name, item in vars(value).items())


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield from _global_names(item)


def _parts_of_object(value: Any) -> Iterator[tuple[str, Any]]:
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        yield from ((f".{name}", item) for name, item in held.items())
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)
    if isinstance(value, staticmethod | classmethod):
        yield "", value.__func__
    elif isinstance(value, property):
        yield from (("", part) for part in (value.fget, value.fset, value.fdel) if part is not None)
    elif hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
        yield "", value.func
        yield "", value.args
        yield "", getattr(value, "keywords", {})
    yield "", type(value)
