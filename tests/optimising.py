"""What an optimiser of a neural network is asked with: a champion that holds its live object, and rows with labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.operate.retune.base import Given, Holdings
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.wire import to_request


@dataclass
class Standing:
    """A champion whose live object is a copy of `model`, as a champion of the store gives one that is loaded anew."""

    model: Any
    framework: str
    code: dict[str, Callable[..., Any]] = field(default_factory=dict)
    onnx: Path | None = None
    exact: bool = True

    def live(self) -> Any:
        if self.framework != "keras":
            return copy.deepcopy(self.model)
        import keras

        fresh = keras.models.clone_model(self.model)
        fresh.set_weights(self.model.get_weights())
        return fresh

    def fed(self, x: Any) -> Any:
        return self.code["preprocess"](x) if "preprocess" in self.code else x


def rows_of(x: Any, labels: Any = (), at_s: Any = ()) -> Rows:
    """Rows as requests had them."""
    sample = read_sample(x)
    return Rows(sample.signature, to_request(x), sample.rows, tuple(to_plain_list(labels)), tuple(at_s))


def to_plain_list(labels: Any) -> list[Any]:
    return labels.tolist() if hasattr(labels, "tolist") else list(labels)


def holdings_of(training: Rows, calibration: Rows | None = None, task: str = "function") -> Holdings:
    return Holdings(training, calibration or training, 100, task)


def given_of(holdings: Holdings, folder: Path, **settings: Any) -> Given:
    return Given(holdings, settings, folder, seed=0, within_s=60.0, threads=1)
