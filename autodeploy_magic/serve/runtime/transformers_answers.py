"""What a Transformers model's numbers say: labels, embeddings, spans of a text. In numpy, whatever ran the model.

A version's folder has a record of its own, `RECORD`, JSON that the exporter wrote:

    kind      "pipeline", "pair" (model and tokenizer), "model" (over token ids) or "sentences" (SentenceTransformer)
    task      "text-classification", "embedding", "question-answering", "token-ids", or a pipeline's own
    inputs    names of the model's inputs that the tokenizer gives; `outputs` those of its outputs that are asked for
    limit     tokens that a text is cut at, null for none; `window` and `stride` are those of a question's context
    pad       id, type_id and side, or null where the model has no padding token: rows are then answered one by one
    labels    of a classifier, and the `function` of its numbers: "softmax", "sigmoid" or "none"
    scores    what the answers of that function are called: "probabilities", or "scores"; "" for a regression
    pooling   of an embedding: "mean", "cls", "max", "mean_sqrt_len", "last"; `normalize` it; `pooled` by the graph
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.runtime.transformers_tokens import Ids, Tokens
from autodeploy_magic.wire import Batch

__all__ = ["ANSWERED", "RECORD", "TEXT_PIPELINES", "Answering", "pairs_of", "texts_of"]

Array = NDArray[Any]
Forward = Callable[[Mapping[str, Array]], Sequence[Array]]

RECORD = "autodeploy.json"
ANSWERED = ("text-classification", "embedding", "question-answering")
"""The tasks that are answered here."""
TEXT_PIPELINES = ("token-classification", "fill-mask", "text-generation")
"""Tasks that Transformers' own pipelines answer, of which each takes a text a row."""

_ROWS = 32
"""Rows that the model is given at a time: of about one length, so that little is padded, and memory stays small."""
_LONGEST_ANSWER = 15
"""Tokens of an answer to a question, as Transformers' own pipeline has it."""
_NEVER = -10_000.0


class Answering:
    """Answers rows with a tokenizer and a model: `forward` takes its inputs by name and gives its outputs in order."""

    def __init__(self, told: Mapping[str, Any], tokens: Tokens, forward: Forward) -> None:
        self._told = told
        self._tokens = tokens
        self._forward = forward
        self._answer = {
            "text-classification": self._labels,
            "embedding": self._embeddings,
            "question-answering": self._spans,
        }[told["task"]]

    def answers(self, x: Any) -> dict[str, Any]:
        """All outputs for rows of texts, of pairs of texts, or of questions with their contexts."""
        return self._answer(x)

    def _labels(self, x: Any) -> dict[str, Any]:
        told = self._told
        labels = told["labels"]
        logits = self._rows(*pairs_of(x, ("text", "text_pair")), lambda arrays: self._forward(arrays)[0], len(labels))
        values = _FUNCTIONS[told["function"]](logits)
        if not told["scores"]:
            return {"predictions": values[:, 0]}
        chosen = np.array(labels)[values.argmax(axis=1)]
        return {"predictions": chosen, told["scores"]: [dict(zip(labels, row, strict=True)) for row in values.tolist()]}

    def _embeddings(self, x: Any) -> dict[str, Any]:
        texts, pairs = pairs_of(x, ("text", "text_pair"))
        return {"predictions": self._rows(texts, pairs, self._pooled, self._told["width"])}

    def _pooled(self, arrays: Mapping[str, Array]) -> Array:
        hidden = self._forward(arrays)[0]
        if self._told.get("pooled"):
            return hidden
        mask = arrays["attention_mask"].astype(hidden.dtype)
        found = _POOLINGS[self._told["pooling"]](hidden, mask)
        if not self._told["normalize"]:
            return found
        lengths: Array = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.maximum(lengths, 1e-12)

    def _rows(
        self, texts: Sequence[str], pairs: Sequence[str] | None, run: Callable[[Mapping[str, Array]], Array], width: int
    ) -> Array:
        """One row of numbers for each text: texts of about one length go through the model together."""
        rows = self._tokens.encode(texts, pairs)
        found = np.zeros((len(rows), width), dtype=np.float32)
        for chosen in _together([len(row.ids) for row in rows], padded=self._tokens.pad is not None):
            found[chosen] = run(self._tokens.arrays([rows[i] for i in chosen]))
        return found

    def _spans(self, x: Any) -> dict[str, Any]:
        questions, contexts = pairs_of(x, ("question", "context"))
        assert contexts is not None
        windows: list[tuple[int, Any]] = []
        for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
            windows += [(row, encoding) for encoding in self._tokens.windows(question, context)]
        best: list[tuple[float, int, int]] = [(-1.0, 0, 0)] * len(questions)
        for chosen in _together([len(item.ids) for _, item in windows], padded=self._tokens.pad is not None):
            arrays = self._tokens.arrays([Ids(windows[i][1].ids, windows[i][1].type_ids) for i in chosen])
            starts, ends = self._forward(arrays)
            left = self._tokens.pad is not None and self._tokens.pad["side"] == "left"
            for at, i in enumerate(chosen):
                row, encoding = windows[i]
                size = len(encoding.ids)
                place = slice(starts.shape[1] - size, None) if left else slice(0, size)
                best[row] = max(
                    best[row], _span(encoding, starts[at, place], ends[at, place]), key=lambda item: item[0]
                )
        return {
            "predictions": [
                {"score": max(score, 0.0), "start": start, "end": end, "answer": context[start:end]}
                for (score, start, end), context in zip(best, contexts, strict=True)
            ]
        }


