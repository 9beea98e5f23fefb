"""A Transformers model as ONNX, with the tokenizer beside it."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.build.export.quiet import quieted
from autodeploy_magic.build.export.transformers_folder import RECORD, record, write_tokenizer
from autodeploy_magic.build.export.transformers_given import ANSWERED, Given
from autodeploy_magic.build.export.transformers_live import (
    evaluating,
    inputs_of,
    outputs_of_ids,
    pooled,
    quietly,
    texts_of,
)
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.registry import need

__all__ = ["write_graph", "write_onnx"]

_OPSET = 18


def write_onnx(given: Given, path: Path, x: Any) -> None:
    """Write the folder of the format "transformers-onnx": graph, tokenizer, record."""
    if given.task not in ANSWERED:
        raise _failure(given, f"the answers of {given.task or 'this model'} are made by Python code of transformers")
    if not given.simple:
        raise _failure(given, "it has parts beside a network and its pooling")
    if not given.fast:
        raise _failure(given, f"its tokenizer ({type(given.tokenizer).__name__}) is Python code, and not data")
    if given.tokenizer.pad_token_id is None:
        raise _failure(
            given, "its tokenizer has no padding token: set tokenizer.pad_token and model.config.pad_token_id"
        )
    path.mkdir()
    told = record(given)
    names = inputs_of(given)
    outputs = ["start_logits", "end_logits"] if given.task == "question-answering" else ["answers"]
    tokens = given.tokenizer(
        *_example(given, x), padding=True, truncation=True, max_length=given.limit or 128, return_tensors="pt"
    )
    lengths = given.task == "question-answering"
    _export(given, path / "model.onnx", {name: tokens[name] for name in names}, outputs, lengths=lengths)
    write_tokenizer(given, path)
    (path / RECORD).write_text(json.dumps({**told, "pooled": True}, indent=1, sort_keys=True), "utf-8")


def write_graph(given: Given, path: Path, x: Mapping[str, Any]) -> None:
    """Write a model over token ids as one ONNX file, its inputs named as the sample's columns are."""
    import torch

    tensors = {name: torch.as_tensor(values)[:2] for name, values in x.items()}
    _export(given, path, tensors, list(outputs_of_ids(given.model)), lengths=True)


def _example(given: Given, x: Any) -> tuple[list[str], list[str] | None]:
    """Two rows of different lengths: what the graph is traced with."""
    names = ("question", "context") if given.task == "question-answering" else ("text", "text_pair")
    texts, pairs = texts_of(x, names)
    text = texts[0] or "a"
    beside = None if pairs is None else [f"{pairs[0]} a b c", f"{pairs[0]} b"]
    return [text, f"{text} a b c {text}"], beside


def _export(given: Given, path: Path, tensors: Mapping[str, Any], outputs: list[str], *, lengths: bool) -> None:
    need("onnx", "writing a Transformers model as ONNX")
    import torch

    model = given.model
    if model.device.type != "cpu" or model.dtype != torch.float32:
        model = copy.deepcopy(model).cpu().float()  # the person's own stays where it is, and as exact as it is
    network = _network(given, model, list(tensors))
    axes = {name: {0: "rows", 1: "length"} for name in tensors}
    axes |= {name: {0: "rows", 1: "length"} if lengths else {0: "rows"} for name in outputs}
    named: dict[str, Any] = {"input_names": list(tensors), "output_names": outputs, "opset_version": _OPSET}
    values = tuple(tensors.values())
    with evaluating(network), quietly(), _silence():
        try:
            torch.onnx.export(network, values, str(path), dynamo=False, dynamic_axes=axes, **named)
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything; the other one may yet be able
            try:
                need("onnxscript", "writing a Transformers model as ONNX")
                rows, length = torch.export.Dim("rows"), torch.export.Dim("length", max=given.limit or 512)
                shapes = tuple({0: rows, 1: length} for _ in tensors)
                torch.onnx.export(
                    network, values, str(path), dynamo=True, dynamic_shapes=(shapes,), verbose=False, **named
                )
            except Exception as second:
                raise _failure(given, f"torch.onnx: {first_words(error)}; {first_words(second)}") from second


def _network(given: Given, model: Any, names: list[str]) -> Any:
    """The model as a module of tensors in order, which gives what the runner asks for."""
    import inspect

    import torch

    stateless = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            known = dict(zip(names, tensors, strict=True))
            found = self.model(**known, **stateless)
            if given.kind == "model":
                return tuple(found[key or 0] for key in outputs_of_ids(model).values())
            if given.task == "question-answering":
                return found.start_logits, found.end_logits
            if given.task == "text-classification":
                return found[0]
            vectors = pooled(given.pooling, found[0], known["attention_mask"])
            if given.normalize:
                vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
            return vectors

    return Network()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What exporters print, warn and log is theirs."""
    with quieted("torch.onnx", "torch.export", "onnxscript", "torch._dynamo", level=logging.ERROR):
        yield


def _failure(given: Given, why: str) -> ExportFailed:
    return ExportFailed(
        f"{type(given.model).__name__} cannot be written as ONNX",
        why=why,
        fix="deploy it with --format native, or auto",
    )
