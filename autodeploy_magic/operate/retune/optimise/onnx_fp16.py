"""fp16 for size: the weights are kept in half precision and become float32 again when the file is loaded.

A CPU has no arithmetic in fp16 that onnxruntime would use: operators in it were measured .97 times as fast, and many
are missing. So only the file is halved: a Cast follows each weight, which onnxruntime folds away while it loads, and
what runs is the graph of before, with weights rounded to 11 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Replaced
from autodeploy_magic.operate.retune.optimise.onnx_answers import checked, feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import FLOAT, constants, read, write
from autodeploy_magic.registry import need
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Half"]

_LEAST = 256
"""Values: of a smaller one the Cast takes as many bytes as are won."""
_LARGEST = 65504.0
"""Of fp16; a weight beyond it keeps its float32."""
_WORTH = 0.25


class Half(Optimiser):
    """Offered where weights that can be halved are a quarter of the file at least."""

    name: ClassVar[str] = "onnx_fp16"
    family: ClassVar[Family] = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        model = read(champion)
        held = sum(4 * int(np.prod(item.dims)) for item in _halvable(model))
        if held < _WORTH * champion.needs_onnx().stat().st_size:
            raise NotApplicable("it has hardly any weights in float32 that could be halved")
        return [Offer("weights in fp16, for size alone")]

    def make(self, champion: Champion, given: Given) -> Made:
        onnx = need("onnx", "changing an ONNX file")
        model = read(champion)
        casts = []
        for item in _halvable(model):
            values = onnx.numpy_helper.to_array(item)
            if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > _LARGEST:
                continue
            name = item.name
            item.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_whole", to=FLOAT))
        if not casts:
            raise NotApplicable("its weights are too large for fp16")
        rest = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*casts, *rest])
        file = write(model, given.folder)
        found = checked(champion, file, feeds(champion, given.holdings.calibration))
        return Replaced(file, f"{len(casts)} weights in fp16, computed in float32; {found.words}")


def _halvable(model: Any) -> list[Any]:
    """The initialisers in float32 that are worth it. Those that an output is, or that a caller may replace, stay."""
    outputs = {item.name for item in model.graph.output}
    return [
        item
        for item in constants(model).values()
        if item.data_type == FLOAT and np.prod(item.dims) >= _LEAST and item.name not in outputs
    ]
