"""What the pickle of a module refers to by name: its tensors, which lie beside it as safetensors.

The kernel pickles a call of `weight` where a tensor is; a worker unpickles while the file is open. Tensors that were
one are one again: the pickle refers to each once.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autodeploy_magic.registry import need

__all__ = ["open_weights", "script", "storage", "weight"]

_here = threading.local()


@contextmanager
def open_weights(path: Path) -> Iterator[None]:
    """Let `weight` read the safetensors file at `path`, for what this thread unpickles meanwhile.

    The tensors are views of the file's pages: workers on one machine share them.
    """
    safetensors = need("safetensors", "loading the weights of a PyTorch model")
    with safetensors.safe_open(str(path), framework="pt") as file:
        _here.file = file
        try:
            yield
        finally:
            del _here.file


def weight(name: str, kind: str, requires_grad: bool) -> Any:
    """The tensor called `name` in the open file, as a "tensor" or a "parameter"."""
    import torch

    found = _here.file.get_tensor(name)
    if kind == "parameter":
        return torch.nn.Parameter(found, requires_grad=requires_grad)
    return found.requires_grad_(requires_grad) if requires_grad else found


def storage(name: str, dtype: str) -> Any:
    """The storage of a tensor of a kind of its own, a quantised one for example."""
    torch = need("torch", "loading a PyTorch model")
    raw = _here.file.get_tensor(name).clone().untyped_storage()
    return torch.storage.TypedStorage(wrap_storage=raw, dtype=getattr(torch, dtype), _internal=True)


def script(data: bytes) -> Any:
    """A TorchScript module within another one."""
    torch = need("torch", "loading a PyTorch model")
    with warnings.catch_warnings(action="ignore"):  # that TorchScript is an old format
        return torch.jit.load(io.BytesIO(data), map_location="cpu")
