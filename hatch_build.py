"""What pip and `build` run first: the browser's part, made from TypeScript where it is not there yet.

An sdist carries it built, so that installing from one needs no Node. A checkout makes it, with Node from PATH or from
PyPI: `dependencies` asks for that only where it will be used.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def assets() -> ModuleType:
    """`tools/assets.py`, which is in no package."""
    spec = importlib.util.spec_from_file_location("assets", Path(__file__).parent / "tools" / "assets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BrowserPart(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        tool = assets()
        return [tool.NODE] if tool.stale() and tool.find_npm() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        tool = assets()
        try:
            with tool.alone():
                tool.build()
        except tool.CannotBuild as why:
            self.app.abort(str(why))
        # What git ignores is left out otherwise. An editable install reads it where it is.
        if version != "editable":
            built = [tool.WIDGET] if self.target_name == "wheel" else [tool.WIDGET, tool.LAB, tool.BUILT_FROM]
            build_data["force_include"].update({str(path): str(path.relative_to(tool.ROOT)) for path in built})
