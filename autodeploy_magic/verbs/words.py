"""What a verb and its options are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Option", "Surface", "Verb"]

Surface = Literal["magic", "python", "terminal"]
Kind = Literal["text", "int", "flag", "switch", "object", "name"]


@dataclass(frozen=True)
class Option:
    """One option of a verb.

    An "object" is a variable's name in a notebook, the object itself in Python, a file in the terminal. A "name" is the
    name of a deployment. A "switch" is on (`--auth`), off (`--no-auth`), or left as it is. `only` restricts an option
    to one surface, where it has no meaning on the others. `bare` is the value of one that is typed without a value.
    """

    name: str
    help: str
    kind: Kind = "text"
    default: Any = None
    choices: tuple[str, ...] = ()
    positional: bool = False
    required: bool = False
    only: Surface | None = None
    bare: str | None = None

    @property
    def flag(self) -> str:
        """How it is typed: "--dry-run"; a positional one has none and is its bare name."""
        return self.name if self.positional else f"--{self.name.rstrip('_').replace('_', '-')}"

    @property
    def flags(self) -> tuple[str, ...]:
        """Every way it is typed: a switch has two."""
        return (f"--no-{self.flag[2:]}", self.flag) if self.kind == "switch" else (self.flag,)

    @property
    def metavar(self) -> str:
        if self.positional:
            return self.name.upper()
        return "VAR" if self.name == "out" else {"object": "VAR", "int": "N"}.get(self.kind, "TEXT")


@dataclass(frozen=True)
class Verb:
    """One thing a person can ask for. `handler` is "module:function", or "module:Deployment.method".

    `only` restricts it to one surface; `instead` says what does the same on the others.
    """

    name: str
    help: str
    handler: str
    options: tuple[Option, ...] = ()
    only: Surface | None = None
    instead: str = ""

    @property
    def of_deployment(self) -> bool:
        """Whether it acts on one deployment that exists, and is therefore a member of `Deployment`."""
        return "." in self.handler.partition(":")[2]

    def is_on(self, surface: Surface) -> bool:
        return self.only in (None, surface)

    def options_on(self, surface: Surface) -> tuple[Option, ...]:
        return tuple(option for option in self.options if option.only in (None, surface))
