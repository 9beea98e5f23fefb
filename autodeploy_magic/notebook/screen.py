"""Where output goes: a cell of a notebook, or a terminal. The one file that calls IPython's display."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Output", "after_each_cell", "after_no_cell", "in_notebook", "show", "show_text"]


def in_notebook() -> bool:
    """Whether this process is a kernel, whose front end shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def show(value: Any) -> None:
    """Display a value as the cell's output."""
    from IPython.display import display

    display(value)  # type: ignore[no-untyped-call]


def show_text(text: str) -> None:
    """Display a text as it is."""
    from IPython.display import display

    display({"text/plain": text.rstrip()}, raw=True)  # type: ignore[no-untyped-call]


class Output:
    """One output of the cell that is running now, which later calls replace, from any thread."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, bundle: dict[str, Any], metadata: dict[str, Any] | None = None, *, anew: bool = False) -> None:
        """Show a MIME bundle in the place of the one before; with `anew` below the cell that is running now as well."""
        from IPython.display import display

        if self._handle is None or anew:
            known = True if self._handle is None else self._handle.display_id
            self._handle = display(bundle, metadata=metadata, raw=True, display_id=known)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, metadata=metadata, raw=True)


def after_each_cell(call: Callable[[object], None]) -> None:
    """Have `call` called at the end of every cell, with what IPython says of it; once, however often it is asked."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and call not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", call)


def after_no_cell(call: Callable[[object], None]) -> None:
    """Have it called no more."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and call in shell.events.callbacks["post_run_cell"]:
        shell.events.unregister("post_run_cell", call)
