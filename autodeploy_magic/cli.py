"""The `autodeploy` command: the table of verbs, in a terminal."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodeploy_magic import verbs
from autodeploy_magic.errors import AutodeployError, InvalidOption

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0, 1 where it failed, 2 where the line cannot be understood.

    `--json`, before the verb or after it, writes the answer as JSON.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    try:
        answer = _run(words)
    except AutodeployError as error:
        _complain(error, as_json)
        return 2 if isinstance(error, InvalidOption) else 1
    except KeyboardInterrupt:
        return 130
    try:
        _write(answer, as_json)
    except BrokenPipeError:  # `autodeploy logs iris | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _status(answer)


def _run(words: list[str]) -> Any:
    if not words or words[0] in ("--help", "-h", "help"):
        return verbs.main_help("autodeploy", "terminal")
    if words[0] == "--version":
        from autodeploy_magic import __version__

        return f"autodeploy {__version__}"
    verb = verbs.find(words[0], "terminal")
    parser = verbs.parser(verb, "terminal", f"autodeploy {verb.name}")
    values = verbs.parse(parser, words[1:])
    if "help" in values:
        return parser.format_help().rstrip()
    for option in verb.options_on("terminal"):
        if option.kind == "object" and values[option.name] is not None:
            values[option.name] = _read(option.name, values[option.name])
    if verb.name == "deploy" and values["model"] is None and values["file"] is None:
        raise InvalidOption("there is no --file", fix="--file model.onnx, or --model FILE.py:NAME")
    return verbs.call(verb, values)


def _read(option: str, typed: str) -> Any:
    """Return what a file holds: a model from .onnx or .py:NAME, rows from .csv, .json, .parquet or .npy."""
    path, _, attribute = typed.partition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        raise InvalidOption(f"--{option} {typed}: there is no file {path}", fix="check the path")
    if option == "model":
        if file.suffix == ".onnx":
            return file
        if file.suffix == ".py" and attribute:
            return _from_module(file, attribute)
        raise InvalidOption(f"--model {typed} is not a model", fix=f"use FILE.py:NAME, or --file {typed}")
    return _rows(option, file)


def _rows(option: str, file: Path) -> Any:
    if file.suffix == ".json":
        found = json.loads(file.read_text("utf-8"))
        return found["inputs"] if isinstance(found, dict) and set(found) == {"inputs"} else found
    if file.suffix == ".npy":
        import numpy as np

        return np.load(file, allow_pickle=False)
    if file.suffix in (".csv", ".parquet"):
        from autodeploy_magic.registry import need

        pandas = need("pandas", f"reading {file.name}")
        table = pandas.read_csv(file) if file.suffix == ".csv" else pandas.read_parquet(file)
        return table.iloc[:, 0] if option == "labels" and table.shape[1] == 1 else table
    raise InvalidOption(f"--{option} {file} is of no kind that is read here", fix="use .csv, .json, .parquet or .npy")


def _from_module(file: Path, attribute: str) -> Any:
    """Import a Python file as the module that it is, and return one of its names."""
    sys.path.insert(0, str(file.parent.resolve()))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise InvalidOption(f"{file} has no {attribute!r}", fix="--model FILE.py:NAME names a variable of the file")
    return getattr(module, attribute)


def _complain(error: AutodeployError, as_json: bool) -> None:
    text = json.dumps(error.to_payload(), default=str) if as_json else f"{type(error).__name__}: {error}"
    sys.stderr.write(f"{text}\n")


def _write(answer: Any, as_json: bool) -> None:
    from autodeploy_magic.notebook.views import to_json, to_text

    if answer is None:
        return  # it has shown all there was while it ran
    sys.stdout.write(f"{json.dumps(to_json(answer)) if as_json else to_text(answer)}\n")
    sys.stdout.flush()


def _status(answer: Any) -> int:
    """1 where the answer itself is bad news, for scripts."""
    from autodeploy_magic.notebook.views import Answer, Checks

    if isinstance(answer, Checks):
        return int(any(check.state == "fail" for check in answer))
    return int(isinstance(answer, Answer) and answer.as_verified is False)
