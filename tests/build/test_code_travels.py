"""What a notebook can define travels by value; what cannot travel is named, with the way that leads to it."""

from __future__ import annotations

import os
import pickle
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from autodeploy_magic.build.code import dump
from autodeploy_magic.build.code_secrets import secret_names
from autodeploy_magic.errors import ExportFailed

Notebook = Callable[..., dict[str, Any]]

DEFINED = """
import abc, dataclasses, enum, functools, operator, sys, typing
from os import environ
from sys import stderr

class Kind(enum.Enum):
    CAT = 1
    DOG = 2
class Flags(enum.IntFlag):
    A = 1
    B = 2
@dataclasses.dataclass(frozen=True)
class Row:
    value: float
    kind: Kind = Kind.CAT
    tags: tuple = dataclasses.field(default_factory=tuple)
class Pair(typing.NamedTuple):
    left: int
    right: int = 2
class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args)
        made.stamped = True
        return made
class Base(abc.ABC):
    @abc.abstractmethod
    def apply(self, x): ...
    @property
    def name(self):
        return type(self).__name__
class Child(Base):
    __slots__ = ("factor",)
    class Inner:
        offset = 10
    def __init__(self, factor):
        self.factor = factor
    @functools.cached_property
    def table(self):
        return {Kind.DOG: self.factor}
    @classmethod
    def make(cls):
        return cls(3)
    @staticmethod
    def double(x):
        return 2 * x
    def apply(self, x):
        return super().name, self.double(x) * self.table[Kind.DOG] + self.Inner.offset
class Stamped(metaclass=Meta):
    pass
def traced(function):
    @functools.wraps(function)
    def inner(*args, **options):
        inner.calls += 1
        return function(*args, **options)
    inner.calls = 0
    return inner
def scaled(by, *, plus=(lambda v: v + 1)):
    return lambda x: plus(x * by)
@traced
@functools.lru_cache
def slow(x, _by=scaled(5)):
    return _by(x)
half = functools.partial(operator.mul, 0.5)
def recursive(n):
    return 1 if n < 2 else n * recursive(n - 1)
def answer(x):
    print("seen", file=stderr)
    made = Child.make()
    row = dataclasses.replace(Row(1.0), kind=Kind["DOG"])
    return [made.apply(x), row.kind.name, Pair(1)._asdict(), Stamped().stamped, slow(x), slow.calls > 0, half(x),
            recursive(4), (Flags.A | Flags.B).value, [w for w in range(2)], environ.get("ADM_PROBE")]
"""


