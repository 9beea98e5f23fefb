"""What the person gave of Transformers: a pipeline, a model and its tokenizer, a model alone, a SentenceTransformer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import loaded
from autodeploy_magic.registry import need

__all__ = ["ANSWERED", "POOLINGS", "Given", "is_model", "is_pipeline", "is_sentences", "is_tokenizer", "read_given"]

ANSWERED = ("text-classification", "embedding", "question-answering")
"""The tasks whose answers are made of the model's numbers; all others are a pipeline's own."""

_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForQuestionAnswering": "question-answering",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "Model": "embedding",
    "Encoder": "embedding",
}
"""How a class ends → what it is for."""

_CLASSES = {
    "TextClassificationPipeline": "text-classification",
    "TokenClassificationPipeline": "token-classification",
    "FeatureExtractionPipeline": "feature-extraction",
    "FillMaskPipeline": "fill-mask",
    "QuestionAnsweringPipeline": "question-answering",
    "TextGenerationPipeline": "text-generation",
}
"""The tasks of pipelines that were made by their class, which then name none."""
_PIPELINES = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "feature-extraction": "embedding",
}
_WINDOW, _STRIDE = 384, 128
"""Tokens of a question with a stretch of its context, and how far two stretches overlap: as Transformers' pipeline."""

_HUGE = 1_000_000
"""A tokenizer that knows no limit says a number of thirty digits."""
_OFFSET = ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet", "data2vec-text", "xlm-roberta-xl")
"""Models that count positions from behind the padding token's number."""


@dataclass(frozen=True)
class Given:
    """`kind` is "pipeline", "pair", "model" or "sentences"; `model` the network, where there is one of Transformers'.

    `task` is of `ANSWERED`, "token-ids", a pipeline's own, or "" where nothing is known to be done with the model.
    `simple` is false for sentences that more than a network and a pooling make.
    """

    kind: str
    model: Any
    tokenizer: Any = None
    pipe: Any = None
    sentences: Any = None
    task: str = ""
    limit: int | None = None
    pooling: str = "mean"
    normalize: bool = False
    model_first: bool = True
    simple: bool = True
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fast(self) -> bool:
        """Whether the tokenizer is data, which the package `tokenizers` alone can run."""
        return bool(getattr(self.tokenizer, "is_fast", False))

    @property
    def window(self) -> tuple[int, int]:
        """Tokens of a question with a stretch of its context, and the overlap of two stretches."""
        most = min(self.limit or _WINDOW, _WINDOW)
        return most, min(most // 2, _STRIDE)

    @property
    def pipeline(self) -> str:
        """What `transformers.pipeline` calls the task."""
        return self.pipe.task or _CLASSES.get(type(self.pipe).__name__, "")

    @property
    def function(self) -> str:
        """What makes a classifier's answer of its numbers."""
        chosen = self.params.get("function_to_apply")
        if chosen is not None:
            return str(getattr(chosen, "value", chosen)).lower()
        problem, count = self.model.config.problem_type, self.model.config.num_labels
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or count == 1 else "softmax"

    @property
    def labels(self) -> list[str]:
        """The names of a classifier's classes, in order."""
        names = self.model.config.id2label
        return [str(names[i]) for i in range(self.model.config.num_labels)]

    @property
    def scores(self) -> str:
        """What the numbers of each class are called; "" where there is one number, and no class."""
        if self.model.config.num_labels == 1:
            return ""
        return "scores" if self.function == "none" else "probabilities"


def is_model(value: Any) -> bool:
    """Whether it is a network of Transformers."""
    base = loaded("transformers.modeling_utils")
    return base is not None and isinstance(value, base.PreTrainedModel)


def is_tokenizer(value: Any) -> bool:
    """Whether it is a tokenizer of Transformers, fast or slow."""
    base = loaded("transformers.tokenization_utils_base")
    return base is not None and isinstance(value, base.PreTrainedTokenizerBase)


def is_pipeline(value: Any) -> bool:
    """Whether it is a pipeline of Transformers, or of a class that derives from one."""
    base = loaded("transformers.pipelines.base")
    return base is not None and isinstance(value, base.Pipeline)


def is_sentences(value: Any) -> bool:
    """Whether it is a `SentenceTransformer`."""
    base = loaded("sentence_transformers")
    kind = getattr(base, "SentenceTransformer", None)
    return isinstance(kind, type) and isinstance(value, kind)


def read_given(value: Any) -> Given:
    """What `value`, which the exporter recognised, is made of. Nothing is copied."""
    if is_pipeline(value):
        return _pipeline(value)
    if is_sentences(value):
        return _sentences(value)
    if is_model(value):
        return Given("model", value, task="token-ids")
    first, second = value
    model, tokenizer = (first, second) if is_model(first) else (second, first)
    task = _task(model)
    pipe = None
    if task and task not in ANSWERED:
        pipe = need("transformers", f"a pipeline for {task}").pipeline(
            task, model=model, tokenizer=tokenizer, device=model.device
        )
    pooling, normalize, limit = _pooling(model, tokenizer) if task == "embedding" else ("mean", False, None)
    return Given(
        "pair",
        model,
        tokenizer,
        pipe,
        task=task,
        limit=limit or _limit(model, tokenizer),
        pooling=pooling,
        normalize=normalize,
        model_first=model is first,
    )


def _task(model: Any) -> str:
    names = [kind.__name__ for kind in type(model).__mro__]
    task = next((task for name in names for ending, task in _TASKS.items() if name.endswith(ending)), "")
    return "" if model.config.is_encoder_decoder and task in ("embedding", "text-generation") else task


def _pipeline(pipe: Any) -> Given:
    params = {**pipe._preprocess_params, **pipe._forward_params, **pipe._postprocess_params}  # noqa: SLF001
    named = pipe.task or _CLASSES.get(type(pipe).__name__, "")
    task = _PIPELINES.get(named, named)
    model, tokenizer = pipe.model, pipe.tokenizer
    pooling, normalize, limit = _pooling(model, tokenizer) if task == "embedding" else ("mean", False, None)
    limit = params.get("max_length") or limit or (_limit(model, tokenizer) if tokenizer is not None else None)
    return Given(
        "pipeline", model, tokenizer, pipe, task=task, limit=limit, pooling=pooling, normalize=normalize, params=params
    )


def _limit(model: Any, tokenizer: Any) -> int | None:
    """Tokens that the model takes at most: what the tokenizer was told, and what the model has positions for."""
    found = [tokenizer.model_max_length] if (tokenizer.model_max_length or _HUGE) < _HUGE else []
    config = model.config
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        found.append(positions - (config.pad_token_id or 0) - 1 if config.model_type in _OFFSET else positions)
    return min(found, default=None)


# --- embeddings: what the folder of the model says of them


def _pooling(model: Any, tokenizer: Any) -> tuple[str, bool, int | None]:
    """Pooling, whether to normalize, and the limit, as the files of sentence-transformers beside the model say."""
    for name in dict.fromkeys((model.name_or_path, getattr(tokenizer, "name_or_path", ""))):
        modules = _beside(name, "modules.json")
        if not modules:
            continue
        kinds = {str(part.get("type", "")).rpartition(".")[2]: str(part.get("path", "")) for part in modules}
        if "Pooling" in kinds:
            said = _beside(name, f"{kinds['Pooling']}/config.json") or {}
            limit = (_beside(name, "sentence_bert_config.json") or {}).get("max_seq_length")
            return _mode(said), "Normalize" in kinds, limit
    return "mean", False, None


def _mode(said: Mapping[str, Any]) -> str:
    if isinstance(said.get("pooling_mode"), str):
        return _MODES.get(said["pooling_mode"], str(said["pooling_mode"]))
    chosen = [mode for key, mode in _FLAGS.items() if said.get(key)]
    return chosen[0] if len(chosen) == 1 else "mean" if not chosen else "+".join(chosen)


_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_lasttoken": "last",
}
_MODES = {"mean_sqrt_len_tokens": "mean_sqrt_len", "lasttoken": "last"}
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len", "last")


