"""Importing costs nothing: what a fresh interpreter holds after the first two lines that a person types."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = [
    "anywidget",
    "bentoml",
    "catboost",
    "httpx",
    "ipywidgets",
    "keras",
    "lightgbm",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "scipy",
    "sklearn",
    "starlette",
    "tensorflow",
    "torch",
    "transformers",
    "uvicorn",
    "xgboost",
]


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds once it ran `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_brings_nothing_but_itself() -> None:
    ours = {name for name in loaded_after("import autodeploy_magic") if name.startswith("autodeploy_magic")}
    assert ours == {"autodeploy_magic"}


def test_the_command_line_starts_without_the_heavy_packages() -> None:
    assert loaded_after("import autodeploy_magic.cli").isdisjoint({*HEAVY, "IPython", "numpy"})


def test_load_ext_brings_no_heavy_package() -> None:
    shell = "from IPython.testing.globalipapp import start_ipython\nip = start_ipython()\n"
    before = loaded_after(shell)
    after = loaded_after(f"{shell}ip.run_line_magic('load_ext', 'autodeploy_magic')")
    assert "autodeploy_magic.notebook.magics" in after
    assert (after - before).isdisjoint(HEAVY)


def test_import_starts_no_process_and_writes_no_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    script = (
        "import os, pathlib, psutil, autodeploy_magic\n"
        "from IPython.testing.globalipapp import start_ipython\n"
        "start_ipython().run_line_magic('load_ext', 'autodeploy_magic')\n"
        "assert psutil.Process().children() == []\n"
        "assert not pathlib.Path(os.environ['AUTODEPLOY_HOME']).exists()\n"
    )
    environment = {
        "AUTODEPLOY_HOME": str(tmp_path / "home"),
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
