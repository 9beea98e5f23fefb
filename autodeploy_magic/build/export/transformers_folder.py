"""A Transformers model as files: what `save_pretrained` writes, our own record beside it, and a digest of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autodeploy_magic.build.code import dump
from autodeploy_magic.build.export.transformers_given import ANSWERED, Given
from autodeploy_magic.build.export.transformers_live import call_of, inputs_of, outputs_of_ids, quietly
from autodeploy_magic.errors import ExportFailed

__all__ = ["RECORD", "fingerprint", "own_classes", "record", "remote", "write_folder", "write_tokenizer"]

RECORD = "autodeploy.json"
_NOT_CONTENT = (
    "_name_or_path",
    "transformers_version",
    "_attn_implementation",
    "architectures",
    "dtype",
    "torch_dtype",
)
"""What a configuration says of where it came from; the class and the dtype are told beside it."""
_REMOTE = "transformers_modules"
"""The package that code fetched with a model is imported as."""


def remote(given: Given) -> bool:
    """Whether the model's own Python code came with it (`trust_remote_code`)."""
    return any(type(part).__module__.startswith(_REMOTE) for part in (given.model, given.tokenizer))


def own_classes(given: Given) -> dict[str, type]:
    """Classes that are neither of Transformers nor fetched with the model: the notebook's, or another package's."""
    parts = {"model": given.model, "tokenizer": given.tokenizer}
    kinds = {name: type(part) for name, part in parts.items() if part is not None}
    return {
        name: kind for name, kind in kinds.items() if kind.__module__.partition(".")[0] not in ("transformers", _REMOTE)
    }


def record(given: Given) -> dict[str, Any]:
    """What a runner must know, as JSON values (described with `Answering`)."""
    model, tokenizer = given.model, given.tokenizer
    told: dict[str, Any] = {
        "kind": given.kind,
        "task": given.task,
        "class": type(model).__name__,
        "auto_class": _auto_class(model) if remote(given) else "",
        "trust_remote_code": remote(given),
        "own_classes": bool(own_classes(given)),
        "dtype": str(model.dtype).rpartition(".")[2],
        "attention": str(getattr(model.config, "_attn_implementation", "")),
        "model_first": given.model_first,
    }
    if given.kind == "model":
        names = outputs_of_ids(model)
        return {**told, "outputs": list(names.values()), "names": list(names)}
    pad = tokenizer.pad_token_id
    told |= {
        "inputs": inputs_of(given),
        "limit": given.limit,
        "window": given.window[0],
        "stride": given.window[1],
        "truncation_side": tokenizer.truncation_side,
        "split_special_tokens": bool(getattr(tokenizer, "split_special_tokens", False)),
        "pad": None
        if pad is None
        else {"id": pad, "type_id": tokenizer.pad_token_type_id, "side": tokenizer.padding_side},
        "outputs": ["start_logits", "end_logits"] if given.task == "question-answering" else [""],
    }
    if given.task == "text-classification":
        told |= {"labels": given.labels, "function": given.function, "scores": given.scores}
    if given.task == "embedding":
        told |= {"pooling": given.pooling, "normalize": given.normalize, "width": model.config.hidden_size}
    if given.pipe is not None:
        told |= {
            "pipeline": given.pipeline,
            "image_processor": given.pipe.image_processor is not None,
            "options": _options(given),
            "call": {} if given.task in ANSWERED else call_of(given),
        }
    return told


def _auto_class(model: Any) -> str:
    for name, reference in (getattr(model.config, "auto_map", None) or {}).items():
        if str(reference).rpartition(".")[2] == type(model).__name__:
            return str(name)
    return "AutoModel"


def _options(given: Given) -> dict[str, Any]:
    """What the pipeline was made with, where JSON can say it."""
    pipe = given.pipe
    found = {key: getattr(value, "value", value) for key, value in given.params.items()}
    found |= getattr(pipe, "_generate_kwargs", {})
    try:
        return dict(json.loads(json.dumps({key: value for key, value in found.items() if not key.startswith("_")})))
    except (TypeError, ValueError) as error:
        raise ExportFailed(
            f"the {pipe.task} pipeline cannot be written as files",
            why=f"it was made with options that JSON cannot say: {error}",
            fix="make it with plain options, and do the rest in preprocess or postprocess",
        ) from error


def write_folder(given: Given, path: Path) -> None:
    """Write the folder of the format "transformers"."""
    with quietly():
        if given.sentences is not None:
            given.sentences.save(str(path))
            (path / "README.md").unlink(missing_ok=True)  # a card with the date
            told: dict[str, Any] = {"kind": "sentences"}
        else:
            path.mkdir()
            told = record(given)
            with _unchanged(given.model.config):
                given.model.save_pretrained(str(path))
            if given.tokenizer is not None:
                given.tokenizer.save_pretrained(str(path))
            if given.pipe is not None and given.pipe.image_processor is not None:
                given.pipe.image_processor.save_pretrained(str(path))
            if own_classes(given):
                dump(own_classes(given), path / "classes.pkl", what="the model's class")
    if (path / "tokenizer.json").is_file():
        write_tokenizer(given, path)
    (path / RECORD).write_text(json.dumps(told, indent=1, sort_keys=True), "utf-8")


@contextlib.contextmanager
def _unchanged(config: Any) -> Iterator[None]:
    """What saving notes in the person's own configuration is taken out again."""
    before = dict(vars(config))
    try:
        yield
    finally:
        vars(config).clear()
        vars(config).update(before)


def write_tokenizer(given: Given, folder: Path) -> None:
    """The fast tokenizer's own file, without what the last call of it left there."""
    (folder / "tokenizer.json").write_text(_tokenizer_text(given.tokenizer), "utf-8")


def _tokenizer_text(tokenizer: Any) -> str:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({**content, "truncation": None, "padding": None}, ensure_ascii=False)


def fingerprint(given: Given) -> str:
    """A digest of configuration, weights and tokenizer, and of what they are used for; nothing is copied whole."""
    found = hashlib.sha256()
    for part in _content(given):
        found.update(part)
    return found.hexdigest()


def _content(given: Given) -> Iterator[bytes | memoryview]:
    import torch

    network = given.sentences if given.sentences is not None else given.model
    if given.sentences is None or given.simple:
        said = {key: value for key, value in record(given).items() if key != "attention"}
        yield json.dumps(said, sort_keys=True, default=str).encode()
    else:
        yield repr(given.sentences).encode()
    if given.model is not None:
        config = given.model.config.to_dict()
        for name in _NOT_CONTENT:
            config.pop(name, None)
        yield json.dumps(config, sort_keys=True, default=str).encode()
    generation = getattr(given.model, "generation_config", None)
    if generation is not None and given.task in ("", "text-generation"):
        yield json.dumps(generation.to_dict(), sort_keys=True, default=str).encode()
    if given.tokenizer is not None:
        yield _tokenizer_content(given.tokenizer)
    for name, tensor in sorted(network.state_dict().items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        if plain.numel():
            yield memoryview(plain.view(torch.uint8).numpy())


def _tokenizer_content(tokenizer: Any) -> bytes:
    if getattr(tokenizer, "is_fast", False):
        special = {name: str(value) for name, value in tokenizer.special_tokens_map.items()}
        return (json.dumps(special, sort_keys=True) + _tokenizer_text(tokenizer)).encode()
    vocabulary = sorted(tokenizer.get_vocab().items())
    return json.dumps([type(tokenizer).__name__, vocabulary, str(tokenizer.special_tokens_map)]).encode()
