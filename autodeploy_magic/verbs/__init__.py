"""The one definition of every verb: its name, what it does, its options, and the Python function that does it.

`%deploy VERB`, `autodeploy VERB` and the Python names all come from the table `VERBS`:

    %deploy logs iris --lines 50    →  attach("iris").logs(lines=50)  ←  autodeploy logs iris --lines 50

A verb about one deployment is a method or a property of `Deployment`; the others are functions of the package. What the
handler returns knows how to show itself, in a notebook and as text.

words.py    what a verb and its options are
table.py    every verb there is
typed.py    what a person typed, read
"""

from __future__ import annotations

from autodeploy_magic.verbs.table import VERBS
from autodeploy_magic.verbs.typed import CELL_USAGE, call, cell_parser, find, main_help, on, parse, parser, split
from autodeploy_magic.verbs.words import Option, Surface, Verb

__all__ = [
    "CELL_USAGE",
    "VERBS",
    "Option",
    "Surface",
    "Verb",
    "call",
    "cell_parser",
    "find",
    "main_help",
    "on",
    "parse",
    "parser",
    "split",
]