def texts_of(x: Any) -> list[str]:
    """The texts of rows. Raises `InvalidInputs` naming the field that is none."""
    return pairs_of(x, ("text", "text_pair"))[0]


def pairs_of(x: Any, names: tuple[str, str]) -> tuple[list[str], list[str] | None]:
    """The texts of rows, and those that belong to them where rows are records or columns with both `names`.

    Raises `InvalidInputs` naming the field that is none.
    """
    if isinstance(x, Batch):
        x = x.columns if x.signature.container in ("dataframe", "dict") else x.columns["inputs"]
    if hasattr(x, "iloc") and hasattr(x, "columns"):
        x = {str(name): x[name] for name in x.columns}
    if isinstance(x, Mapping):
        named = {name: _listed(values) for name, values in x.items()}
        if names[0] not in named and len(named) == 1 and names[0] == "text":
            (texts,) = named.values()
            return _texts(texts, "inputs"), None
        first = _texts(named.get(names[0]) or [], f"inputs.{names[0]}")
        return first, _texts(named[names[1]], f"inputs.{names[1]}") if names[1] in named else None
    rows = _listed(x)
    if not any(isinstance(row, Mapping) for row in rows) and names[0] == "text":
        return _texts(rows, "inputs"), None
    records = [row if isinstance(row, Mapping) else {} for row in rows]
    given = [[record.get(name) for record in records] for name in names]
    first = _texts(given[0], "inputs", f".{names[0]}")
    return first, _texts(given[1], "inputs", f".{names[1]}") if names[0] != "text" or any(given[1]) else None


def _listed(values: Any) -> list[Any]:
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    # One column of a table with a second axis: texts in brackets.
    return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in found]


def _texts(values: Sequence[Any], where: str, name: str = "") -> list[str]:
    for row, value in enumerate(values):
        if not isinstance(value, str):
            field = f"{where}[{row}]{name}"
            raise InvalidInputs(f"{field} is {value!r:.40}, not a text", fix="send a text in quotes", field=field)
    return list(values)


def _together(lengths: Sequence[int], *, padded: bool) -> Iterator[list[int]]:
    """Row numbers that go through the model together, by length; one by one where nothing can be padded."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    size = _ROWS if padded else 1
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True)) if logits.size else logits
    found: Array = powers / powers.sum(axis=-1, keepdims=True)
    return found


def _sigmoid(logits: Array) -> Array:
    found: Array = 1.0 / (1.0 + np.exp(-logits))
    return found


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {"softmax": _softmax, "sigmoid": _sigmoid, "none": lambda x: x}


def _mean(hidden: Array, mask: Array, power: float = 1.0) -> Array:
    total = (hidden * mask[:, :, None]).sum(axis=1)
    found: Array = total / np.maximum(mask.sum(axis=1, keepdims=True), 1e-9) ** power
    return found


def _max(hidden: Array, mask: Array) -> Array:
    found: Array = np.where(mask[:, :, None] > 0, hidden, -np.inf).max(axis=1)
    return found


def _at(hidden: Array, places: Array) -> Array:
    found: Array = hidden[np.arange(len(hidden)), places]
    return found


_POOLINGS: dict[str, Callable[[Array, Array], Array]] = {
    "mean": _mean,
    "mean_sqrt_len": lambda hidden, mask: _mean(hidden, mask, 0.5),
    "max": _max,
    "cls": lambda hidden, mask: _at(hidden, mask.argmax(axis=1)),
    "last": lambda hidden, mask: _at(hidden, mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)),
}


def _span(encoding: Any, starts: Array, ends: Array) -> tuple[float, int, int]:
    """The likeliest answer in one window: its probability, and where its words begin and end in the context."""
    inside = np.array([sequence == 1 for sequence in encoding.sequence_ids])
    if not inside.any():
        return 0.0, 0, 0
    first, last = (_softmax(np.where(inside, values, _NEVER).astype(np.float32)) for values in (starts, ends))
    scores = np.triu(np.outer(first, last))
    scores -= np.triu(scores, _LONGEST_ANSWER)
    scores *= np.outer(inside, inside)
    start, end = divmod(int(scores.argmax()), len(first))
    return float(scores[start, end]), *_words(encoding, start, end)


def _words(encoding: Any, start: int, end: int) -> tuple[int, int]:
    """Where the whole words that hold two tokens begin and end."""
    words, offsets = encoding.word_ids, encoding.offsets
    first, last = (
        [offsets[i] for i, word in enumerate(words) if word == words[at] and encoding.sequence_ids[i] == 1]
        or [offsets[at]]
        for at in (start, end)
    )
    return int(first[0][0]), int(last[-1][1])
