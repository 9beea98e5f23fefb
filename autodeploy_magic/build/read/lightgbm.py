"""LightGBM's own text files, which are data."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.read.given import Given
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["LightGBMReader", "reader"]


class LightGBMReader:
    """A Booster: the file does not say which estimator it was saved from."""

    title = "a LightGBM model"

    def recognises(self, given: Given) -> bool:
        return given.head.startswith((b"tree\nversion=", b"tree\r\nversion="))

    def read(self, given: Given) -> Any:
        text = given.data().decode("utf-8")
        missing = [line for line in ("end of trees", "end of parameters") if line not in text]
        if missing:  # LightGBM itself would not complain: it ends the process
            raise BadInput(
                f"{given.name} is a LightGBM model that is cut off",
                why=f"the line `{missing[0]}` is not in it",
                fix="fetch or save it again: booster.save_model('model.txt')",
            )
        return need("lightgbm", f"reading {given.name}").Booster(model_str=text)


reader = LightGBMReader()
