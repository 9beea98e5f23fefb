"""Where output goes: a cell of a notebook, or a terminal. The one file that calls IPython's display."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Output", "in_notebook", "show", "show_text"]


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
    """One output of the cell that is running now, which later calls replace."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, bundle: dict[str, str]) -> None:
        """Show a MIME bundle in the place of the one before."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)
