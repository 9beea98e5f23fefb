"""What a pickle would import, told without importing or running any of it.

The stream is walked by Python's own unpickler, which is given an inert stand-in for every global that it asks for: the
stand-ins take whatever the stream does to them, and do nothing. joblib writes the bytes of arrays between the opcodes;
they are stepped over.
"""

from __future__ import annotations

import io
import pickle
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Self

__all__ = ["Named", "dangerous", "is_pickle", "named_in"]

_MODULES = """
os posix nt subprocess pty sys shutil socket importlib runpy code codeop ctypes _ctypes pdb bdb profile cProfile timeit
trace pydoc webbrowser http urllib requests httpx ftplib smtplib telnetlib asyncio multiprocessing signal marshal pip
ensurepip venv idlelib distutils setuptools antigravity platform commands
"""
_NAMES = """
builtins.eval builtins.exec builtins.compile builtins.open builtins.__import__ builtins.breakpoint builtins.input
builtins.globals builtins.locals builtins.vars builtins.setattr builtins.delattr builtins.help builtins.exit
__builtin__.eval __builtin__.exec __builtin__.execfile __builtin__.file __builtin__.compile __builtin__.open
__builtin__.__import__ io.open _io.open io.FileIO _io.FileIO _posixsubprocess.fork_exec
operator.methodcaller _operator.methodcaller pickle.loads pickle.load _pickle.loads _pickle.load joblib.load torch.load
numpy.load dill.loads numpy.testing._private.utils.runstring torch.hub.load torch.utils.cpp_extension.load
logging.config.dictConfig tempfile.NamedTemporaryFile
"""
_DANGEROUS, _DANGEROUS_NAMES = frozenset(_MODULES.split()), frozenset(_NAMES.split())
_FINE = frozenset({"os.PathLike", "sys.intern"})


@dataclass(frozen=True)
class Named:
    """The globals ("module.name") of a pickle in the order it asks for them; `whole` where it was walked to its end."""

    names: tuple[str, ...]
    whole: bool = True

    @property
    def dangerous(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if dangerous(name))

    @property
    def has_code(self) -> bool:
        """Whether it holds functions or classes of its own, as bytecode."""
        return any(
            name.startswith(("cloudpickle.", "dill.", "types.CodeType", "types.FunctionType")) for name in self.names
        )

    def text(self, most: int = 12) -> str:
        """The names in a line, those that stand out first."""
        if not self.names:
            return "nothing that it imports"
        first = [*self.dangerous, *(name for name in self.names if not dangerous(name))]
        more = f" and {len(first) - most} more" if len(first) > most else ""
        return ", ".join(first[:most]) + more


def dangerous(name: str) -> bool:
    """Whether no fitted model needs it and an attack does: programs, files, the network, code as text."""
    if name in _FINE:
        return False
    if name in _DANGEROUS_NAMES or name.partition(".")[0] in _DANGEROUS:
        return True
    # "sklearn.utils.os.system": a module reached through another one's imports
    return any(part in ("os", "posix", "subprocess", "sys", "eval", "exec", "__import__", "__globals__", "__builtins__")
               for part in name.split(".")[1:])  # fmt: skip


def is_pickle(head: bytes) -> bool:
    """Whether bytes begin like a pickle: the mark of protocol 2 and later, or the text of 0 and 1."""
    if len(head) > 1 and head[0] == 0x80:
        return 2 <= head[1] <= pickle.HIGHEST_PROTOCOL
    return (
        re.match(rb"(\(?[ci][A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|ccopy_reg\n|\(dp\d|\(lp\d|\(i[a-z_.]+\n)", head) is not None
    )


def named_in(data: bytes) -> Named:
    """Walk a pickle. Never imports what it names, never runs anything of it, never raises."""
    walker = _Walker(io.BytesIO(data), len(data))
    try:
        walker.load()
        whole = True
    except Exception:  # noqa: BLE001  # a damaged stream, or one made to be: what was seen until there is told
        whole = False
    return Named(tuple(dict.fromkeys(walker.names)), whole)


class _Inert:
    """Stands for whatever a pickle makes, and does nothing."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: Any, **_: Any) -> Self:
        self = super().__new__(cls)
        self.arguments = arguments
        return self

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return _Inert()

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def add(self, _: Any) -> None: ...


class _Walker(pickle._Unpickler):  # noqa: SLF001  # the one in Python: joblib's is made of it too
    def __init__(self, stream: io.BytesIO, size: int) -> None:
        super().__init__(stream)
        self._bytes, self._size = stream, size
        self.names: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        self.names.append(f"{module}.{name}")
        return type(
            str(name).rpartition(".")[2] or "x", (_Inert,), {"__module__": "inert", "named": f"{module}.{name}"}
        )

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple):  # torch: ("storage", its type, …)
            return _Inert(*pid)
        return _Inert()

    def get_extension(self, code: int) -> None:
        self.names.append(f"copyreg.extension_{code}")
        self.stack.append(_Inert())  # type: ignore[attr-defined]

    def load_build(self) -> None:
        pickle._Unpickler.dispatch[pickle.BUILD[0]](self)  # type: ignore[arg-type]  # noqa: SLF001
        made = self.stack[-1]  # type: ignore[attr-defined]
        if getattr(made, "named", "").endswith(".NumpyArrayWrapper"):
            self._skip_array(made.state)

    dispatch: ClassVar[Any] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}  # noqa: SLF001

    def _skip_array(self, state: Any) -> None:
        """Step over the bytes of an array that joblib wrote here; one of objects is a pickle of its own."""
        dtype, shape = state["dtype"], state["shape"]
        kind = str(dtype.arguments[0])
        flags = dtype.state[7] if isinstance(dtype.state, tuple) and len(dtype.state) > 7 else 0
        if kind.startswith("O") or (isinstance(flags, int) and flags & 1):
            inner = _Walker(self._bytes, self._size)
            try:
                inner.load()
            finally:
                self.names += inner.names
            return
        size = int(re.sub(r"\D", "", kind) or 1) * (4 if kind.startswith("U") else 1)
        if isinstance(dtype.state, tuple) and isinstance(dtype.state[5], int) and dtype.state[5] > 0:
            size = dtype.state[5]
        count = 1
        for length in shape:
            count *= int(length)
        if state.get("numpy_array_alignment_bytes") is not None:
            self._bytes.seek(self._bytes.read(1)[0], io.SEEK_CUR)
        here = self._bytes.tell()
        if not 0 <= count * size <= self._size - here:
            raise ValueError("an array is longer than the file")
        self._bytes.seek(count * size, io.SEEK_CUR)
