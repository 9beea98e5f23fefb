"""What `make demo` runs: the quickstart notebook in a real kernel, a call from outside it, and then everything away.

Nothing of the person's is touched: deployments, Jupyter's and IPython's files live in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "01_quickstart.ipynb"
LAST_CELL = "remove"  # the tag of the cell that takes the deployment away: the call from outside comes before it


def main() -> int:
    """Run the demo; returns the exit status."""
    started = time.monotonic()
    with temporary_home() as home:
        try:
            run_notebook()
        finally:
            left = clean_up(home)
    if left:
        print("Processes were left behind and had to be killed:", *left, sep="\n  ")
        return 1
    print(f"Cleaned up: no process, no file of the demo is left. It took {time.monotonic() - started:.0f} s.\n")
    print(WHERE_NEXT)
    return 0


def run_notebook() -> None:
    """Run the quickstart, showing each cell with what it printed."""
    print(f"Running {NOTEBOOK.name}, cell by cell, in a kernel of its own.\n")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if LAST_CELL in cell.metadata.get("tags", []):
                call_from_outside()
            client.execute_cell(cell, index)
            show(cell)


def call_from_outside() -> None:
    """Call the endpoint as another program would: from this process, which is not the notebook's, and with curl."""
    from sklearn.datasets import load_wine

    import autodeploy_magic as ad

    wine = ad.attach("wine")
    row = load_wine(return_X_y=True)[0][:1]
    print("From another process:\n")
    print(f"  endpoint    {wine.url}")
    print(f"  version     {wine.version}")
    print(f"  prediction  {wine.predict(row)}  for the first wine of the table\n")
    words = ["curl", "-s", f"{wine.url}/predict", "-H", f"Authorization: Bearer {wine.token}"]
    words += ["-H", "Content-Type: application/json", "-d", f'{{"inputs": {row.tolist()}}}']
    print(f"  $ curl {words[2]} -H 'Authorization: Bearer $TOKEN' \\\n      -H '{words[6]}' \\\n      -d '{words[8]}'")
    if shutil.which("curl"):
        print(f"  {subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()}\n")
    else:
        print("  (curl is not installed here)\n")


def show(cell: Any) -> None:
    """Print a code cell and what it showed, as text."""
    if cell.cell_type != "code":
        return
    print(textwrap.indent(cell.source, "  "))
    for output in cell.outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        if text.strip():
            print(textwrap.indent(text.rstrip(), "  │ "))
    print()


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder for everything that is written, which the kernel and this process share."""
    with tempfile.TemporaryDirectory(prefix="autodeploy-demo-") as name:
        folder = Path(name)
        os.environ |= {
            "AUTODEPLOY_HOME": str(folder / "home"),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_DATA_DIR": str(folder / "jupyter"),
            "JUPYTER_CONFIG_DIR": str(folder / "jupyter-config"),
        }
        yield folder


def clean_up(folder: Path) -> list[str]:
    """Stop the supervisor and what it started; returns what was still there and had to be killed."""
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import connect

    store = Store(folder / "home")
    if store.supervisor_file.exists():
        connect(store, start=False).shutdown(stop_deployments=True)
    shutil.rmtree(store.runtime_dir)
    ours = [process for process in psutil.process_iter() if _home_of(process) == str(store.home)]
    _, alive = psutil.wait_procs(ours, timeout=10)
    told = [f"{process.pid} {' '.join(process.cmdline())}" for process in alive]
    for process in alive:
        process.kill()
    return told


def _home_of(process: psutil.Process) -> str | None:
    try:
        return None if process.pid == os.getpid() else process.environ().get("AUTODEPLOY_HOME")
    except psutil.Error:
        return None  # another user's, or gone meanwhile


WHERE_NEXT = """\
Where to look next
  make lab       the examples in JupyterLab: 01_quickstart.ipynb is what you just saw,
                 02_dataframes_and_preprocessing.ipynb has a table with text and gaps
  README.md      what runs outside the notebook and how to stop it, safety, settings, limits
  .venv/bin/autodeploy --help     the same verbs in a terminal"""

if __name__ == "__main__":
    sys.exit(main())
