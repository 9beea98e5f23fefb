"""Notebooks in a real kernel, for the tests that read what a person would see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

__all__ = ["execute", "shown"]


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a kernel whose working directory is `folder`, and return the notebook with their outputs."""
    client = NotebookClient(
        notebook,
        timeout=180,
        iopub_timeout=60,  # a cell whose output comes late on a busy machine has shown it all the same
        raise_on_iopub_timeout=True,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    return client.execute()


def shown(cell: Any) -> str:
    """What a cell shows, as text, without the colours of a terminal."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "error":
            parts.append("\n".join(output.traceback))
        else:
            parts.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(parts))
