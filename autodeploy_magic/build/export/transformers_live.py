"""What the live object of Transformers answers: the truth that every format is compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autodeploy_magic.build.export.transformers_given import Given
from autodeploy_magic.errors import BadSample
from autodeploy_magic.registry import need

__all__ = ["TEXT_PIPELINES", "evaluating", "live_answers", "quietly", "rows_of", "span_of", "texts_of"]

TEXT_PIPELINES = ("token-classification", "fill-mask", "text-generation")
"""Pipelines that take a text a row, beside those that are answered from the model's numbers."""

_ROWS = 32
_LONGEST_ANSWER = 15
_NEVER = -10_000.0


@contextlib.contextmanager
def evaluating(*modules: Any) -> Iterator[None]:
    """Modules in eval mode and without gradients; afterwards each part is as it was."""
    import torch

    modes = [(part, part.training) for module in modules if module is not None for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """No bars and no advice of Transformers meanwhile."""
    logging = need("transformers.utils.logging", "keeping Transformers quiet")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def live_answers(given: Given, x: Any) -> dict[str, Any]:
    """The outputs for `x`, as a careful person would ask for them. Raises `BadSample` for rows that it cannot take."""
    with evaluating(given.sentences or given.model), quietly():
        if given.kind == "model":
            return _of_ids(given, x)
        if given.task == "text-classification":
            return _labels(given, x)
        if given.task == "embedding":
            return {"predictions": _embeddings(given, x)}
        if given.task == "question-answering":
            return {"predictions": [_answer(given, row) for row in _questions(x)]}
        if given.pipe is None:
            kind = type(given.model).__name__
            raise BadSample(
                f"it is not known what {kind} should answer",
                why="a model and its tokenizer are answered by their task, which this class does not tell",
                fix="define predict(model, x) in the cell, which is given (model, tokenizer)",
            )
        return {"predictions": given.pipe(rows_of(given, x), **call_of(given))}


def call_of(given: Given) -> dict[str, Any]:
    """What a pipeline is told at each call: to cut texts at the model's limit, where it can be told that."""
    if given.task == "fill-mask" and given.limit and "tokenizer_kwargs" not in given.params:
        return {"tokenizer_kwargs": {"truncation": True, "max_length": given.limit}}
    return {}


def texts_of(x: Any, names: tuple[str, str] = ("text", "text_pair")) -> tuple[list[str], list[str] | None]:
    """The texts of a sample, and their pairs where it has both columns. Raises `BadSample` for what is no text."""
    if hasattr(x, "iloc") and hasattr(x, "columns"):
        x = {str(name): x[name] for name in x.columns}
    if isinstance(x, Mapping):
        columns = {str(name): _listed(values) for name, values in x.items()}
    else:
        rows = _listed(x)
        if rows and all(isinstance(row, Mapping) for row in rows):
            keys = list(dict.fromkeys(key for row in rows for key in row))
            columns = {str(key): [row.get(key) for row in rows] for key in keys}
        else:
            columns = {names[0]: rows}
    first, second = names
    if first not in columns and len(columns) == 1:
        columns = {first: next(iter(columns.values()))}
    if first not in columns or set(columns) - set(names):
        raise BadSample(
            f"the sample's columns are {', '.join(columns)}",
            why=f"the model takes {first}, or {first} and {second}",
            fix="give a list of texts, or a table with these names",
        )
    for name, values in columns.items():
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise BadSample(
                    f"row {row} of the sample's {name} is {value!r:.60}, not a text",
                    why="the model reads texts",
                    fix="leave such rows out: sample = [text for text in sample if isinstance(text, str)]",
                )
    return columns[first], columns.get(second)


def rows_of(given: Given, x: Any) -> list[Any]:
    """Rows for a pipeline that is none of ours: texts for those of texts, whatever the sample holds for others."""
    if given.task in TEXT_PIPELINES:
        return texts_of(x)[0]
    rows = _listed(x)
    if any(isinstance(row, str) for row in rows):
        raise BadSample(
            f"a {given.task} pipeline is not served with texts",
            why="it reads them as paths and addresses: a request could make it open any file or page",
            fix="define predict(model, x) in the cell, which says what the pipeline is given",
        )
    return rows


def _listed(values: Any) -> list[Any]:
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in found]


def _labels(given: Given, x: Any) -> dict[str, Any]:
    import numpy as np

    texts, pairs = texts_of(x)
    if given.pipe is not None:
        rows: list[Any] = texts
        if pairs is not None:
            rows = [{"text": text, "text_pair": pair} for text, pair in zip(texts, pairs, strict=True)]
        cut = {"truncation": True, "max_length": given.limit} if given.limit else {}
        said = given.pipe(rows, top_k=None, **cut)
        by_name = [{item["label"]: item["score"] for item in row} for row in said]
        values = np.array([[row[label] for label in given.labels] for row in by_name], dtype=np.float32)
    else:
        logits = np.concatenate([logits.float().cpu().numpy() for logits, _ in _run(given, texts, pairs)])
        values = _scores(given.function, logits)
    if not given.scores:
        return {"predictions": values[:, 0]}
    chosen = np.array(given.labels)[values.argmax(axis=1)]
    return {"predictions": chosen, given.scores: _named(values, given.labels)}


def _scores(function: str, logits: Any) -> Any:
    import torch

    numbers = torch.from_numpy(logits)
    if function == "none":
        return logits
    return (torch.sigmoid(numbers) if function == "sigmoid" else torch.softmax(numbers, dim=-1)).numpy()


