"""PyTorch: weights mapped from a safetensors file, the module around them unpickled; or TorchScript.

Loading it runs code of the notebook: versions of it are amber.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Version
from autodeploy_magic.registry import need
from autodeploy_magic.serve.runtime.live import LiveRunner
from autodeploy_magic.serve.runtime.native import unpickle
from autodeploy_magic.wire.libraries.torch import library
from autodeploy_magic.wire.libraries.torch_call import Call, Threads
from autodeploy_magic.wire.libraries.torch_weights import open_weights

__all__ = ["TorchRunner"]


class TorchRunner(LiveRunner):
    """Calls a module on the CPU in eval mode and without gradients, as the kernel did.

    `threads` is told to torch while it answers many rows: it has one pool for the whole process, other versions' too.
    """

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        import torch

        super().__init__(path, version, threads=threads)
        self._call = msgspec.json.decode((path / "call.json").read_bytes(), type=Call)
        self._threads = Threads(self.model, threads)
        self._without_gradients: Callable[[], Any] = torch.inference_mode
        self._tensors = bool(version.model_outputs)
        """Whether a postprocess comes after, which in the notebook is given tensors."""

    def load(self, path: Path, version: Version) -> Any:
        torch = need("torch", "answering with a PyTorch model")
        if (path / "module.pt").is_file():
            with warnings.catch_warnings(action="ignore"):  # that TorchScript is an old format
                module = torch.jit.load(str(path / "module.pt"), map_location="cpu")
        else:
            with open_weights(path / "model.safetensors"):
                module = unpickle(path / "module.pkl")
        if any(getattr(part, "training", False) for part in module.modules()):
            module.eval()
        return module

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer `x` with the outputs `names`; torch has its own pool of threads."""
        return self.answers(x, names)

    def answers(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        found = self._answered(x)
        return {name: found[name] if self._tensors else library.to_plain(found[name]) for name in names}

    def apply(self, predict: Callable[[Any, Any], Any], x: Any) -> Any:
        """Answer `x` with the person's own `predict`, which says itself whether it wants gradients."""
        return predict(self.model, x)

    def _answered(self, x: Any) -> dict[str, Any]:
        import torch

        try:
            with self._without_gradients():
                return self._call.answer(self.model, x, "cpu", self._threads)
        except RuntimeError:
            if self._without_gradients is torch.no_grad:
                raise
            with torch.no_grad():  # a forward that computes gradients itself, which inference mode forbids
                found = self._call.answer(self.model, x, "cpu", self._threads)
            self._without_gradients = torch.no_grad
            return found
