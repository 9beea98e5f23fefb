"""int8, static: the scales of all values are found beforehand, on recorded inputs, and most of the graph stays in int8.

A convolutional network was measured 1.2 to 1.6 times as fast (2.2 with VNNI), a wide network 2.75 times. A transformer
loses its meaning: with one scale for each of its values a sentence transformer's cosine was .39.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Replaced
from autodeploy_magic.operate.retune.optimise.onnx_answers import (
    Apart,
    Feeds,
    answers,
    apart,
    checked,
    cpu_s,
    feeds,
)
from autodeploy_magic.operate.retune.optimise.onnx_file import operators, read, session
from autodeploy_magic.operate.retune.optimise.onnx_int8 import (
    LEAST_WEIGHTS,
    QUANTISED,
    has_attention,
    needs_room,
    prepared,
    products,
    weight_of,
)
from autodeploy_magic.registry import need
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Static"]

_KINDS = (
    *("Conv", "Gemm", "MatMul", "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Add", "Concat", "Pad", "Resize", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"),
)
"""What may be int8. Softmax, Sigmoid and normalisations keep their floats: they are cheap, and delicate."""
_OPSET = 13
"""DequantizeLinear has a scale for each channel from here on."""
_LEAST_CONVOLVED = 256
_MOST_TRIED = 12
_FASTER = 0.93
_CLOSER = 0.75


class Static(Optimiser):
    """QDQ, uint8 values and int8 weights with a scale for each channel; operators that lose by it are left in float."""

    name: ClassVar[str] = "onnx_static"
    family: ClassVar[Family] = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        model = read(champion)
        kinds = set(operators(model))
        if QUANTISED & kinds:
            raise NotApplicable("it is int8 already")
        if has_attention(model):
            raise NotApplicable("it is a transformer: int8 with fixed scales turned the meaning of one (cosine .39)")
        if not _weighty(model):
            raise NotApplicable("it has no product or convolution that is large enough to gain by int8")
        return [
            Offer("int8, static", {"calibration": "MinMax"}),
            Offer("int8, static, outliers cut", {"calibration": "Entropy"}),
        ]

    def make(self, champion: Champion, given: Given) -> Made:
        end = time.monotonic() + given.within_s / 2
        fed = feeds(champion, given.holdings.calibration)
        if not all(value.size for feed in fed for value in feed.values()):
            raise NotApplicable("there are no rows to find the scales by")
        tried = _Tried(prepared(read(champion), given.folder, _OPSET), fed, given, session(champion.needs_onnx()))
        known = {node.name for node in tried.model.graph.node}
        told = given.settings.get("float")  # made again: what was found to lose then
        spared = tried.spared(end) if told is None else [name for name in told if name in known]
        file = tried.written(spared, given.folder / "model.onnx")
        left = f", {_words(spared)} left in float" if spared else ""
        note = f"{fed_rows(fed)} rows for the scales{left}{', weights of 7 bits' if needs_room() else ''}"
        return Replaced(file, f"{note}; {checked(champion, file, fed).words}", {"float": spared})


def fed_rows(fed: Feeds) -> int:
    """How many rows feeds have."""
    return sum(len(next(iter(feed.values()))) for feed in fed)


def _weighty(model: Any) -> list[Any]:
    """The operators for whose sake it is done."""
    large = [node for node in products(model) if weight_of(model, node) >= LEAST_WEIGHTS]
    return large + [node for node in products(model, ["Conv"]) if weight_of(model, node) >= _LEAST_CONVOLVED]


def _words(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} operators"


@dataclass(frozen=True)
class _Try:
    names: list[str]
    apart: Apart
    seconds: float


@dataclass(frozen=True)
class _Tried:
    """Which operators lose by int8, found by leaving them out: one by one, and by kind."""

    model: Any
    fed: Feeds
    given: Given
    champion: Any

    def spared(self, end: float) -> list[str]:
        """The names of those that are better left in float, tried until `end`."""
        ours = answers(self.champion, self.fed)
        whole = self._of([], ours)
        near = max(2 * self.given.holdings.max_loss, 1 / fed_rows(self.fed))
        is_near = whole.apart.disagreement <= near and whole.apart.cosine >= 0.995
        kept: list[str] = []
        for names in self._choices():
            if time.monotonic() > end:
                break
            one = self._of(names, ours)
            closer = one.apart.error <= whole.apart.error * _CLOSER and not is_near
            faster = one.seconds <= whole.seconds * _FASTER and one.apart.error <= whole.apart.error * 1.02
            if closer or faster:
                kept += [name for name in names if name not in kept]
        if not kept:
            return []
        both = self._of(kept, ours)
        better = both.apart.error < whole.apart.error if not is_near else both.seconds < whole.seconds
        return kept if better else []

    def _choices(self) -> list[list[str]]:
        """Each of the weighty operators, largest first, and then each kind of the others."""
        weighty = sorted(_weighty(self.model), key=lambda node: -weight_of(self.model, node))
        single = [[node.name] for node in weighty] if len(weighty) > 1 else []
        kinds = sorted({node.op_type for node in self.model.graph.node} & set(_KINDS[3:]))
        named = [[node.name for node in self.model.graph.node if node.op_type == kind] for kind in kinds]
        return single[:_MOST_TRIED] + named

    def _of(self, names: list[str], ours: Any) -> _Try:
        file = self.written(names, self.given.folder / "tried.onnx")
        try:
            run = session(file)
        finally:
            file.unlink()
        found = apart(ours, answers(run, self.fed))
        _, seconds = cpu_s([self.champion, run], self.fed[:4], turns=3, turn_s=0.01)
        return _Try(names, found, seconds)

    def written(self, spared: Sequence[str], file: Path) -> Path:
        """The graph in int8 but for `spared`."""
        quantization = need("onnxruntime.quantization", "int8")
        small = {node.name for node in products(self.model)} - {node.name for node in _weighty(self.model)}
        model = type(self.model)()
        model.CopyFrom(self.model)  # it puts the weights of what it is given elsewhere
        quantization.quantize_static(
            model,
            file,
            _reader(quantization, self.fed),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_KINDS),
            per_channel=True,
            reduce_range=needs_room(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=sorted({*spared, *small}),
            calibrate_method=getattr(quantization.CalibrationMethod, str(self.given.settings["calibration"])),
        )
        return file


def _reader(quantization: Any, fed: Feeds) -> Any:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # its base is not typed
        def __init__(self) -> None:
            self._left = iter(fed)

        def get_next(self) -> Any:
            return next(self._left, None)

    return Reader()
