"""JupyterLab, the browser and the page objects: those of the tests, which lie in tests/."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from browsing import BROWSER, WHAT_TO_INSTALL, browser, new_context
from labpage import LOAD, Lab, Panel
from labserver import jupyterlab

__all__ = ["BROWSER", "LOAD", "WHAT_TO_INSTALL", "Lab", "Panel", "browser", "jupyterlab", "new_context"]
