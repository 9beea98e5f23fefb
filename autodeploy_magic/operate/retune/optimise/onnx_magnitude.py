"""Magnitude pruning: the smallest weights of each matrix become zero. It helps the size of a download only.

Nothing on a CPU skips single zeros: 50 to 90 % of them were measured 1.0 times as fast and as small, and compressed
with gzip a quarter of the size. Source: Han et al., Learning both Weights and Connections, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Replaced
from autodeploy_magic.operate.retune.optimise.onnx_answers import checked, feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import DOUBLE, FLOAT, constants, nodes, read, write
from autodeploy_magic.registry import need
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Magnitude"]

_LEAST = 1024
_SHARES = (0.5, 0.8)
_WEIGHED = {"MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN"}


class Magnitude(Optimiser):
    """Offers half and four fifths of the weights, matrix by matrix."""

    name: ClassVar[str] = "onnx_magnitude"
    family: ClassVar[Family] = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if not _matrices(read(champion)):
            raise NotApplicable("it has no matrices of float weights")
        return [
            Offer(f"{share:.0%} of the weights zero, for a compressed download alone", {"share": share})
            for share in _SHARES
        ]

    def make(self, champion: Champion, given: Given) -> Made:
        onnx = need("onnx", "changing an ONNX file")
        model = read(champion)
        share, gone, had = float(given.settings["share"]), 0, 0
        for item in _matrices(model):
            values = np.array(onnx.numpy_helper.to_array(item))
            limit = np.quantile(np.abs(values), share)
            small = np.abs(values) <= limit
            values[small] = 0.0
            gone, had = gone + int(small.sum()), had + values.size
            item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
        file = write(model, given.folder)
        found = checked(champion, file, feeds(champion, given.holdings.calibration))
        return Replaced(file, f"{gone} of {had} weights are zero; {found.words}", {"zero": gone / had})


def _matrices(model: Any) -> list[Any]:
    """The initialisers that something is multiplied with; no biases, and no tables of embeddings."""
    held = constants(model)
    names = {name for node in nodes(model.graph) if node.op_type in _WEIGHED for name in node.input if name in held}
    return [
        item
        for name, item in held.items()
        if name in names and item.data_type in (FLOAT, DOUBLE) and len(item.dims) > 1 and np.prod(item.dims) >= _LEAST
    ]
