"""Tensors of PyTorch."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.registry import need

__all__ = ["TorchLibrary", "library"]


class TorchLibrary:
    """Tensors of any device become arrays; arrays become tensors on the CPU, with their dtype."""

    def recognises(self, value: Any) -> bool:
        torch = need("torch", "reading a tensor")
        return isinstance(value, torch.Tensor)

    def to_plain(self, value: Any) -> Any:
        found = value.detach().cpu()
        if found.is_sparse:
            found = found.to_dense()
        return found.float().numpy() if str(found.dtype) == "torch.bfloat16" else found.numpy()

    def from_plain(self, value: Any) -> Any:
        import numpy as np

        torch = need("torch", "answering with tensors")
        array = np.asarray(value)
        return torch.from_numpy(array if array.flags.writeable else array.copy())


library = TorchLibrary()
