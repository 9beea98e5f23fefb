"""Hugging Face Transformers: pipelines, a model with its tokenizer, a model over token ids, SentenceTransformers.

    transformers_given.py    what the person gave: network, tokenizer, task, limit, pooling
    transformers_live.py     what it answers
    transformers_folder.py   as the folder that save_pretrained writes; the digest
    transformers_onnx.py     as ONNX, the tokenizer beside it

Texts go in and answers come out: a classifier gives labels, and probabilities under the names of its classes; a model
without a head one vector a text (pooled as the folder it came from says, else the mean of its tokens); a model of
questions an answer with its score and place. Texts are cut at the model's limit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export import transformers_given as given_
from autodeploy_magic.build.export.base import Exporter, loaded
from autodeploy_magic.build.export.transformers_given import ANSWERED, POOLINGS, Given, read_given
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadInput, UnfittedModel
from autodeploy_magic.formats import format_of

__all__ = ["TransformersExporter", "exporter"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_FILE = re.compile(r".*\.[A-Za-z]\w*")
_TASKS = {"text-classification": "classification", "embedding": "transform"}


class TransformersExporter(Exporter):
    """What transformers and sentence-transformers make; a class of the notebook's own is torch's, unless it has a
    tokenizer beside it."""

    name = "transformers"
    formats = ("transformers", "transformers-onnx")
    packages = ("transformers", "torch", "safetensors", "tokenizers")

    def recognises(self, model: Any) -> bool:
        if isinstance(model, str):
            return loaded("transformers") is not None and _is_name(model)
        if isinstance(model, tuple | list):
            return len(model) == 2 and (
                (given_.is_model(model[0]) and given_.is_tokenizer(model[1]))
                or (given_.is_tokenizer(model[0]) and given_.is_model(model[1]))
            )
        if given_.is_model(model):
            return type(model).__module__.partition(".")[0] in ("transformers", "transformers_modules")
        return given_.is_pipeline(model) or given_.is_sentences(model)

    def check_fitted(self, model: Any, name: str) -> None:
        if isinstance(model, str):
            raise BadInput(
                f"{model!r} is the name of a model, and not a model",
                why="a version holds the model itself: it starts without a network",
                fix=f"load it in the notebook: pipeline(task, model={model!r}), and deploy what that returns",
            )
        if _is_own_pipeline(model):
            return
        given = read_given(model)
        if given.model is None:
            return
        if any(parameter.is_meta for parameter in given.model.parameters()):
            raise UnfittedModel(
                f"{name} ({type(given.model).__name__}) holds no weights",
                why="some of them are on the meta device, which has shapes alone",
                fix="load it with from_pretrained, without init_empty_weights or device_map",
            )
        if given.kind == "pipeline" and given.tokenizer is None and given.task in (*ANSWERED, *_text_pipelines()):
            raise BadInput(
                f"{name} is a {given.task} pipeline without a tokenizer",
                why="it cannot read a text",
                fix="make it with one: pipeline(task, model=model, tokenizer=tokenizer)",
            )
        if given.task == "embedding" and given.simple and given.pooling not in POOLINGS:
            raise BadInput(
                f"{name} makes its embeddings by a pooling that is not known here: {given.pooling}",
                fix="deploy the SentenceTransformer itself",
            )
        _check_steady(given, name)

    def model_type(self, model: Any) -> str:
        if _is_own_pipeline(model):
            return type(model).__name__
        given = read_given(model)
        name = type(given.model if given.model is not None else model).__name__
        return f"{name} (texts of at most {given.limit} tokens)" if given.limit else name

    def task(self, model: Any) -> str:
        if _is_own_pipeline(model):
            return "function"
        given = read_given(model)
        if given.task == "text-classification" and not given.scores:
            return "regression"
        return _TASKS.get(given.task, "function")

    def methods(self, model: Any) -> dict[str, str]:
        if _is_own_pipeline(model):
            return {"predictions": "__call__"}
        given = read_given(model)
        if given.kind == "model":
            from autodeploy_magic.build.export.transformers_live import outputs_of_ids

            return dict.fromkeys(outputs_of_ids(given.model), "__call__")
        if given.task == "text-classification" and given.scores:
            return {"predictions": "__call__", given.scores: "__call__"}
        return {"predictions": "__call__"}

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        from autodeploy_magic.build.export.transformers_live import evaluating, live_answers

        if _is_own_pipeline(model):
            with evaluating(model.model):
                return {"predictions": model(x)}
        return live_answers(read_given(model), x)

    def formats_for(self, model: Any) -> tuple[str, ...]:
        if _is_own_pipeline(model):
            return ("native",)
        return ("transformers", "onnx") if given_.is_model(model) else self.formats

    def parts(self, model: Any) -> list[Any]:
        if isinstance(model, str):
            return []
        given = read_given(model)
        networks = [
            network for network in (given.sentences, given.model) if network is not None and network is not model
        ]
        return [part for network in networks for part in network.modules()] + [given.tokenizer]

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        del signature
        given = read_given(model)
        if format == "transformers":
            from autodeploy_magic.build.export.transformers_folder import write_folder

            write_folder(given, path)
            return
        from autodeploy_magic.build.export.transformers_onnx import write_graph, write_onnx

        (write_graph if format == "onnx" else write_onnx)(given, path, x)

    def fingerprint(self, model: Any) -> str:
        from autodeploy_magic.build.export.transformers_folder import fingerprint

        return "" if _is_own_pipeline(model) else fingerprint(read_given(model))

    def modules(self, model: Any) -> frozenset[str]:
        if _is_own_pipeline(model):
            return frozenset()  # its pickle tells them
        from autodeploy_magic.build.export.transformers_folder import own_classes

        given = read_given(model)
        own = {kind.__module__ for kind in own_classes(given).values()} - {"__main__"}
        return frozenset(own | ({"sentence_transformers"} if given.sentences is not None else set()))

    def opaque(self, model: Any, format: str) -> str:
        known = format_of(format)
        if format != "transformers" or known.opaque:
            return known.why if known.opaque else ""
        from autodeploy_magic.build.export.transformers_folder import own_classes, remote

        given = read_given(model)
        if given.sentences is not None and not given.simple:
            kinds = {type(part).__module__.partition(".")[0] for part in given.sentences.modules()}
            own = kinds - {"sentence_transformers", "transformers", "torch"}
            return f"parts of it are of {', '.join(sorted(own))}: loading it runs their code" if own else ""
        if given.model is not None and remote(given):
            return "the model's own Python code travels with it (trust_remote_code): loading it runs that code"
        if given.model is not None and own_classes(given):
            names = ", ".join(kind.__name__ for kind in own_classes(given).values())
            return f"{names} is pickled beside its weights: loading it runs code that this kernel wrote into it"
        return ""


def _is_name(text: str) -> bool:
    """Whether a text is what a model is called on the Hub, or a folder that one was saved to."""
    if len(text) > 200:
        return False
    path = Path(text)
    if path.is_dir():
        return (path / "config.json").is_file()
    return _NAME.fullmatch(text) is not None and _FILE.fullmatch(text) is None and not path.exists()


def _is_own_pipeline(model: Any) -> bool:
    """Whether it is a pipeline with code of the person's own: pickled whole, it answers by being called."""
    return given_.is_pipeline(model) and type(model).__module__.partition(".")[0] != "transformers"


def _text_pipelines() -> tuple[str, ...]:
    from autodeploy_magic.build.export.transformers_live import TEXT_PIPELINES

    return TEXT_PIPELINES


def _check_steady(given: Given, name: str) -> None:
    """Raise `BadInput` where each answer would be another one: text that is drawn at random."""
    if given.task != "text-generation" or given.pipe is None:
        return
    told = getattr(given.pipe, "_generate_kwargs", {})
    own = getattr(given.model.generation_config, "do_sample", None)
    usual = getattr(getattr(given.pipe, "_default_generation_config", None), "do_sample", None)
    drawn = next((said for said in (told.get("do_sample"), own, usual) if said is not None), False)
    if drawn:
        raise BadInput(
            f"{name} draws its text at random, and answers the same question in another way each time",
            why="a version is verified by its answers, which must be the same in a clean process",
            fix='make it with pipeline("text-generation", model=…, tokenizer=…, do_sample=False)',
        )


exporter = TransformersExporter()
