"""What a person typed, read; and the texts that help."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any, NoReturn

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.verbs.table import VERBS
from autodeploy_magic.verbs.words import Option, Surface, Verb

__all__ = ["CELL_USAGE", "call", "cell_parser", "find", "main_help", "on", "parse", "parser", "split"]

CELL_USAGE = """\
The cell is ordinary Python and runs as such. The model is --model, or the value of its last line, or the one fitted
model that it assigns. Functions named preprocess(x), predict(model, x) and postprocess(y) travel with the model;
retrain(model, X, y) returns it trained further, and is called by re-tuning alone.
Options name variables of the notebook: --sample X_test."""


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose complaints are ours, with the nearest word that would have done."""

    words: tuple[str, ...] = ()

    def error(self, message: str) -> NoReturn:
        raise InvalidOption(message.replace("argument ", "", 1), fix=" ".join(self.format_usage().split()))


def parser(verb: Verb, surface: Surface, prog: str) -> argparse.ArgumentParser:
    """Return the parser of one verb's options."""
    description = verb.help[0].upper() + verb.help[1:] + "."
    result = _Parser(
        prog=prog,
        description=description,
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option in verb.options_on(surface):
        _add(result, option, surface)
    result.add_argument("--help", "-h", action="store_true", help="show this text")
    return result


def cell_parser() -> argparse.ArgumentParser:
    """Return the parser of the `%%deploy` line."""
    result = parser(VERBS["deploy"], "magic", "%%deploy")
    result.epilog = CELL_USAGE
    return result


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, Any]:
    """Return the options that `words` give, by their Python names; `{"help": True}` where help is asked for.

    Raises `InvalidOption`, with the nearest option where one was mistyped.
    """
    if "--help" in words or "-h" in words:
        return {"help": True}
    found, unknown = parser.parse_known_args(list(words))
    if unknown:
        _refuse(parser, unknown[0])
    values = vars(found)
    del values["help"]
    return values


def split(line: str) -> list[str]:
    """Split a typed line into words, as a shell would; a # between spaces begins a comment, as in any cell."""
    for comment in re.finditer(r"(?:^|\s)#(?:\s|$)", line):
        with contextlib.suppress(ValueError):  # it stands inside quotes
            return shlex.split(line[: comment.start()])
    try:
        return shlex.split(line)
    except ValueError as error:
        raise InvalidOption(f"the line cannot be read: {line!r}", why=str(error), fix="close the quotes") from None


def on(surface: Surface) -> dict[str, Verb]:
    """The verbs that a surface has, by their names."""
    return {verb.name: verb for verb in VERBS.values() if verb.is_on(surface)}


def find(name: str, surface: Surface) -> Verb:
    """Return the verb; raises `InvalidOption` with the nearest one, or with what does the same on this surface."""
    there = on(surface)
    if name in there:
        return there[name]
    if name in VERBS:
        verb = VERBS[name]
        raise InvalidOption(f"{name} is for the {verb.only} alone", fix=verb.instead)
    close = difflib.get_close_matches(name, there, 1)
    raise InvalidOption(
        f"there is no verb {name!r}",
        why=f"did you mean {close[0]!r}?" if close else "",
        fix=f"the verbs are: {', '.join(there)}",
    )


def call(verb: Verb, values: dict[str, Any]) -> Any:
    """Do what the verb says and return its answer."""
    from autodeploy_magic.registry import load, table

    module, _, path = verb.handler.partition(":")
    if not verb.of_deployment:
        return load(verb.handler)(**values)
    values = dict(values)
    if verb.name == "ship" and values["target"] is not None and values["name"] in table("targets"):
        values["name"], values["target"] = values["target"], values["name"]  # `ship kubernetes iris` reads as well
    handle = load(f"{module}:attach")(values.pop("name"))
    member = getattr(handle, path.partition(".")[2])
    return member(**values) if callable(member) else member


def main_help(prefix: str, surface: Surface) -> str:
    """Return the list of verbs, as `%deploy --help` and `autodeploy --help` show it."""
    width = max(map(len, VERBS)) + 2
    lines = [f"  {verb.name:<{width}}{verb.help}" for verb in on(surface).values()]
    return "\n".join([f"usage: {prefix} VERB [NAME] [options]", "", *lines, "", f"`{prefix} VERB --help` tells more."])


def _add(parser: argparse.ArgumentParser, option: Option, surface: Surface) -> None:
    text = option.help + (f" (default {option.default})" if option.default not in (None, False, "") else "")
    text = text.replace("%", "%%")  # argparse formats it
    if option.kind == "flag":
        parser.add_argument(option.flag, dest=option.name, action="store_true", help=text)
        return
    if option.kind == "switch":
        parser.add_argument(option.flag, dest=option.name, action=argparse.BooleanOptionalAction, help=text)
        return
    metavar = "FILE" if surface == "terminal" and option.kind == "object" else option.metavar
    settings: dict[str, Any] = {"help": text, "default": option.default}
    settings |= {"choices": option.choices} if option.choices else {"metavar": metavar}
    settings |= {"type": int} if option.kind == "int" else {}
    settings |= {"nargs": "?", "const": option.bare} if option.bare is not None else {}
    if option.positional:
        settings |= {} if option.required else {"nargs": "?"}
        parser.add_argument(option.name, **settings)
    else:
        parser.add_argument(option.flag, dest=option.name, **settings)


def _refuse(parser: argparse.ArgumentParser, word: str) -> NoReturn:
    flags = re.findall(r"--[a-z-]+", parser.format_usage())
    usage = " ".join(parser.format_usage().split())
    if not word.startswith("-"):
        raise InvalidOption(
            f"{word!r} is one word too many",
            why="an option takes the name of a variable, or one word; a text with spaces stands in quotes",
            fix=f"put an expression into a variable first, and name that; {usage}",
        )
    close = difflib.get_close_matches(word.partition("=")[0], flags, 1)
    why = f"did you mean {close[0]}?" if close else ""
    raise InvalidOption(f"{parser.prog} has no option {word!r}", why=why, fix=usage)