def _beside(name: str, file: str) -> Any:
    """A JSON file of the folder that a model was read from, or of what was once fetched of that name; else None."""
    path: Any = Path(name) / file if name else None
    if name and not Path(name).is_dir():
        hub = loaded("huggingface_hub")
        path = None
        if hub is not None and name.count("/") <= 1:
            found = hub.try_to_load_from_cache(name, file)
            path = Path(found) if isinstance(found, str) else None
    try:
        return json.loads(path.read_bytes()) if path is not None else None
    except (OSError, ValueError):
        return None


def _sentences(value: Any) -> Given:
    parts = list(value)
    first = parts[0]
    model, tokenizer = getattr(first, "auto_model", None), getattr(value, "tokenizer", None)
    kinds = [type(part).__name__ for part in parts]
    pooling = _sentence_pooling(parts[1]) if len(parts) > 1 and kinds[1] == "Pooling" else ""
    simple = (
        kinds in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and pooling in POOLINGS
        and is_model(model)
        and is_tokenizer(tokenizer)
        and not getattr(value, "default_prompt_name", None)
        and not getattr(value, "truncate_dim", None)
    )
    return Given(
        "sentences",
        model if is_model(model) else None,
        tokenizer,
        sentences=value,
        task="embedding",
        limit=getattr(value, "max_seq_length", None),
        pooling=pooling or "mean",
        normalize=kinds[-1] == "Normalize",
        simple=simple,
    )


def _sentence_pooling(part: Any) -> str:
    """The one pooling of a Pooling module; "" where it is none that is known here, or leaves out a prompt's words."""
    if not getattr(part, "include_prompt", True):
        return ""
    said = part.get_config_dict()
    return _mode(said)
