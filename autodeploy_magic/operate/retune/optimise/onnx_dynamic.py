"""int8, dynamic: weights are kept in int8, and the scale of what they are multiplied with is found at each call.

It needs no rows to be calibrated by. A wide network of 1 024 × 1 024 was measured 2.5 times as fast at one row, a
sentence transformer 1.9 to 2.7 times with a mean cosine of .99; a convolutional network four times as slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Replaced
from autodeploy_magic.operate.retune.optimise.onnx_answers import checked, feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import FLOAT, constants, operators, read
from autodeploy_magic.operate.retune.optimise.onnx_int8 import (
    LEAST_WEIGHTS,
    QUANTISED,
    needs_room,
    prepared,
    products,
    sorest,
    weight_of,
)
from autodeploy_magic.registry import need
from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Dynamic"]

_CONVOLUTIONS = {"Conv", "ConvTranspose", "FusedConv"}
_SPARED = 0.1
_SPARED_FROM = 8
_EMBEDDINGS_FROM = 0.1
"""Tables of embeddings are looked up, not multiplied: in int8 they gain size alone, where they are a tenth of it."""


class Dynamic(Optimiser):
    """Signed weights, a scale for each channel: with one scale for all a sentence transformer's mean cosine was .961
    and with each its own .990 (`needs_room` says when their range is reduced)."""

    name: ClassVar[str] = "onnx_dynamic"
    family: ClassVar[Family] = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        model = read(champion)
        kinds = operators(model)
        if _CONVOLUTIONS & set(kinds):
            raise NotApplicable("it has convolutions, which int8 with scales found at each call makes 4 times as slow")
        if QUANTISED & set(kinds):
            raise NotApplicable("it is int8 already")
        large = [node for node in products(model) if weight_of(model, node) >= LEAST_WEIGHTS]
        recurrent = [node for node in products(model, ["LSTM"]) if weight_of(model, node) >= LEAST_WEIGHTS]
        if not large and not recurrent:
            raise NotApplicable("it has no product of matrices that is large enough to gain by int8")
        found = [Offer("int8, dynamic")]
        if _embeddings(model) >= _EMBEDDINGS_FROM * sum(_bytes(item) for item in constants(model).values()):
            found.append(Offer("int8, dynamic, embeddings too", {"embeddings": True}))
        if len(large) >= _SPARED_FROM:
            found.append(Offer("int8, dynamic, the most delicate tenth in float", {"spared": _SPARED}))
        return found

    def make(self, champion: Champion, given: Given) -> Made:
        fed = feeds(champion, given.holdings.calibration)
        model = _multiplied(prepared(read(champion), given.folder))
        chosen = products(model, ["MatMul", "LSTM"])
        large = [node for node in chosen if weight_of(model, node) >= LEAST_WEIGHTS]
        ranked = [node for node in large if node.op_type == "MatMul"]
        share = float(given.settings.get("spared", 0.0))
        spared = sorest(model, ranked, fed)[: max(1, round(len(ranked) * share))] if share and ranked else []
        kept = {node.name for node in large} - set(spared)
        kinds = ["MatMul", "LSTM", *(["Gather"] if given.settings.get("embeddings") else [])]
        left = [node.name for node in model.graph.node if node.op_type in kinds[:2] and node.name not in kept]
        room = needs_room()
        file = given.folder / "model.onnx"
        quantization = need("onnxruntime.quantization", "int8")
        quantization.quantize_dynamic(
            model,
            file,
            op_types_to_quantize=kinds,
            per_channel=True,
            reduce_range=room,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=left,
            extra_options={"MatMulConstBOnly": True},
        )
        note = f"{len(kept)} of {len(chosen)} products in int8"
        note += ", weights of 7 bits (this processor has no VNNI)" if room else ""
        return Replaced(file, f"{note}; {checked(champion, file, fed).words}", {"float": spared, "reduce_range": room})


def _bytes(item: Any) -> int:
    return int(np.prod(item.dims)) * (4 if item.data_type == FLOAT else 8)


def _embeddings(model: Any) -> int:
    """Bytes of the tables that are looked up."""
    held = constants(model)
    names = {node.input[0] for node in model.graph.node if node.op_type == "Gather" and node.input[0] in held}
    return sum(_bytes(held[name]) for name in names if held[name].data_type == FLOAT)


def _multiplied(model: Any) -> Any:
    """Each Gemm of a constant as a MatMul and an Add: the dynamic quantiser knows those alone."""
    onnx = need("onnx", "changing an ONNX file")
    held = constants(model)
    found: list[Any] = []
    for node in model.graph.node:
        told = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        plain = told.get("alpha", 1.0) == told.get("beta", 1.0) == 1.0 and not told.get("transA", 0)
        if node.op_type != "Gemm" or not plain or node.input[1] not in held:
            found.append(node)
            continue
        weights = node.input[1]
        if told.get("transB", 0):
            turned = np.ascontiguousarray(onnx.numpy_helper.to_array(held[weights]).T)
            weights = f"{node.name}_turned"
            model.graph.initializer.append(onnx.numpy_helper.from_array(turned, weights))
        has_bias = len(node.input) > 2 and node.input[2]
        product = f"{node.name}_product" if has_bias else node.output[0]
        found.append(onnx.helper.make_node("MatMul", [node.input[0], weights], [product], name=node.name))
        if has_bias:
            kind = held[node.input[1]].data_type
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(product, kind, None))
            add = onnx.helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}_bias")
            found.append(add)
    used = {name for node in found for name in node.input} | {item.name for item in model.graph.output}
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(found)
    model.graph.initializer.extend(kept)
    return model
