"""A Transformers model as ONNX, its tokenizer beside it: neither transformers nor torch is needed to answer texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from autodeploy_magic.contracts import Version
from autodeploy_magic.serve.runtime.cores import usable_cores
from autodeploy_magic.serve.runtime.providers import session
from autodeploy_magic.serve.runtime.transformers_answers import RECORD, Answering
from autodeploy_magic.serve.runtime.transformers_tokens import Tokens, read_tokenizer

__all__ = ["GRAPH", "TransformersOnnxRunner"]

GRAPH = "model.onnx"


class TransformersOnnxRunner:
    """`tokenizers` and an onnxruntime session. `threads` of None is all there are, as torch takes them."""

    needs_container = False

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        told = json.loads((path / RECORD).read_bytes())
        self._session, self.stand_in = session(path / GRAPH, version.provider, threads or usable_cores())
        import onnxruntime  # set up by now

        self._inputs = [item.name for item in self._session.get_inputs()]
        # What the longest texts took of memory is given back after them.
        self._giving_back = onnxruntime.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._answering = Answering(told, Tokens(read_tokenizer(path), told), self._forward)

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer a `Batch`, or what a preprocess returned, with the outputs `names`."""
        found = self._answering.answers(x)
        return {name: found[name] for name in names}

    def _forward(self, arrays: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        large = arrays["input_ids"].size > _LARGE
        feeds = {name: arrays[name] for name in self._inputs}  # a graph leaves out what changes nothing in it
        found: Sequence[NDArray[Any]] = self._session.run(None, feeds, self._giving_back if large else None)
        return found


_LARGE = 4096
"""Tokens of a batch whose memory is given back."""
