"""A TensorFlow network as one flat function, of which ONNX and SavedModel are made: tensors x0, x1… → tensors o0, o1…

The number of rows is open. Inputs keep the order of their names, answers that of `network_answers`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.build.export.tensorflow_quiet import quietly
from autodeploy_magic.errors import AutodeployError, ExportFailed
from autodeploy_magic.registry import need
from autodeploy_magic.wire.networks import network_leaves

__all__ = ["Flat", "flat", "graph_digest", "write_onnx", "write_saved_model"]


_LARGE_BYTES = 4 * 2**20
"""From so many bytes of weights on they are kept out of the graph while it is converted, which copies it many times:
100 MB took 81 s with them in it, and 19 s without."""


@dataclass(frozen=True)
class Flat:
    """`function` takes tensors of `specs`. `names` are those of its inputs, none where it has a lone one."""

    function: Any
    specs: tuple[Any, ...]
    names: tuple[str, ...]


def flat(call: Callable[[Any], Any], inputs: Any, known: Mapping[str, tuple[Any, Any]] | None = None) -> Flat:
    """The flat form of `call`, which takes a tensor, or a dict of them as `inputs`, arrays, is one.

    `known` has the (shape, dtype) of inputs that are wanted otherwise than `inputs` has them, by name; "" is the one.
    """
    tensorflow = need("tensorflow", "writing a TensorFlow model")
    names = tuple(inputs) if isinstance(inputs, Mapping) else ()
    specs = []
    for i, name in enumerate(names or ("",)):
        array = inputs[name] if names else inputs
        shape, dtype = (known or {}).get(name, (array.shape, array.dtype))
        text = getattr(dtype, "kind", "") in ("O", "U") or str(dtype) == "string"
        specs.append(tensorflow.TensorSpec((None, *shape[1:]), tensorflow.string if text else dtype, name=f"x{i}"))

    def answer(*tensors: Any) -> dict[str, Any]:
        value = call(dict(zip(names, tensors, strict=True)) if names else tensors[0])
        leaves = [tensorflow.identity(leaf) for _, leaf in network_leaves(value)]
        return {f"o{i}": leaf for i, leaf in enumerate(leaves)}

    return Flat(tensorflow.function(answer, autograph=False), tuple(specs), names)


def write_onnx(whole: Flat, path: Path, what: str) -> None:
    """Write it as ONNX, its inputs under their own names. Raises `ExportFailed`; `what` is what people call the model.

    tf2onnx goes on where it knows no operator; such a graph is refused here, before a process is spent on it.
    """
    try:
        with quietly():
            data = _onnx(whole)
    except Exception as error:  # a converter may raise anything; what it says goes into the candidates' table
        raise ExportFailed(
            f"{what} cannot be written as onnx",
            why=_why(error),
            fix="deploy it with --format native, or auto",
        ) from error
    path.write_bytes(data)


def _why(error: Exception) -> str:
    return f"{error.what}: {error.fix}" if isinstance(error, AutodeployError) else f"tf2onnx: {first_words(error)}"


def write_saved_model(whole: Flat, model: Any, path: Path, what: str, *, keras: bool) -> None:
    """Write it as a SavedModel, with `model`, whose variables it uses, as `model` in it. Raises `ExportFailed`."""
    tensorflow = need("tensorflow", "writing a SavedModel")
    try:
        with quietly():
            holder = tensorflow.Module()
            holder.model = model
            concrete = whole.function.get_concrete_function(*whole.specs)
            tensorflow.saved_model.save(holder, str(path), signatures={"serving_default": concrete})
    except Exception as error:  # what cannot be traced raises whatever the person's code does
        raise ExportFailed(
            f"{what} cannot be written as a SavedModel",
            why=first_words(error),
            fix="let its __call__ be a tf.function of tensors alone",
        ) from error
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "inputs.json").write_text(json.dumps({"inputs": list(whole.names), "keras": keras}), "utf-8")


def graph_digest(whole: Flat) -> str:
    """The digest of all that decides its answers: the graph as it was traced, and the values that it captured."""
    import numpy as np

    with quietly():
        concrete = whole.function.get_concrete_function(*whole.specs)
    variables = {id(variable.handle): variable for variable in concrete.variables}
    graph = concrete.graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    said = [whole.names, [str(spec) for spec in whole.specs], _digest(graph.node, [], [], functions)]
    digest = hashlib.sha256(json.dumps(said).encode())
    for captured in concrete.captured_inputs:
        value = variables.get(id(captured), captured)
        digest.update(json.dumps([value.dtype.name, value.shape.as_list() if value.shape.rank else []]).encode())
        if value.dtype.name in ("resource", "variant"):
            digest.update(os.urandom(16))  # a table, whose content is not to be had: equal to none that was seen before
        else:
            array = np.asarray(value.numpy())
            digest.update(str(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
    return digest.hexdigest()


def _digest(nodes: Any, arguments: Sequence[str], returned: Sequence[str], functions: Mapping[str, Any]) -> str:
    """Of nodes that go by their numbers, and of functions that go by their own digests: names hold counters."""
    numbers = {name: i for i, name in enumerate((*arguments, *(node.name for node in nodes)))}

    def place(name: str) -> list[Any]:
        node, _, output = name.removeprefix("^").partition(":")
        return [name[:1] == "^", numbers.get(node, node), output]

    digest = hashlib.sha256()
    for node in nodes:
        digest.update(json.dumps([node.op, [place(name) for name in node.input]]).encode())
        for key in sorted(key for key in node.attr if not key.startswith("_")):
            attribute = node.attr[key]
            for reference in (attribute.func, *attribute.list.func):
                if reference.name in functions:
                    inner = functions[reference.name]
                    names = [argument.name for argument in inner.signature.input_arg]
                    values = [inner.ret[argument.name] for argument in inner.signature.output_arg]
                    reference.name = _digest(inner.node_def, names, values, functions)
            digest.update(key.encode() + attribute.SerializeToString(deterministic=True))
    digest.update(json.dumps([place(name) for name in returned]).encode())
    return digest.hexdigest()


def _onnx(whole: Flat) -> bytes:
    onnx = need("onnx", "writing a TensorFlow model as ONNX")
    convert = need("tf2onnx.convert", "writing a TensorFlow model as ONNX")
    weights = whole.function.get_concrete_function(*whole.specs).variables
    large = sum(weight.dtype.size * weight.shape.num_elements() for weight in weights) > _LARGE_BYTES
    with _numpy_1() if large else contextlib.nullcontext():
        model, stored = convert.from_function(whole.function, input_signature=whole.specs, large_model=large)
    for tensor in model.graph.initializer if large else ():
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = next(item.value for item in tensor.external_data if item.key == "location")
            tensor.raw_data = stored.name_to_tensor_data.pop(place)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    _rename(model, {f"x{i}": name for i, name in enumerate(whole.names or ("inputs",))})
    _order(model)
    others = {node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)}
    if others:
        raise ValueError(f"ONNX has no {', '.join(sorted(others))}")
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@contextlib.contextmanager
def _numpy_1() -> Iterator[None]:
    """tf2onnx keeps large tensors apart by a function that numpy 2 has under another name only."""
    import numpy as np

    if hasattr(np, "product"):
        yield
        return
    np.product = np.prod  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del np.product  # type: ignore[attr-defined]


def _rename(model: Any, names: Mapping[str, str]) -> None:
    """Give the inputs of a graph other names, wherever they are used."""
    from onnx import AttributeProto

    def visit(graph: Any) -> None:
        for node in graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = names.get(name, name)
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    visit(attribute.g)

    if any(set(node.output) & set(names.values()) for node in model.graph.node):
        raise ValueError(f"one of {', '.join(names.values())} is the name of a value within the graph, too")
    visit(model.graph)
    for item in model.graph.input:
        item.name = names.get(item.name, item.name)
    for item in model.graph.output:
        item.name = names.get(item.name, item.name)


def _order(model: Any) -> None:
    """Put the outputs o0, o1… in their order."""
    found = sorted(model.graph.output, key=lambda item: int(item.name.removeprefix("o")))
    del model.graph.output[:]
    model.graph.output.extend(found)
