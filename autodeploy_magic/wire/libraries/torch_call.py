"""How a module is called: rows as its arguments, and what it returns as named answers.

The kernel and a worker do this alike. A module of one argument takes an array, or the columns of a table side by side;
a module of several takes columns by the names of its arguments, or else in their order. Numbers with a fraction become
the module's own float dtype; whole numbers stay what they are, for an embedding needs them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from autodeploy_magic.errors import BadSample
from autodeploy_magic.wire.libraries.torch import library

__all__ = ["Bound", "Call", "Threads", "call_of", "device_of", "named_answers"]

MUCH_WORK = 2**21
"""Weights times rows from where on several threads pay: about a tenth of a millisecond of one."""
_TAKEN = ("id", "version")
"""What an answer to a request says besides: an output cannot be called so."""
_TENSORS = "let forward return a tensor, or a tuple or dict of tensors, or add a predict function that does"


@dataclass(frozen=True)
class Bound:
    """Rows as tensors, by the names of the inputs, and how they are given: "order", "names" or "mapping"."""

    style: str
    tensors: dict[str, Any]

    def give(self, module: Callable[..., Any], tensors: Sequence[Any]) -> Any:
        """Call `module` with `tensors`, which stand for those here in their order."""
        if self.style == "order":
            return module(*tensors)
        named = dict(zip(self.tensors, tensors, strict=True))
        return module(named) if self.style == "mapping" else module(**named)


@dataclass(frozen=True)
class Call:
    """What a module's `forward` takes: the names of its arguments, how many it must be given, whether others too.

    `mapping` says that its one argument is a dict; `dtype` is torch's name of its floats ("float32").
    """

    names: tuple[str, ...]
    required: int
    others: bool
    mapping: bool
    dtype: str

    def answer(self, module: Any, x: Any, device: Any, threads: Threads) -> dict[str, Any]:
        """The module's named answers to `x`, as tensors on the CPU; `device` is where its weights are."""
        bound = self.bind(x, device)
        tensors = list(bound.tensors.values())
        with threads.sized(len(tensors[0]) if tensors and tensors[0].ndim else 1):
            return named_answers(bound.give(module, tensors))

    def bind(self, x: Any, device: Any = "cpu") -> Bound:
        """`x`, in any of the containers, as the arguments of the module. Raises `BadSample` where it does not fit."""
        if isinstance(x, tuple) and x and all(getattr(item, "ndim", 0) for item in x):
            x = {f"input_{i}": item for i, item in enumerate(x)}  # what a preprocess returned for several arguments
        if hasattr(x, "columns") and hasattr(x, "iloc"):
            x = {str(name): x[name].to_numpy() for name in x.columns}
        if not isinstance(x, Mapping):
            return Bound("order", {"inputs": self._tensor("inputs", x, device)})
        columns = {str(name): values for name, values in x.items()}
        style = self._style(columns)
        if style == "stacked":
            import numpy as np

            matrix = np.column_stack([_plain(name, values) for name, values in columns.items()])
            return Bound("order", {"inputs": self._tensor("inputs", matrix, device)})
        return Bound(style, {name: self._tensor(name, values, device) for name, values in columns.items()})

    def _style(self, columns: Mapping[str, Any]) -> str:
        known = [name for name in columns if name in self.names]
        if len(known) == len(columns) or (self.others and (known or not self.names)):
            return "names"
        if self.mapping:
            return "mapping"
        if len(columns) == 1:
            return "order"
        if not known and self.required <= len(columns) <= len(self.names):
            return "order"
        flat = all(getattr(values, "ndim", 1) == 1 for values in columns.values())
        if len(self.names) == 1 and flat:
            return "stacked"
        if len(self.names) == 1:
            return "mapping"
        raise BadSample(
            f"the module takes {', '.join(self.names) or 'nothing'}, and the sample has {', '.join(columns)}",
            why="the columns of a sample are given to forward by the names of its arguments",
            fix=f"give a dict with the keys {', '.join(self.names)}",
        )

    def _tensor(self, name: str, values: Any, device: Any) -> Any:
        import torch

        if isinstance(values, list | tuple) and values and isinstance(values[0], torch.Tensor):
            values = torch.stack(list(values))
        given = values.detach() if isinstance(values, torch.Tensor) else library.from_plain(_plain(name, values))
        made = given.to(device, getattr(torch, self.dtype)) if given.is_floating_point() else given.to(device)
        # a module may write into what it is given (ReLU(inplace=True)), and these are the person's own rows
        return made.clone() if made.data_ptr() == given.data_ptr() else made


