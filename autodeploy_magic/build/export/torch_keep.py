"""A module as a folder: weights as safetensors, and the module around them as a pickle that refers to them by name.

model.safetensors   every tensor once, under the names of the state_dict: data, readable by anybody
module.pkl          the objects around them, classes and functions of the notebook by value
module.pt           in place of the two, for TorchScript
call.json           what forward takes
module.py           the source of what travels by value, for reading
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
import uuid
import warnings
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.build.code import Pickled, dump
from autodeploy_magic.build.export.torch_module import is_script, resting, tensors_of
from autodeploy_magic.build.export.torch_source import source_text
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.registry import need
from autodeploy_magic.wire.libraries.torch_call import call_of
from autodeploy_magic.wire.libraries.torch_weights import script, storage, weight

__all__ = ["digest", "keep", "modules_of"]

_MANGLED = re.compile(rb"___torch_mangle_\d+")
"""What TorchScript calls a class that the kernel has compiled before."""


def keep(module: Any, folder: Path) -> None:
    """Write `module` into `folder`, which is made. Raises `ExportFailed` where something in it cannot travel."""
    folder.mkdir()
    (folder / "call.json").write_bytes(msgspec.json.encode(call_of(module)))
    with resting(module):
        if is_script(module):
            _archive(module, folder / "module.pt")
            return
        need("safetensors", "keeping the weights of a PyTorch model")
        pickled, tensors = _pickle(module, folder / "module.pkl")
    safetensors = need("safetensors.torch", "keeping the weights of a PyTorch model")
    safetensors.save_file(_alone(tensors), str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "module.py").write_text(source_text(pickled.by_value), "utf-8")


def digest(module: Any) -> str:
    """The digest of all that decides a module's answers: its tensors, its code, its attributes.

    A new one each time where an attribute cannot be pickled: what it holds cannot be told then.
    """
    found = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as name, resting(module):
        folder = Path(name)
        if is_script(module):
            _archive(module, folder / "module.pt")
            _hash_archive(folder / "module.pt", found)
            return found.hexdigest()
        try:
            pickled, tensors = _pickle(module, folder / "module.pkl")
        except ExportFailed:
            return uuid.uuid4().hex
        found.update(pickled.sha256.encode())
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(_raw(tensor))
    return found.hexdigest()


def modules_of(module: Any) -> frozenset[str]:
    """Full names of the Python modules that the module's code lives in."""
    if is_script(module):
        return frozenset()
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder, resting(module):
        try:
            return _pickle(module, Path(folder) / "module.pkl")[0].modules
        except ExportFailed:
            return frozenset(type(part).__module__ for part in module.modules()) - {"__main__"}


def _archive(module: Any, path: Any) -> None:
    """What is a graph already, in PyTorch's own file for it; `path` may be a stream."""
    import torch

    with warnings.catch_warnings(action="ignore"):  # that TorchScript is an old format
        torch.jit.save(module, str(path) if isinstance(path, Path) else path)


def _hash_archive(path: Path, found: Any) -> None:
    """The content of an archive, without what says from which lines of which file it was compiled."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            inside = name.partition("/")[2]
            if not inside.endswith(".debug_pkl") and inside != ".data/serialization_id":
                found.update(_MANGLED.sub(b"", inside.encode()))
                found.update(_MANGLED.sub(b"", archive.read(name)))


class _Tensors:
    """What a pickler does with tensors: each is put aside once, and a call that gets it by its name stands for it."""

    def __init__(self, module: Any) -> None:
        self._names = {id(tensor): name for name, tensor in tensors_of(module).items()}
        self.aside: dict[str, Any] = {}

    def reduce(self, obj: Any) -> Any:
        torch = need("torch", "keeping a PyTorch model")
        if isinstance(obj, torch.Tensor):
            return self._tensor(obj)
        if isinstance(obj, torch.jit.ScriptModule):
            data = io.BytesIO()
            _archive(obj, data)
            return script, (data.getvalue(),)
        if isinstance(obj, torch.storage.TypedStorage):
            name = f"storage.{len(self.aside)}"
            self.aside[name] = torch.tensor([], dtype=torch.uint8).set_(obj.untyped())
            return storage, (name, str(obj.dtype).removeprefix("torch."))
        return NotImplemented

    def _tensor(self, tensor: Any) -> Any:
        import torch

        kinds = (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor))
        odd = type(tensor) not in kinds or tensor.is_quantized or tensor.layout is not torch.strided
        if odd or tensor.dtype not in _data_types():
            return NotImplemented
        name = self._names.get(id(tensor)) or f"tensor.{len(self.aside)}"
        self.aside[name] = tensor
        kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "tensor"
        return weight, (name, kind, tensor.requires_grad and tensor.is_leaf)


def _data_types() -> frozenset[Any]:
    """What a safetensors file of every release can hold."""
    import torch

    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    return frozenset(getattr(torch, name) for name in names.split())


def _pickle(module: Any, path: Path) -> tuple[Pickled, dict[str, Any]]:
    tensors = _Tensors(module)
    pickled = dump(module, path, what=f"the module {type(module).__name__}", reduce=tensors.reduce)
    return pickled, tensors.aside


def _alone(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tensors on the CPU of which no two share memory, as a safetensors file wants them; most are as they were."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in seen else plain
        seen.add(place)
    return found


def _raw(tensor: Any) -> Any:
    """The bytes of a tensor, without a copy of one that lies in the CPU's memory."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
