"""Why a version failed in a clean process, in words that tell a person what to change in the notebook."""

from __future__ import annotations

import os
import socket
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

from autodeploy_magic.errors import AutodeployError, ExportFailed

__all__ = ["explained"]

_NOTEBOOK = "<notebook>"
"""What the build calls the file of a function that was defined in a cell."""

_NETWORK = {
    *("ConnectionError", "ConnectError", "ConnectTimeout", "NewConnectionError", "NameResolutionError", "URLError"),
    *(
        "MaxRetryError",
        "ClientConnectorError",
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
        "EndpointConnectionError",
    ),
}
"""Classes of libraries that may not even be installed; Python's own are looked at as such."""


def explained(error: BaseException, folder: Path) -> AutodeployError:
    """The error of a version in `folder` as one that says what the person's code did, why it failed, and what to do."""
    chain = list(_chain(error))
    where = next(filter(None, (_function_of(cause, folder) for cause in chain)), "the model")
    for cause in chain:
        for known in _KNOWN:
            found = known(cause, where, folder)
            if found is not None:
                return found
    first = next((cause for cause in chain if not isinstance(cause, AutodeployError)), None)
    if first is None:
        return error if isinstance(error, AutodeployError) else ExportFailed("it fails in a clean process")
    words = (str(first).splitlines() or [""])[0][:300]
    return ExportFailed(
        f"{where} raises {type(first).__name__} in a clean process",
        why=words,
        fix="it answers in this notebook: does it need something that only this kernel holds, or has set up?",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, the innermost first."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    yield from reversed(found)


def _function_of(error: BaseException, folder: Path) -> str:
    """The innermost function of the person's own that the error came through; "" where there is none."""
    name = ""
    trace: types.TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == _NOTEBOOK or code.co_filename.startswith(str(folder / "modules")):
            inner = Path(code.co_filename).name if code.co_name == "<module>" else code.co_name
            name = name if inner.startswith("<") and name else inner  # a comprehension is a part of its function
        trace = trace.tb_next
    return name


def _file(error: BaseException, where: str, folder: Path) -> AutodeployError | None:
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str | bytes):
        return None
    path = Path(os.fsdecode(error.filename))
    if path.is_absolute() and path.is_relative_to(folder):
        return ExportFailed(
            f"{where} opens {path.name}, which does not travel with its code",
            why="a module that is one file travels alone; a package, a folder with an __init__.py, brings its data",
            fix=f"put the module and {path.name} into a package",
        )
    if where.endswith(".py"):
        fix = f"make a package of {where}, a folder with {path.name} in it, and open that from beside the code"
    else:
        fix = (
            f"load {path.name} once at the top of the cell, and let {where} use what was loaded; or put it into a "
            "local package, beside the code that opens it"
        )
    return ExportFailed(
        f"{where} opens {path.name if path.is_absolute() else path}, which a clean process does not find",
        why="a worker has no working folder of the notebook's: there is what the version holds, and nothing else",
        fix=fix,
    )


def _network(error: BaseException, where: str, folder: Path) -> AutodeployError | None:
    del folder
    names = {base.__name__ for base in type(error).__mro__}
    if not isinstance(error, ConnectionError | socket.gaierror) and not names & _NETWORK:
        return None
    return ExportFailed(
        f"{where} asks for something over the network, and did not get it in a clean process",
        why=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
        fix="fetch it in the notebook, and let the model or the function hold what was fetched",
    )


def _variable(error: BaseException, where: str, folder: Path) -> AutodeployError | None:
    del folder
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if not isinstance(error, KeyError) or trace is None or trace.tb_frame.f_globals.get("__name__") != "os":
        return None
    name = os.fsdecode(error.args[0])
    return ExportFailed(
        f"{where} reads the environment variable {name}, which workers do not have",
        why="workers have the environment that the background process was started with, not this kernel's",
        fix=f"set {name} before Jupyter starts, then `autodeploy stop` what runs and begin again; or read it once at "
        "the top of the cell, where it is no secret",
    )


def _module(error: BaseException, where: str, folder: Path) -> AutodeployError | None:
    del folder
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    return ExportFailed(
        f"{where} needs the module {error.name}, which a clean process does not find",
        why="it is not installed here; if it is a file of your own, nothing that was looked at imports it by its name",
        fix=f"install it, or `import {error.name}` in the cell, so that it travels with the model",
    )


def _name(error: BaseException, where: str, folder: Path) -> AutodeployError | None:
    del folder
    if not isinstance(error, NameError) or isinstance(error, UnboundLocalError) or not error.name:
        return None
    return ExportFailed(
        f"{where} uses {error.name}, which is not defined in a clean process",
        why="it was not defined when the function was taken along, or it is something that IPython adds by itself",
        fix=f"define or import {error.name} above the function (display: from IPython.display import display)",
    )


def _accessor(error: BaseException, where: str, folder: Path) -> AutodeployError | None:
    del folder
    library = type(getattr(error, "obj", None)).__module__.partition(".")[0]
    if not isinstance(error, AttributeError) or library not in ("pandas", "polars") or library not in sys.modules:
        return None
    return ExportFailed(
        f"{where} uses .{error.name} of a {type(error.obj).__name__}, which a clean process does not have",
        why=f"something in this kernel has added it to {library}, or the table is another one there",
        fix=f"import the module that adds .{error.name} inside {where}; a class of the notebook cannot add it there",
    )


_KNOWN: tuple[Callable[[BaseException, str, Path], AutodeployError | None], ...] = (
    *(_file, _network, _variable, _module, _name, _accessor),
)
