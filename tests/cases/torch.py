"""PyTorch."""

from __future__ import annotations

from typing import Any

from cases import Case, Made

__all__ = ["CASES"]


def _trained(module: Any, inputs: Any, target: Any, *, epochs: int, rate: float = 0.01) -> Any:
    """`module` after some epochs of Adam on the whole of the data, the same on every run; left in training mode."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of a sum is then the same each time
    try:
        optimizer = torch.optim.Adam(module.parameters(), lr=rate)
        loss = torch.nn.CrossEntropyLoss() if target.dtype == torch.int64 else torch.nn.MSELoss()
        for _ in range(epochs):
            optimizer.zero_grad()
            loss(module(**inputs) if isinstance(inputs, dict) else module(inputs), target).backward()
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return module


def _mlp() -> Made:
    """Logits of a table that comes as float64, as scikit-learn gives it."""
    import torch
    from sklearn.datasets import load_breast_cancer
    from torch import nn

    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(30, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)
    )
    return Made(_trained(module, torch.tensor(X, dtype=torch.float32), torch.tensor(y), epochs=60), X)


def _cnn() -> Made:
    """Pictures of digits, 1 × 8 × 8, and batch norm, which answers in another way while it is trained."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    X, y = load_digits(return_X_y=True)
    images = torch.tensor(X, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
        nn.Softmax(dim=1),
    )
    _trained(module[:-1], images, torch.tensor(y), epochs=20)
    return Made(module, images[:512])


def _two_inputs() -> Made:
    """Numbers and a category, two answers."""
    import torch
    from sklearn.datasets import load_diabetes
    from torch import nn

    X, y = load_diabetes(return_X_y=True)
    sex = (X[:, 1] > 0).astype("int64")

    class Progression(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sex = nn.Embedding(2, 4)
            self.body = nn.Sequential(nn.Linear(14, 32), nn.ReLU())
            self.level = nn.Linear(32, 1)

        def forward(self, measures: Any, sex: Any) -> Any:
            found = self.body(torch.cat([measures * 20, self.sex(sex)], dim=1))
            return self.level(found).squeeze(1) if self.training else {"level": self.level(found), "features": found}

    torch.manual_seed(0)
    inputs = {"measures": torch.tensor(X, dtype=torch.float32), "sex": torch.tensor(sex)}
    module = _trained(Progression(), inputs, torch.tensor(y / 100, dtype=torch.float32), epochs=60)
    return Made(module, {"sex": sex, "measures": X.astype("float32")})


def _embedding() -> Made:
    """Whole numbers in: a bag of the brightest pixels of a digit."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    X, y = load_digits(return_X_y=True)
    brightest = np.argsort(-X, axis=1, kind="stable")[:, :12].copy()

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_classes = 10
            self.words = nn.Embedding(64, 16)
            self.scores = nn.Linear(16, self.num_classes)

        def forward(self, ids: Any) -> Any:
            return self.scores(torch.tanh(self.words(ids)).mean(dim=1))

    torch.manual_seed(0)
    return Made(_trained(Bag(), torch.tensor(brightest), torch.tensor(y), epochs=40), brightest[:600])


CASES = [
    Case("torch mlp", "torch", _mlp, ("onnx",), task="function", row="PyTorch MLP"),
    Case("torch cnn", "torch", _cnn, ("onnx",), served=True, row="PyTorch CNN (BatchNorm)"),
    Case("torch of two inputs", "torch", _two_inputs, ("onnx", "torch"), task="function", served=True),
    Case("torch embedding", "torch", _embedding, ("onnx", "torch")),
]
