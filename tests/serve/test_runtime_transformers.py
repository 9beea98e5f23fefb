"""Texts to answers without transformers: the same token ids, the same numbers in any company, honest refusals."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cases import transformers as made

from autodeploy_magic.build.export.transformers_folder import record, write_folder
from autodeploy_magic.build.export.transformers_given import read_given
from autodeploy_magic.build.export.transformers_onnx import write_onnx
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.runtime.transformers import TransformersRunner
from autodeploy_magic.serve.runtime.transformers_answers import pairs_of
from autodeploy_magic.serve.runtime.transformers_onnx import TransformersOnnxRunner
from autodeploy_magic.serve.runtime.transformers_tokens import QUIET, Tokens, read_tokenizer

ODD = [
    "",
    " ",
    "\n\t\r\n",
    "plain words of a wine",
    "UPPER, lower; and (brackets) – dashes… “quotes”",
    "😀 👩‍👩‍👧‍👦 🇳🇴 emoji",
    "mixed 漢字 русский عربى हिन्दी ไทย scripts",
    "a\u0301 combining, \u200bzero width, \ufeffmark, \x00 null, \ufffd",
    "[CLS] special [MASK] tokens [SEP] in [PAD] text",
    "long " * 2000,
    "unbroken" * 500,
]


@pytest.fixture(scope="module")
def classifier() -> tuple[Any, Any]:
    network, words, _, _ = made.classifier(steps=3)
    return network, words


@pytest.fixture(scope="module")
def folder(classifier: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kept")
    given = read_given(classifier)
    write_onnx(given, place / "onnx", ODD)
    write_folder(given, place / "live")
    return place


def runner(kind: Any, path: Path) -> Any:
    version: Any = SimpleNamespace(outputs=(), model_outputs=(), provider="", candidates=())
    return kind(path, version, threads=1)


@pytest.mark.parametrize("pairs", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("cut", ["right", "left"])
@pytest.mark.parametrize("which", ["small", "real"])
def test_token_ids_are_those_of_transformers(which: str, cut: str, padding: str, pairs: bool, tmp_path: Path) -> None:
    words = made.tokenizer(ODD) if which == "small" else made.minilm()[1]
    network = made.minilm()[0]
    before = words.truncation_side, words.padding_side
    words.truncation_side, words.padding_side = cut, padding
    given = read_given((network, words))
    (tmp_path / "tokenizer.json").write_text(words.backend_tokenizer.to_str(), "utf-8")
    told = {**record(given), "inputs": ["input_ids", "token_type_ids", "attention_mask"]}
    tokens = Tokens(read_tokenizer(tmp_path), told)
    beside = list(reversed(ODD)) if pairs else None
    wanted = words(
        ODD,
        beside,
        truncation=True,
        max_length=given.limit,
        padding=True,
        return_tensors="np",
        return_token_type_ids=True,
    )
    found = tokens.arrays(tokens.encode(ODD, beside))
    words.truncation_side, words.padding_side = before
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def test_an_answer_is_the_same_in_any_company(folder: Path) -> None:
    """Rows of all lengths go through the model sorted, and come back in their order."""
    onnx, live = runner(TransformersOnnxRunner, folder / "onnx"), runner(TransformersRunner, folder / "live")
    texts = [text for text, _ in made.sentences()][:70] + ODD
    names = ["predictions", "probabilities"]
    whole = onnx.run(texts, names)
    numbers = np.array([list(row.values()) for row in whole["probabilities"]])
    alone = np.array([list(onnx.run([text], names)["probabilities"][0].values()) for text in texts])
    torchs = np.array([list(row.values()) for row in live.run(texts, names)["probabilities"]])
    np.testing.assert_allclose(numbers, alone, atol=2e-6)
    np.testing.assert_allclose(numbers, torchs, atol=2e-6)
    assert whole["predictions"].tolist() == [made.LABELS[i] for i in numbers.argmax(axis=1)]
    assert len(onnx.run([], names)["predictions"]) == 0


def test_it_starts_without_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("somebody asked the network")

    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for kind, place in ((TransformersOnnxRunner, "onnx"), (TransformersRunner, "live")):
        found = runner(kind, folder / place).run(["a wine"], ["predictions"])
        assert found["predictions"][0] in made.LABELS
    model, words = runner(TransformersRunner, folder / "live").model  # what predict(model, x) is given
    assert not model.training
    assert words("a")["input_ids"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([{"question": "who?"}], "inputs[0].context"),
        ([{"question": "who?", "context": "a"}, "text"], "inputs[1].question"),
        ([{"question": 1, "context": "a"}], "inputs[0].question"),
        ({"question": ["who?"], "context": [None]}, "inputs.context[0]"),
    ],
)
def test_a_record_that_is_none_is_refused_by_its_field(given: Any, field: str) -> None:
    with pytest.raises(InvalidInputs) as caught:
        pairs_of(given, ("question", "context"))
    assert caught.value.details["field"] == field


def test_a_text_without_a_token_is_refused() -> None:
    import tokenizers

    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    told = {"limit": 4, "truncation_side": "right", "split_special_tokens": False, "pad": None, "inputs": ["input_ids"]}
    with pytest.raises(InvalidInputs, match=r"inputs\[1\]"):
        Tokens(plain, told).encode(["a", ""])


def test_threads_are_as_they_were_given(folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        runner(TransformersRunner, folder / "live")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