def _named(values: Any, labels: Sequence[str]) -> Any:
    """Numbers of classes under the names of these: a frame where pandas is there."""
    try:
        import pandas as pd
    except ImportError:
        return [dict(zip(labels, row, strict=True)) for row in values.tolist()]
    return pd.DataFrame(values, columns=list(labels))


def _embeddings(given: Given, x: Any) -> Any:
    import numpy as np

    texts, pairs = texts_of(x)
    if given.sentences is not None:
        return given.sentences.encode(texts, show_progress_bar=False, convert_to_numpy=True)
    parts = []
    for hidden, mask in _run(given, texts, pairs):
        found = pooled(given.pooling, hidden, mask)
        if given.normalize:
            found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)
        parts.append(found.float().cpu().numpy())
    return np.concatenate(parts)


def pooled(how: str, hidden: Any, mask: Any) -> Any:
    """One vector for each text from those of its tokens."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if how in ("mean", "mean_sqrt_len"):
        count = weights.sum(1).clamp(min=1e-9)
        return (hidden * weights).sum(1) / (count if how == "mean" else count.sqrt())
    if how == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
    places = mask.argmax(1) if how == "cls" else mask.shape[1] - 1 - mask.flip(1).argmax(1)
    return hidden.gather(1, places.view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])).squeeze(1)


def _run(given: Given, texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[tuple[Any, Any]]:
    """The first output of the model, and the attention mask, for some rows at a time."""
    size = _ROWS if given.tokenizer.pad_token_id is not None else 1
    for start in range(0, len(texts), size):
        chosen = list(texts[start : start + size])
        beside = None if pairs is None else list(pairs[start : start + size])
        cut = {"truncation": True, "max_length": given.limit} if given.limit else {}
        tokens = given.tokenizer(chosen, beside, padding=size > 1, return_tensors="pt", **cut).to(given.model.device)
        if not tokens["input_ids"].shape[1]:
            raise BadSample(
                f"row {start} of the sample is a text without a single token",
                why="this tokenizer adds none of its own to an empty text",
                fix="leave such rows out",
            )
        known = {name: tokens[name] for name in inputs_of(given) if name in tokens}
        yield given.model(**known)[0], tokens["attention_mask"]


def inputs_of(given: Given) -> list[str]:
    """The model's inputs that the tokenizer gives, in the model's own order."""
    import inspect

    taken = inspect.signature(given.model.forward).parameters
    return [name for name in taken if name in given.tokenizer.model_input_names]


# --- questions


def _questions(x: Any) -> list[tuple[str, str]]:
    questions, contexts = texts_of(x, ("question", "context"))
    if contexts is None:
        raise BadSample(
            "the sample holds no context for its questions",
            why="an answer is a part of a context",
            fix='give records: [{"question": …, "context": …}], or a table with these two columns',
        )
    return list(zip(questions, contexts, strict=True))


def _answer(given: Given, row: tuple[str, str]) -> dict[str, Any]:
    """The likeliest span of the context, over all of its stretches."""
    question, context = row
    most, stride = given.window
    tokens = given.tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=most,
        stride=stride,
        return_overflowing_tokens=True,
        return_tensors=None,
    )
    best = (0.0, 0, 0)
    for i in range(len(tokens["input_ids"])):
        import torch

        one = {name: torch.tensor([tokens[name][i]], device=given.model.device) for name in inputs_of(given)}
        found = given.model(**one)
        best = max(best, span_of(tokens, i, found.start_logits[0].float(), found.end_logits[0].float()))
    score, start, end = best
    return {"score": score, "start": start, "end": end, "answer": context[start:end]}


def span_of(tokens: Any, window: int, starts: Any, ends: Any) -> tuple[float, int, int]:
    """Probability, first and last character of the best span of one window, of whole words."""
    import torch

    of = tokens.sequence_ids(window)
    inside = torch.tensor([item == 1 for item in of], device=starts.device)
    first, last = (torch.softmax(values.masked_fill(~inside, _NEVER), 0) for values in (starts, ends))
    table = torch.outer(first * inside, last * inside)
    table = torch.triu(table) - torch.triu(table, _LONGEST_ANSWER)
    at = int(table.argmax())
    start, end = divmod(at, len(of))
    if of[start] != 1:
        return 0.0, 0, 0
    words = [tokens.token_to_word(window, i) for i in (start, end)]
    if None in words:
        spans = [tokens.token_to_chars(window, i) for i in (start, end)]
    else:
        spans = [tokens.word_to_chars(window, word, 1) for word in words]
    return float(table[start, end]), int(spans[0][0]), int(spans[1][1])


# --- token ids


def _of_ids(given: Given, x: Any) -> dict[str, Any]:
    import torch

    if not isinstance(x, Mapping):
        raise BadSample(
            f"{type(given.model).__name__} alone takes token ids, and the sample is a {type(x).__name__}",
            why="its tokenizer was not given, which makes them of texts",
            fix="deploy both: ad.deploy((model, tokenizer), …), end a cell with `model, tokenizer`, or with a pipeline;"
            " or give token ids as the sample: dict(tokenizer(texts, padding=True, return_tensors='np'))",
        )
    tensors = {
        name: torch.as_tensor(values if hasattr(values, "dtype") else list(values)).to(given.model.device)
        for name, values in x.items()
    }
    found = given.model(**tensors)
    return {name: found[key or 0].float().cpu().numpy() for name, key in outputs_of_ids(given.model).items()}


def outputs_of_ids(model: Any) -> dict[str, str]:
    """Output name → the field of the model's own output that it is; "" for the first."""
    if type(model).__name__.endswith("ForQuestionAnswering"):
        return {"predictions": "start_logits", "end_logits": "end_logits"}
    return {"predictions": ""}