class Threads:
    """How many threads torch computes with: one where there is little to do, else `most`; None is what it has now.

    A team of threads costs a barrier at each layer: nothing on an idle machine, and milliseconds on a busy one. torch
    has one pool for the whole process, so what is said here holds for all that is computed meanwhile.
    """

    def __init__(self, module: Any, most: int | None = None) -> None:
        self._weights = sum(item.numel() for item in module.parameters())
        self._most = most

    @contextmanager
    def sized(self, rows: int) -> Iterator[None]:
        """Compute for `rows` rows; afterwards torch has the threads that it had."""
        import torch

        before = torch.get_num_threads()
        wanted = 1 if self._weights * rows < MUCH_WORK else self._most or before
        if wanted == before:
            yield
            return
        torch.set_num_threads(wanted)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def call_of(module: Any) -> Call:
    """How `module` is called."""
    import torch

    forward = getattr(type(module), "forward", None) if "forward" not in vars(module) else None
    known = _known.get(forward) if inspect.isfunction(forward) else None
    if known is None:
        known = _arguments(module)
        if inspect.isfunction(forward) and not hasattr(module.forward, "schema"):
            _known[forward] = known
    names, required, others, mapping = known
    floats = (item.dtype for item in chain(module.parameters(), module.buffers()) if item.is_floating_point())
    dtype = next(floats, torch.get_default_dtype())
    return Call(names, required, others, mapping, str(dtype).removeprefix("torch."))


def device_of(module: Any) -> Any:
    """The device that a module's first weight is on, the CPU where it has none."""
    first = next(chain(module.parameters(), module.buffers()), None)
    return "cpu" if first is None else first.device


def named_answers(found: Any) -> dict[str, Any]:
    """Tensors by the names of their outputs: "predictions" first, then the keys they came under, or "output_1"….

    Raises `BadSample` where something other than tensors and numbers was returned.
    """
    import torch

    if isinstance(found, torch.Tensor):
        return {"predictions": found.detach().cpu()}
    leaves = list(_leaves("", found))
    if not leaves:
        raise BadSample(f"the module answers with {found!r:.60}, in which there is no tensor", fix=_TENSORS)
    first = next((i for i, (name, _) in enumerate(leaves) if name == "predictions"), 0)
    answers = {"predictions": leaves.pop(first)[1]}
    for i, (name, value) in enumerate(leaves, 1):
        free = name and name not in answers and name not in _TAKEN
        answers[name if free else f"output_{i}"] = value
    return answers


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value.detach().cpu()
    elif isinstance(value, np.ndarray | np.generic | bool | int | float):
        yield name, torch.as_tensor(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}_{key}" if name else str(key), item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _leaves(name, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif hasattr(value, "_asdict"):
        yield from _leaves(name, value._asdict())
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(f"{name}_{i}" if name else "", item)
    elif value is not None:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise BadSample(
            f"the module answers with a {kind}, which is neither a tensor nor a number",
            why="what is served must be able to travel as an array",
            fix=_TENSORS,
        )


def _plain(name: str, values: Any) -> Any:
    """Values as an array of numbers, of all that numpy and pandas know."""
    import numpy as np

    array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if array.dtype.kind == "O" and array.size and not any(isinstance(item, str) for item in array.reshape(-1)):
        array = array.astype(float)  # whole numbers of which some are missing
    if array.dtype.kind not in "biufc":
        raise BadSample(
            f"{name} holds {'text' if array.dtype.kind in 'OUST' else array.dtype}, and a module takes numbers",
            why="tensors hold numbers only",
            fix="define preprocess(x) in the cell, which turns it into numbers",
        )
    return array


_known: WeakKeyDictionary[Any, tuple[tuple[str, ...], int, bool, bool]] = WeakKeyDictionary()
"""What a forward was found to take: it is asked for each answer of the live object."""


def _arguments(module: Any) -> tuple[tuple[str, ...], int, bool, bool]:
    """Names of the arguments of `forward`, how many are required, whether it takes others, whether it is one dict."""
    schema = getattr(module.forward, "schema", None)
    if schema is not None:  # TorchScript's own
        arguments = schema.arguments[1:]
        names = tuple(item.name for item in arguments)
        mapping = len(names) == 1 and str(arguments[0].type).startswith("Dict")
        return names, sum(not item.has_default_value() for item in arguments), False, mapping
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return (), 0, True, False
    plain = [item for item in parameters if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
    others = any(item.kind is item.VAR_KEYWORD for item in parameters)
    words = str(plain[0].annotation).lower() if len(plain) == 1 else ""
    return (
        tuple(item.name for item in plain),
        sum(item.default is item.empty for item in plain),
        others,
        words.startswith(("dict", "<class 'dict'", "typing.dict", "mapping", "typing.mapping", "collections.abc.map")),
    )
