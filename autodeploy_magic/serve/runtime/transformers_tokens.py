"""Texts as the token ids of a Transformers model, by the package `tokenizers`: transformers itself is not needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import InvalidInputs

__all__ = ["QUIET", "TOKENIZER", "Ids", "Tokens", "quiet", "read_tokenizer"]

TOKENIZER = "tokenizer.json"
"""The file of a fast tokenizer: vocabulary and rules as data."""

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",  # its threads would be left locked by a fork, and a batch takes milliseconds
}
"""What makes these libraries stay on this machine and out of the log. They read it when they are imported."""


def quiet() -> None:
    """Set `QUIET` for this process, before the libraries are imported."""
    os.environ.update(QUIET)


def read_tokenizer(folder: Path) -> Any:
    """The `tokenizers.Tokenizer` of a version's folder."""
    quiet()
    import tokenizers

    return tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))


class Ids(NamedTuple):
    """One text's tokens; `types` say which of a pair each is of."""

    ids: list[int]
    types: list[int]


class Tokens:
    """A tokenizer as the model was trained with it: cut to the model's limit, padded to the longest of a batch.

    `told` is the folder's own record. `encode` takes the place of a fast tokenizer where there is none: texts and their
    pairs to `Ids`.
    """

    def __init__(
        self,
        tokenizer: Any,
        told: Mapping[str, Any],
        encode: Callable[[Sequence[str], Sequence[str] | None], list[Ids]] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._told = told
        self._encode = encode or self._encode_fast
        self.pad = told["pad"]
        if tokenizer is not None:
            tokenizer.no_padding()
            tokenizer.no_truncation()
            tokenizer.encode_special_tokens = told["split_special_tokens"]
            if told["limit"]:
                tokenizer.enable_truncation(told["limit"], direction=told["truncation_side"])

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Ids]:
        """Each text's tokens, cut to the limit. Raises `InvalidInputs` for a text without a single one."""
        found = self._encode(texts, pairs)
        for row, item in enumerate(found):
            if not item.ids:
                raise InvalidInputs(
                    f"inputs[{row}] is a text without a single token",
                    why="this model's tokenizer adds none of its own to an empty text",
                    fix="send a text with a word in it",
                    field=f"inputs[{row}]",
                )
        return found

    def windows(self, question: str, context: str) -> list[Any]:
        """The encodings of a question with each stretch of its context that fits beside it."""
        limit, stride = self._told["window"], self._told["stride"]
        self._tokenizer.enable_truncation(limit, stride=stride, strategy="only_second")
        try:
            first = self._tokenizer.encode(question, context)
        except Exception as error:
            if "truncat" not in str(error).lower():
                raise
            raise InvalidInputs(
                f"a question leaves no room for its context: both together are cut at {limit} tokens",
                fix="ask a shorter question",
                field="inputs",
            ) from error
        return [first, *first.overflowing]

    def arrays(self, rows: Sequence[Ids]) -> dict[str, NDArray[np.int64]]:
        """Rows as the model's inputs, padded to the longest."""
        longest = max(len(row.ids) for row in rows)
        pad = self.pad or {"id": 0, "type_id": 0, "side": "right"}
        ids = np.full((len(rows), longest), pad["id"], dtype=np.int64)
        types = np.full((len(rows), longest), pad["type_id"], dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            place = slice(longest - len(row.ids), None) if pad["side"] == "left" else slice(0, len(row.ids))
            ids[i, place], types[i, place], mask[i, place] = row.ids, row.types, 1
        known = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
        return {name: known[name] for name in self._told["inputs"]}

    def _encode_fast(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[Ids]:
        given: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        return [Ids(item.ids, item.type_ids) for item in self._tokenizer.encode_batch(given)]
