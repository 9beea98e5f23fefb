"""Tensors of TensorFlow."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.registry import need

__all__ = ["TensorFlowLibrary", "library"]


class TensorFlowLibrary:
    """Eager tensors and variables become arrays; arrays become tensors with their dtype."""

    def recognises(self, value: Any) -> bool:
        tensorflow = need("tensorflow", "reading a tensor")
        return isinstance(value, tensorflow.Tensor | tensorflow.Variable)

    def to_plain(self, value: Any) -> Any:
        return value.numpy()

    def from_plain(self, value: Any) -> Any:
        return need("tensorflow", "answering with tensors").convert_to_tensor(value)


library = TensorFlowLibrary()