def test_all_that_a_notebook_defines_travels(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADM_PASSWORD", "hunter2hunter2")
    names = notebook(DEFINED)
    wanted = repr(names["answer"](4))
    dump({"f": names["answer"]}, tmp_path / "f.pkl", what="the code")
    assert b"hunter2" not in (tmp_path / "f.pkl").read_bytes(), "os.environ travels by name"
    script = "import pickle; print(pickle.load(open('f.pkl','rb'))['f'](4))"
    env = {"PATH": os.environ["PATH"], "ADM_PROBE": "there"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == wanted.replace("None]", "'there']")
    assert "seen" in done.stderr


def test_imports_within_a_function_are_noted(notebook: Notebook, tmp_path: Path) -> None:
    names = notebook(
        "class Tool:\n    def run(self, x):\n        import colorsys\n        return x\n"
        "def f(x):\n    from wave import open as o\n    return Tool().run(x), [__import__('not_there') for _ in x]\n"
    )
    found = dump(names["f"], tmp_path / "f.pkl", what="f")
    assert {"colorsys", "wave"} <= found.modules


def test_an_accessor_of_pandas_brings_its_module(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in `table.shopping.total()` names the module whose import makes it work."""
    import pandas as pd

    (tmp_path / "shop_accessor.py").write_text(
        "import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('shopping')\nclass Shopping:\n"
        "    def __init__(self, table): self.table = table\n    def total(self): return int(self.table.sum().sum())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    names = notebook("import shop_accessor\ndef f(table):\n    return table.shopping.total()")
    try:
        found = dump(names["f"], tmp_path / "f.pkl", what="f")
    finally:
        del pd.DataFrame.shopping
        del sys.modules["shop_accessor"]
    assert "shop_accessor" in found.modules
    script = "import pickle, pandas as pd; print(pickle.load(open('f.pkl','rb'))(pd.DataFrame({'a': [1, 2]})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.strip() == "3", done.stderr


# --- what cannot


class _Store:
    def __init__(self, held: Any) -> None:
        self.parts = {"a": [held]}


def _opened(tmp_path: Path) -> Any:
    (tmp_path / "train.log").write_text("x")
    return (tmp_path / "train.log").open()


CANNOT: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "file": (_opened, r"an open file \(.*train.log\)", "read what is needed from it at the top of the cell"),
    "lock": (lambda _: threading.Lock(), "a lock", "inside the function"),
    "socket": (lambda _: socket.socket(), "a network connection", "fetch what is needed first"),
    "generator": (lambda _: (i for i in range(3)), "a generator", "make a list of it"),
    "database": (lambda _: sqlite3.connect(":memory:"), "a database connection", "connect inside the function"),
    "pool": (lambda _: ThreadPoolExecutor(1), "a pool of threads", "workers of its own"),
    "thread": (lambda _: threading.Thread(), "a thread", "inside the function"),
    "local": (lambda _: threading.local(), "a threading.local", "inside the function"),
    "stranger": (lambda _: memoryview(b"x").toreadonly().__iter__(), "a builtins.", "data and functions only"),
}
"""How to make it, what it is called, what to do."""


@pytest.mark.parametrize("kind", CANNOT)
def test_what_cannot_travel_is_named_with_the_way_to_it(kind: str, notebook: Notebook, tmp_path: Path) -> None:
    make, words, fix = CANNOT[kind]
    thing = make(tmp_path)
    code = "def helper(x):\n    return THING, x\ndef preprocess(x):\n    return helper(x)"
    pattern = rf"(?s)the code cannot be pickled.*preprocess → helper → THING is {words}.*{fix}"
    with pytest.raises(ExportFailed, match=pattern):
        dump({"preprocess": notebook(code, THING=thing)["preprocess"]}, tmp_path / "f.pkl", what="the code")
    with pytest.raises(ExportFailed, match=rf"(?s)the model cannot be.*the model\.parts\['a'\]\[0\] is {words}"):
        dump(_Store(thing), tmp_path / "m.pkl", what="the model")
    if hasattr(thing, "close"):
        thing.close()


def test_the_way_leads_through_closures_defaults_methods_and_classes(notebook: Notebook, tmp_path: Path) -> None:
    names = notebook(
        "import functools, threading\n"
        "def outer():\n    guard = threading.Lock()\n    return lambda x: (guard, x)\n"
        "closed = outer()\n"
        "def given(x, *, lock=threading.Lock()):\n    return x\n"
        "class Tool:\n    shared = threading.Lock()\n    def run(self, x):\n        return x\n"
        "class Late:\n    def run(self, x):\n        return closed(x)\n"
        "bound = Tool().run\npart = functools.partial(closed, 1)\n"
        "def uses(x):\n    return Late().run(x)\n"
        "@functools.singledispatch\ndef told(x):\n    return x\n"
    )
    ways = {
        "closed": "guard",
        "given": "lock",
        "bound": r"\.shared",
        "part": "guard",
        "uses": r"Late\.run → closed → guard",
    }
    for name, way in ways.items():
        with pytest.raises(ExportFailed, match=rf"{way} is a lock"):
            dump(names[name], tmp_path / "f.pkl", what="the code")
    with pytest.raises(ExportFailed, match=r"dispatch_cache.* is a weak reference"):
        dump(names["told"], tmp_path / "f.pkl", what="the code")


def test_a_tensor_on_a_device_stays_here(notebook: Notebook, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    names = notebook("def f(x):\n    return x + TABLE", TABLE=torch.ones(2, device="meta"))
    with pytest.raises(ExportFailed, match=r"(?s)TABLE is a tensor on the device meta.*\.cpu\(\)"):
        dump(names["f"], tmp_path / "f.pkl", what="the code")
    dump(notebook("def f(x):\n    return x + TABLE", TABLE=torch.ones(2))["f"], tmp_path / "f.pkl", what="the code")
    assert pickle.loads((tmp_path / "f.pkl").read_bytes())(1).tolist() == [2.0, 2.0]


# --- secrets


def test_secrets_are_told_by_name(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "plain-looking-value")
    names = notebook(
        "LLM = 'sk-proj-abcdefghijklmnop1234'\nURL = 'postgres://bob:pw@db/x'\nDB_PASSWORD = 'correct-horse-7'\n"
        "GREETING = 'good morning'\nunused_token = 'abcdefgh12345678'\nTOKEN_NAMES = 'sepal petal 1'\n"
        "def make():\n    held = 'plain-looking-value'\n"
        "    return lambda x: (x, LLM, URL, DB_PASSWORD, GREETING, TOKEN_NAMES, held)\n"
        "f = make()\n"
    )
    found = dump(names["f"], tmp_path / "f.pkl", what="f")
    assert found.secrets == ("DB_PASSWORD", "LLM", "URL", "held")
    assert list(secret_names({"key": "customer_id_2", "token": "x1"})) == []
