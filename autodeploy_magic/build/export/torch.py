"""PyTorch modules: ONNX, and their own weights as safetensors with the module around them pickled.

Whatever mode the module is in, its answers are those of eval mode without gradients. It keeps its mode, its device and
its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.build.export.base import Exporter
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadSample, BrokenPackage, ExportFailed, MissingPackage, ModelTooLarge

__all__ = ["TorchExporter", "exporter"]

_FLOATS = ("float16", "float32", "float64")


class TorchExporter(Exporter):
    """A `torch.nn.Module` of any class, TorchScript and what `torch.compile` made of one among them."""

    name = "torch"
    formats = ("torch", "onnx")
    packages = ("torch", "safetensors")

    def __init__(self) -> None:
        self._ready: dict[int, tuple[Any, Any, Any]] = {}
        """Modules that are asked several times: how they are called, where they are, and their threads."""

    def recognises(self, model: Any) -> bool:
        from autodeploy_magic.build.export.torch_module import is_model

        return is_model(model)

    def check_fitted(self, model: Any, name: str) -> None:
        from autodeploy_magic.build.export.torch_module import check_answers, unwrapped

        check_answers(unwrapped(model), name)

    def model_type(self, model: Any) -> str:
        from autodeploy_magic.build.export.torch_module import unwrapped

        module = unwrapped(model)
        return str(getattr(module, "original_name", "") or type(module).__name__)

    def task(self, model: Any) -> str:
        from autodeploy_magic.build.export.torch_module import guess_task, unwrapped

        return guess_task(unwrapped(model))

    def methods(self, model: Any) -> dict[str, str]:
        return {"predictions": "__call__"}

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        from autodeploy_magic.build.export.torch_module import unwrapped

        module = unwrapped(model)
        if id(module) in self._ready:
            return self._answer(module, x)
        with self.ready(model):
            return self._answer(module, x)

    @contextmanager
    def ready(self, model: Any) -> Iterator[None]:
        from autodeploy_magic.build.export.torch_module import resting, unwrapped
        from autodeploy_magic.wire.libraries.torch_call import Threads, call_of, device_of

        module = unwrapped(model)
        with resting(module):
            self._ready[id(module)] = (call_of(module), device_of(module), Threads(module))
            try:
                yield
            finally:
                del self._ready[id(module)]

    def _answer(self, module: Any, x: Any) -> dict[str, Any]:
        call, device, threads = self._ready[id(module)]
        try:
            found: dict[str, Any] = call.answer(module, x, device, threads)
        except RuntimeError as error:
            raise _explained(error, module, call.dtype) from error
        return found

    def parts(self, model: Any) -> list[Any]:
        return list(model.modules())

    def takes(self, model: Any, signature: Signature) -> Signature:
        from autodeploy_magic.build.export.torch_module import unwrapped
        from autodeploy_magic.wire.libraries.torch_call import call_of

        dtype = call_of(unwrapped(model)).dtype
        dtype = dtype if dtype in _FLOATS else "float32"  # JSON and numpy know no bfloat16
        columns = tuple(
            msgspec.structs.replace(column, dtype=dtype) if column.dtype in _FLOATS else column
            for column in signature.columns
        )
        return msgspec.structs.replace(signature, columns=columns)

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        from autodeploy_magic.build.export import torch_keep, torch_onnx
        from autodeploy_magic.build.export.torch_module import bytes_of, unwrapped
        from autodeploy_magic.build.memory import available_bytes
        from autodeploy_magic.wire.libraries.torch_call import call_of

        module = unwrapped(model)
        try:
            if format == "onnx":
                torch_onnx.export(module, path, call_of(module), x)
            elif bytes_of(module) > available_bytes():
                raise ModelTooLarge(
                    f"the {self.model_type(model)} is too large for the memory of this machine",
                    why=f"it has {bytes_of(module) / 2**30:.1f} GB, and a clean process must load it a second time",
                    fix="free memory (close other notebooks, `%deploy stop` what is not needed), or shrink the model",
                )
            else:
                torch_keep.keep(module, path)
        except (MissingPackage, BrokenPackage) as error:
            raise ExportFailed(error.what, why=f"{error.what}, {error.why}: {error.fix}") from error

    def fingerprint(self, model: Any) -> str:
        from autodeploy_magic.build.export.torch_keep import digest
        from autodeploy_magic.build.export.torch_module import unwrapped

        return digest(unwrapped(model))

    def modules(self, model: Any) -> frozenset[str]:
        from autodeploy_magic.build.export.torch_keep import modules_of
        from autodeploy_magic.build.export.torch_module import unwrapped

        return modules_of(unwrapped(model))

    def opaque(self, model: Any, format: str) -> str:
        from autodeploy_magic.build.export.torch_module import is_script, unwrapped

        if format == "torch" and is_script(unwrapped(model)):
            return "a TorchScript archive, which holds a program of its own"
        return super().opaque(model, format)


def _explained(error: RuntimeError, module: Any, dtype: str) -> Exception:
    """What a module says about whole numbers where it wants others, with what to do about it."""
    words = " ".join(str(error).split())
    if "dtype" in words or "scalar type" in words or "Float" in words or "Long" in words:
        return BadSample(
            f"the module {type(module).__name__} cannot answer the sample: its numbers are of another kind",
            why=words[:300],
            fix=f"give them as the module was trained: X.astype('{dtype}') for numbers, X.astype('int64') for an "
            "embedding's",
        )
    return error


exporter = TorchExporter()
