"""Tensors of PyTorch."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.registry import need

__all__ = ["TorchLibrary", "library"]

_WITHOUT_ARRAY = ("torch.bfloat16", "torch.float8_e4m3fn", "torch.float8_e5m2", "torch.complex32")
"""What numpy has no dtype for. A float becomes float32, which holds each of its values."""


class TorchLibrary:
    """Tensors of any device become arrays; arrays become tensors on the CPU, with their dtype."""

    def recognises(self, value: Any) -> bool:
        torch = need("torch", "reading a tensor")
        return isinstance(value, torch.Tensor)

    def to_plain(self, value: Any) -> Any:
        found = value.detach()
        if found.is_quantized:
            found = found.dequantize()
        if found.layout != need("torch", "reading a tensor").strided:
            found = found.to_dense()
        found = found.cpu().resolve_conj().resolve_neg()
        return found.float().numpy() if str(found.dtype) in _WITHOUT_ARRAY else found.numpy()

    def from_plain(self, value: Any) -> Any:
        import numpy as np

        torch = need("torch", "answering with tensors")
        array = np.asarray(value)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        shared = array.flags.writeable and all(step >= 0 for step in array.strides)
        return torch.from_numpy(array if shared else array.copy())


library = TorchLibrary()
