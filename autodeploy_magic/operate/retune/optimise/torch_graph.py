"""Which neurons and channels of a module can be taken out, and taking them out.

The module is followed by torch.fx. Units of a layer can go where what it gives passes nothing but what keeps units
apart (activations, norms, pooling, flattening) on its one way to one other layer. Chains are such, and the inner layers
of residual blocks; where ways meet, all stays. Layers are made smaller in place: the module keeps its class.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.wire.libraries.torch_call import Bound

__all__ = ["Removable", "cut", "multiplications", "removable"]

_LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d")
_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
_APART = (
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AlphaDropout AvgPool1d "
    "AvgPool2d AvgPool3d CELU Dropout Dropout1d Dropout2d Dropout3d ELU FeatureAlphaDropout GELU Hardsigmoid Hardswish "
    "Hardtanh Identity LeakyReLU LogSigmoid MaxPool1d MaxPool2d MaxPool3d Mish ReLU ReLU6 SELU SiLU Sigmoid Softplus "
    "Softsign Tanh Upsample"
)
"""Modules of torch.nn that compute each unit of its own."""
_APART_FUNCTIONS = (
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d alpha_dropout avg_pool1d avg_pool2d celu contiguous "
    "dropout dropout2d elu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid max_pool1d max_pool2d mish relu "
    "relu6 relu_ selu sigmoid silu softplus softsign tanh"
)
"""The same as functions and as methods, by name."""
_FLAT = ("Flatten", "flatten", "view", "reshape")


@dataclass(frozen=True)
class Removable:
    """Units that can go: `units` of the layer called `layer`, on their way through `norms` (and depthwise convolutions)
    to the layer `reader`, which has `each` inputs for one of them."""

    layer: str
    norms: tuple[str, ...]
    reader: str
    units: int
    each: int


def removable(module: Any, bound: Bound) -> list[Removable]:
    """All units that can go, from the module's beginning to its end. `bound` are some rows.

    Raises `NotApplicable` where the module cannot be followed, or nothing can go.
    """
    graph, parts = _followed(module, bound)
    once = _used_once(module, graph)
    found = []
    for node in graph.nodes:
        if node.op == "call_module" and node.target in once and type(parts[node.target]).__name__ in _LAYERS:
            one = _way(node, parts, once)
            if one is not None:
                found.append(one)
    if not found:
        raise NotApplicable(
            "there are no neurons that could go: none of its layers reads what another one alone gives",
            why="only between two layers of a chain can they be taken out",
        )
    return found


def multiplications(module: Any, bound: Bound) -> int:
    """How many multiplications of the layers above one row takes, about."""
    import torch

    total = 0
    rows = len(next(iter(bound.tensors.values())))

    def count(layer: Any, _: Any, given: Any) -> None:
        nonlocal total
        weights = layer.weight.numel()
        total += weights * given.numel() // given.shape[-1 if isinstance(layer, torch.nn.Linear) else 1] // rows

    hooks = [part.register_forward_hook(count) for part in module.modules() if type(part).__name__ in _LAYERS]
    try:
        with torch.no_grad():
            bound.give(module, [tensor.clone() for tensor in bound.tensors.values()])
    finally:
        for hook in hooks:
            hook.remove()
    return total


def cut(module: Any, one: Removable, keep: Sequence[int]) -> None:
    """Take all units but those to `keep` out of `module`, in place."""
    import torch

    parts = dict(module.named_modules())
    index = torch.as_tensor(list(keep))
    layer, reader = parts[one.layer], parts[one.reader]
    _shrink(layer, index, ("weight", "bias"))
    _set(layer, len(keep), ("out_features", "out_channels"))
    for name in one.norms:
        part = parts[name]
        _shrink(part, index, ("weight", "bias", "running_mean", "running_var"))
        _set(part, len(keep), ("num_features", "in_channels", "out_channels", "groups"))
    inputs = (index[:, None] * one.each + torch.arange(one.each)).reshape(-1)
    reader.weight = _alike(reader.weight, reader.weight.detach().index_select(1, inputs))
    _set(reader, len(inputs), ("in_features", "in_channels"))


def _shrink(part: Any, index: Any, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(part, name, None)
        if value is not None and value.ndim:
            setattr(part, name, _alike(value, value.detach().index_select(0, index)))


def _alike(old: Any, new: Any) -> Any:
    """A new tensor as what the old one is: a parameter or a buffer."""
    import torch

    new = new.clone()
    return torch.nn.Parameter(new, old.requires_grad) if isinstance(old, torch.nn.Parameter) else new


def _set(part: Any, count: int, names: Iterable[str]) -> None:
    for name in names:
        if hasattr(part, name):
            setattr(part, name, count)


# --- following


def _followed(module: Any, bound: Bound) -> tuple[Any, dict[str, Any]]:
    """The graph of the module, each node with the shape of what it gives; its modules by name."""
    import torch
    from torch.fx.passes.shape_prop import ShapeProp

    if isinstance(module, torch.jit.ScriptModule):
        raise NotApplicable("it is TorchScript, whose layers have fixed sizes")
    try:
        traced = torch.fx.symbolic_trace(module.eval())
        names = [node.target for node in traced.graph.nodes if node.op == "placeholder"]
        tensors = {name: tensor.clone() for name, tensor in bound.tensors.items()}
        given = [tensors] if bound.style == "mapping" else list(tensors.values())
        if bound.style == "names":
            given = [tensors[name] for name in names if name in tensors]
        with torch.no_grad():
            ShapeProp(traced).propagate(*given)
    except Exception as error:
        raise NotApplicable(
            "its forward cannot be followed: what it does depends on the values that it is given",
            why=" ".join(str(error).split())[:200],
        ) from error
    return traced.graph, dict(module.named_modules())


def _used_once(module: Any, graph: Any) -> set[str]:
    """The names of the modules that are called once, know no other name, share no weight, and have no hooks."""
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {node.target.rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    named = list(module.named_modules(remove_duplicate=False))
    same = Counter(id(part) for _, part in named)
    held = [item for _, part in named for item in part.parameters(recurse=False)]
    shared = Counter(map(id, held))
    return {
        name
        for name, part in named
        if calls[name] == 1
        and name not in read
        and same[id(part)] == 1
        and all(shared[id(item)] == 1 for item in part.parameters(recurse=False))
        and type(part).__module__.startswith("torch.nn.modules")
        and not part._forward_pre_hooks  # noqa: SLF001  # nothing public tells of them; weight_norm makes weights there
        and not part._forward_hooks  # noqa: SLF001
    }


def _way(node: Any, parts: dict[str, Any], once: set[str]) -> Removable | None:
    """The way of what a layer gives to the one layer that reads it; None where it goes elsewhere, or meets another."""
    layer = parts[node.target]
    if getattr(layer, "groups", 1) != 1:
        return None
    first, units, each, norms = node.target, int(layer.weight.shape[0]), 1, []
    shape = _shape(node)
    place = len(shape) - 1 if hasattr(layer, "out_features") else 1
    while True:
        step = _next(node)
        if step is None:
            return None
        kind = type(parts[step.target]).__name__ if step.op == "call_module" else _name(step)
        if step.op == "call_module" and kind in _LAYERS and step.target in once:
            part = parts[step.target]
            if getattr(part, "groups", 1) == units == part.weight.shape[0] and place == 1:
                norms.append(step.target)  # depthwise: each unit is read by itself
            elif _reads(part, place, shape, units * each):
                return Removable(first, tuple(norms), step.target, units, each)
            else:
                return None
        elif step.op == "call_module" and kind in _NORMS and place == 1 and step.target in once:
            norms.append(step.target)
        elif kind in _FLAT:
            factor = _flattened(step, kind, parts, place, shape)
            if factor is None:
                return None
            each, place = each * factor, 1
        elif not _apart(step, kind, place, len(shape)):
            return None
        node, shape = step, _shape(step)


def _shape(node: Any) -> tuple[int, ...]:
    told = node.meta.get("tensor_meta")
    return tuple(told.shape) if hasattr(told, "shape") else ()


def _name(step: Any) -> str:
    return step.target if isinstance(step.target, str) else str(getattr(step.target, "__name__", ""))


def _next(node: Any) -> Any:
    """The one step that what `node` gives goes to, but for asking how many rows it has."""
    users = [user for user in node.users if not _asks_rows(user, node)]
    return users[0] if len(users) == 1 and users[0].args and users[0].args[0] is node else None


def _asks_rows(user: Any, node: Any) -> bool:
    if user.op == "call_method" and user.target == "size":
        return tuple(user.args) == (node, 0)
    if _name(user) == "getattr" and user.args[1] == "shape":
        return all(_name(after) == "getitem" and after.args[1] == 0 for after in user.users)
    return False


def _reads(part: Any, place: int, shape: tuple[int, ...], inputs: int) -> bool:
    """Whether a layer reads its inputs where the units are."""
    if getattr(part, "groups", 1) != 1 or part.weight.shape[1] != inputs:
        return False
    return place == (len(shape) - 1 if hasattr(part, "in_features") else 1)


def _apart(step: Any, kind: str, place: int, dims: int) -> bool:
    pools = "ool" in kind
    if pools and place != 1:
        return False  # a pool over what is before the units' own place
    if step.op == "call_module":
        return kind in _APART.split()
    if kind == "mean":
        over = step.kwargs.get("dim", step.args[1] if len(step.args) > 1 else None)
        over = [over] if isinstance(over, int) else over
        return isinstance(over, list | tuple) and place == 1 and all(i % dims > 1 for i in over)
    return step.op in ("call_function", "call_method") and kind in _APART_FUNCTIONS.split()


def _flattened(step: Any, kind: str, parts: dict[str, Any], place: int, shape: tuple[int, ...]) -> int | None:
    """How many numbers of each unit lie side by side after flattening to rows; None where it is no such flattening."""
    if place != 1 or not shape:
        return None
    if step.op == "call_module":
        part = parts[step.target]
        rows = part.start_dim == 1 and part.end_dim in (-1, len(shape) - 1)
    elif kind == "flatten":
        first = step.kwargs.get("start_dim", step.args[1] if len(step.args) > 1 else 0)
        last = step.kwargs.get("end_dim", step.args[2] if len(step.args) > 2 else -1)
        rows = first == 1 and last in (-1, len(shape) - 1)
    else:
        to = step.args[1] if len(step.args) == 2 and isinstance(step.args[1], tuple | list) else step.args[1:]
        # a number in the code of forward would be another one afterwards
        rows = len(to) == 2 and to[1] == -1 and not isinstance(to[0], int)
    return math.prod(shape[2:]) if rows else None
