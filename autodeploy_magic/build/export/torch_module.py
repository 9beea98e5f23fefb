"""A module as the person has it: what is inside its wrappers, whether it can answer, and asking it without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autodeploy_magic.build.export.base import loaded
from autodeploy_magic.errors import BadInput, UnfittedModel
from autodeploy_magic.registry import need

__all__ = ["bytes_of", "check_answers", "guess_task", "is_model", "is_script", "resting", "tensors_of", "unwrapped"]

_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
"""torch's own wrappers, which change how a module is run and not what it says → where the module is."""
_SCORES = ("Softmax", "LogSoftmax", "Softmax2d", "AdaptiveLogSoftmaxWithLoss")
_COUNTS = ("num_classes", "n_classes", "classes_", "num_labels")
"""Attributes by which people, and their libraries, say how many classes a model tells apart."""


def is_model(value: Any) -> bool:
    """Whether `value` is a module that answers; a loss, which people assign beside it, and a metric are none."""
    module = getattr(getattr(loaded("torch"), "nn", None), "Module", None)
    if module is None or not isinstance(value, module):
        return False
    return not any(
        kind.__module__.startswith(("torch.nn.modules.loss", "torchmetrics")) for kind in type(value).__mro__
    )


def unwrapped(model: Any) -> Any:
    """The module itself, without what `torch.compile` and `DataParallel` put around it."""
    while type(model).__name__ in _WRAPPERS and type(model).__module__.startswith("torch."):
        model = getattr(model, _WRAPPERS[type(model).__name__])
    return model


def is_script(module: Any) -> bool:
    """Whether it is TorchScript: a graph, without Python."""
    import torch

    return isinstance(module, torch.jit.ScriptModule)


def check_answers(module: Any, name: str) -> None:
    """Raise `UnfittedModel` where weights are missing, `BadInput` where there is no forward."""
    import torch
    from torch.nn.parameter import is_lazy

    kind = type(module).__name__
    lazy = next((key for key, item in tensors_of(module).items() if is_lazy(item)), None)
    if lazy is not None:
        raise UnfittedModel(
            f"{name} ({kind}) has weights that do not exist yet: {lazy}",
            why="a lazy module learns the sizes of its weights from the first rows it is given",
            fix=f"train it, or call {name}(x) once",
        )
    empty = next((key for key, item in tensors_of(module).items() if item.device.type == "meta"), None)
    if empty is not None:
        raise UnfittedModel(
            f"{name} ({kind}) has weights without values: {empty}",
            why='they are on the device "meta", which holds shapes only',
            fix=f"load the weights: {name}.load_state_dict(…, assign=True)",
        )
    if getattr(type(module), "forward", None) is torch.nn.Module.forward and "forward" not in vars(module):
        raise BadInput(
            f"{name} ({kind}) cannot answer",
            why="it has no forward method"
            + (": a container of modules is not called" if any(module.children()) else ""),
            fix="give the module whose forward takes the rows; torch.nn.Sequential calls its parts in turn",
        )


def guess_task(module: Any) -> str:
    """ "classification" for a module that ends in a softmax, or names its classes; what others mean is not known."""
    import torch

    last = module
    while isinstance(last, torch.nn.Sequential) and len(last):
        last = last[-1]
    classes = any(isinstance(getattr(module, key, None), int | list | tuple) for key in _COUNTS)
    return "classification" if type(last).__name__ in _SCORES or classes else "function"


def tensors_of(module: Any) -> dict[str, Any]:
    """Parameters and buffers by their names, each once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def bytes_of(module: Any) -> int:
    """How much memory the weights take."""
    return sum(item.numel() * item.element_size() for item in tensors_of(module).values())


@contextmanager
def resting(module: Any) -> Iterator[None]:
    """Have `module` in eval mode and without gradients, and then leave all as it was: random numbers drawn, too.

    Nothing is called where all of it is in eval mode: some modules (LoRA's) change their weights when it changes.
    """
    torch = need("torch", "answering with a PyTorch model")
    modes = [(part, getattr(part, "training", None)) for part in module.modules()]
    changed = any(mode for _, mode in modes)
    devices = []
    if torch.cuda.is_initialized():
        devices = sorted({item.device.index for item in module.parameters() if item.device.type == "cuda"})
    drawn = torch.get_rng_state()
    with torch.no_grad(), torch.random.fork_rng(devices=devices, enabled=bool(devices)):
        try:
            if changed:
                _switch(module, False)
            yield
        finally:
            torch.set_rng_state(drawn)
            if changed:
                _switch(module, bool(modes[0][1]))
                for part, mode in modes:
                    if mode is not None and part.training != mode:
                        part.training = mode


def _switch(module: Any, training: bool) -> None:
    try:
        module.train(training)
    except NotImplementedError:  # a graph of torch.export's
        for part in module.modules():
            part.training = training
