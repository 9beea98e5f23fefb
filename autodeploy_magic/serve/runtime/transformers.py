"""Transformers models with PyTorch: from a folder that `save_pretrained` wrote, and nothing else of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.registry import need
from autodeploy_magic.serve.runtime.live import LiveRunner
from autodeploy_magic.serve.runtime.native import unpickle
from autodeploy_magic.serve.runtime.transformers_answers import ANSWERED, RECORD, TEXT_PIPELINES, Answering, texts_of
from autodeploy_magic.serve.runtime.transformers_tokens import Ids, Tokens, quiet

__all__ = ["CLASSES", "TransformersRunner"]

CLASSES = "classes.pkl"
"""The classes of the notebook's own, where model or tokenizer are of such."""


class TransformersRunner(LiveRunner):
    """Gives back what the notebook had: a pipeline, a model with its tokenizer, or one of them alone."""

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        quiet()
        super().__init__(path, version, threads=threads)
        import torch

        if threads is not None:
            torch.set_num_threads(threads)

    def load(self, path: Path, version: Version) -> Any:
        logging = need("transformers.utils.logging", "answering with a Transformers model")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        told = self._told = json.loads((path / RECORD).read_bytes())
        if told["kind"] == "sentences":
            return _sentences(path)
        model = _model(path, told)
        self._answering: Answering | None = None
        if told["kind"] == "model":
            self._net = model
            return model
        tokenizer = _tokenizer(path, told)
        if told["task"] in ANSWERED:
            self._answering = Answering(told, _tokens(tokenizer, told), _forward(model, told["outputs"]))
        self._pipeline = _pipeline(path, model, tokenizer, told) if "pipeline" in told else None
        if told["kind"] == "pair":
            return (model, tokenizer) if told["model_first"] else (tokenizer, model)
        return self._pipeline

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer `x`; torch has its own pool of threads, which is told once."""
        return self.answers(x, names)

    def apply(self, predict: Callable[[Any, Any], Any], x: Any) -> Any:
        """Answer `x` with the person's own `predict`."""
        import torch

        with torch.inference_mode():
            return predict(self.model, x)

    def answers(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """All outputs at once; those asked for."""
        kind = self._told["kind"]
        if kind == "sentences":
            found = {"predictions": self.model.encode(texts_of(x), show_progress_bar=False, convert_to_numpy=True)}
        elif kind == "model":
            found = self._of_ids(x)
        elif self._answering is not None:
            found = self._answering.answers(x)
        else:
            assert self._pipeline is not None
            found = {"predictions": self._pipeline(self._rows(x), **self._told["call"])}
        return {name: found[name] for name in names}

    def _rows(self, x: Any) -> list[Any]:
        """Texts for a pipeline of texts; never a text for another one, which would open the file that it names."""
        if self._told["task"] in TEXT_PIPELINES:
            return texts_of(x)
        rows = list(x)
        for row, value in enumerate(rows):
            if isinstance(value, str):
                raise InvalidInputs(f"inputs[{row}] is a text", fix="send what the sample held", field=f"inputs[{row}]")
        return rows

    def _of_ids(self, x: Mapping[str, Any]) -> dict[str, Any]:
        arrays = {name: np.asarray(values) for name, values in x.items()}
        values = _forward(self._net, self._told["outputs"])(arrays)
        return dict(zip(self._told["names"], values, strict=True))


def _model(path: Path, told: Mapping[str, Any]) -> Any:
    import torch

    transformers = need("transformers", "answering with a Transformers model")
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if told["attention"] in ("eager", "sdpa"):
        options["attn_implementation"] = told["attention"]
    kind = _own_class(path, told, "model")
    if told["trust_remote_code"]:
        kind, options["trust_remote_code"] = getattr(transformers, told["auto_class"]), True
    elif kind is None:
        kind = getattr(transformers, told["class"])
    return kind.from_pretrained(str(path), **options).to(getattr(torch, told["dtype"])).eval()


def _tokenizer(path: Path, told: Mapping[str, Any]) -> Any:
    kind = _own_class(path, told, "tokenizer") or need("transformers", "reading texts").AutoTokenizer
    trust = {"trust_remote_code": True} if told["trust_remote_code"] else {}
    return kind.from_pretrained(str(path), local_files_only=True, **trust)


def _own_class(path: Path, told: Mapping[str, Any], part: str) -> Any:
    return unpickle(path / CLASSES).get(part) if told["own_classes"] else None


def _pipeline(path: Path, model: Any, tokenizer: Any, told: Mapping[str, Any]) -> Any:
    transformers = need("transformers", "answering with a Transformers pipeline")
    parts: dict[str, Any] = {"tokenizer": tokenizer}
    if told["image_processor"]:
        parts["image_processor"] = transformers.AutoImageProcessor.from_pretrained(str(path), local_files_only=True)
    return transformers.pipeline(told["pipeline"], model=model, device="cpu", **parts, **told["options"])


def _sentences(path: Path) -> Any:
    sentence_transformers = need("sentence_transformers", "answering with a SentenceTransformer")
    return sentence_transformers.SentenceTransformer(str(path), device="cpu", local_files_only=True).eval()


def _tokens(tokenizer: Any, told: Mapping[str, Any]) -> Tokens:
    if getattr(tokenizer, "is_fast", False):
        return Tokens(tokenizer.backend_tokenizer, told)

    def encode(texts: Sequence[str], pairs: Sequence[str] | None) -> list[Ids]:
        cut = {"truncation": True, "max_length": told["limit"]} if told["limit"] else {}
        found = tokenizer(list(texts), None if pairs is None else list(pairs), **cut)
        types = found.get("token_type_ids") or [[0] * len(ids) for ids in found["input_ids"]]
        return [Ids(ids, of) for ids, of in zip(found["input_ids"], types, strict=True)]

    return Tokens(None, told, encode)


def _forward(model: Any, outputs: Sequence[str]) -> Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]:
    """The model as a function of arrays by name; of its outputs those that are named, "" being the first."""
    import inspect

    import torch

    stateless = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    def forward(arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            given = {name: torch.as_tensor(values) for name, values in arrays.items()}
            found = model(**given, **stateless)
            return [(found[name] if name else found[0]).float().numpy() for name in outputs]

    return forward
