"""Classifiers of texts that are trained on, and models that labels of texts teach nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from cases import transformers as made
from optimising import Standing, given_of, holdings_of, rows_of

from autodeploy_magic.build.export.transformers import exporter
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.transformers_tune import FineTune


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def classifier() -> tuple[Any, Any, list[str], list[str]]:
    return made.classifier(steps=20)


def right(model: Any, texts: list[str], labels: list[str]) -> float:
    return float((exporter.live(model, texts)["predictions"] == np.array(labels)).mean())


def test_a_classifier_learns_other_names_for_its_texts(classifier: Any, tmp_path: Path) -> None:
    network, words, texts, labels = classifier
    others = dict(zip(made.LABELS, (*made.LABELS[1:], made.LABELS[0]), strict=True))
    wanted = [others[label] for label in labels]
    champion, holdings = Standing((network, words), "transformers"), holdings_of(rows_of(texts, wanted))
    offers = FineTune().offers(champion, holdings)
    assert [offer.settings["layers"] for offer in offers] == ["head", "all", "all"]
    found = FineTune().make(champion, given_of(holdings, tmp_path, layers="all", pace=0.02))
    assert isinstance(found.model, tuple)
    assert right(found.model, texts, wanted) > right((network, words), texts, wanted) + 0.2
    assert "texts" in found.note
    assert not found.model[0].training


def test_the_head_alone_is_trained_of_a_pipeline(classifier: Any, tmp_path: Path) -> None:
    network, words, texts, labels = classifier
    pipe = hf.pipeline("text-classification", model=network, tokenizer=words, device="cpu")
    positions = [(made.LABELS.index(label) + 1) % 4 for label in labels[:60]]
    holdings = holdings_of(rows_of(texts[:60], positions))
    found = FineTune().make(Standing(pipe, "transformers"), given_of(holdings, tmp_path, layers="head", pace=0.05))
    assert type(found.model) is type(pipe)
    base = network.base_model.state_dict()
    assert all(torch.equal(base[name], value) for name, value in found.model.model.base_model.state_dict().items())
    assert not torch.equal(network.classifier.weight, found.model.model.classifier.weight)


def test_models_that_labels_teach_nothing_are_refused(classifier: Any) -> None:
    _, words, texts, labels = classifier
    holdings = holdings_of(rows_of(texts, labels))
    torch.manual_seed(0)
    vectors = hf.BertModel(made.config(len(words)))
    with pytest.raises(NotApplicable, match="vectors"):
        FineTune().offers(Standing((vectors, words), "transformers"), holdings)
    masks = hf.BertForMaskedLM(made.config(len(words)))
    with pytest.raises(NotApplicable, match="fill-mask"):
        FineTune().offers(Standing((masks, words), "transformers"), holdings)
    with pytest.raises(NotApplicable, match="no model of Transformers"):
        FineTune().offers(Standing(vectors, "torch"), holdings)
