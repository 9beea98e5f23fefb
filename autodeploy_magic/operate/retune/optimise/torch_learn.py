"""Training a module for some epochs: AdamW, early stopping by rows that are kept aside, the best weights kept.

What is passed says what is learnt from; a rate of learning is relative to how large the weights are, so that one number
does for a module that was trained by anybody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Course", "Learnt", "head_of", "learn"]

_CLIP = 1.0
_DECAY = 1e-4
_SLOWEST, _FASTEST = 1e-6, 2e-2
_SMALLEST_WEIGHT = 1e-2
"""What the rate is relative to where weights are about zero, as those of a fresh bias."""
_MANY = 512
"""Rows from where on the statistics of batches are worth more than those that were learnt before."""
_WARM_UP = 0.05
_LEAST = 1e-4
"""By how much, relatively, the error must fall to have fallen."""


@dataclass(frozen=True)
class Course:
    """How long, and how fast: `pace` is how much of its size a weight may change in a step; `until` is of
    `time.monotonic`."""

    epochs: int
    pace: float
    until: float
    seed: int
    patience: int = 5
    batch: int = 32


@dataclass(frozen=True)
class Learnt:
    """After how many epochs the error was least, of how many; the errors on the rows aside before and then."""

    best: int
    epochs: int
    before: float
    after: float
    late: bool = False

    @property
    def note(self) -> str:
        cut = ", cut by the time" if self.late else ""
        return f"{self.best} of {self.epochs} epochs{cut}, its error on rows aside {self.before:.3g} → {self.after:.3g}"


def learn(
    module: Any,
    step: Callable[[NDArray[np.int64]], Any],
    aside: Callable[[], float],
    places: NDArray[np.int64],
    course: Course,
) -> Learnt:
    """Train what in `module` has gradients, and leave it with the best weights, in eval mode.

    `step` gives the loss of the rows at some of the `places`, `aside` the error on the rows that are kept aside.
    """
    import torch

    random = np.random.default_rng(course.seed)
    optimiser = torch.optim.AdamW(_groups(module, course.pace))
    rates = [group["lr"] for group in optimiser.param_groups]
    started = time.monotonic()
    before = best_error = aside()
    kept, best, epoch, late = _weights(module), 0, 0, False
    epochs = course.epochs
    while epoch < epochs and epoch - best < course.patience and not late:
        with _training(module, frozen=len(places) < _MANY):
            order = random.permutation(places)
            for start in range(0, len(order), course.batch):
                batch = order[start : start + course.batch]
                if len(batch) == 1 and len(order) > 1:
                    continue  # a norm over a batch of one has nothing to go by
                late = time.monotonic() >= course.until
                if late:
                    break
                done = (epoch + start / len(order)) / epochs
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * _rise(done)
                optimiser.zero_grad(set_to_none=True)
                loss = step(batch)
                if not torch.isfinite(loss):
                    continue
                loss.backward()
                torch.nn.utils.clip_grad_norm_([p for p in module.parameters() if p.grad is not None], _CLIP)
                optimiser.step()
        epoch += 1
        error = aside()
        if epoch == 1:
            epochs = _in_time(course, time.monotonic() - started)
        if error < best_error * (1 - _LEAST):
            kept, best, best_error = _weights(module), epoch, error
    module.load_state_dict(kept)
    module.zero_grad(set_to_none=True)
    module.eval()
    return Learnt(best, epoch, before, best_error, late)


def _in_time(course: Course, epoch_s: float) -> int:
    """How many epochs there is time for: all of them where that is likely, and so the same ones each time."""
    left = course.until - time.monotonic()
    return course.epochs if course.epochs * epoch_s < left else max(min(course.epochs, 1 + int(left / epoch_s)), 1)


def _rise(done: float) -> float:
    """The share of the rate when a share of the course is done: up at first, for Adam knows no sizes of gradients yet,
    and then down along a cosine (I. Loshchilov, F. Hutter: SGDR, 2017)."""
    return min(1.0, 0.1 + done / _WARM_UP) * (0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2)


def head_of(module: Any, width: int) -> Any:
    """The last layer with as many outputs as the network has, as its state_dict has them in order; None for none."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    found = [part for part in module.modules() if type(part) in kinds]
    last = found[-1] if found else None
    outputs = getattr(last, "out_features", getattr(last, "out_channels", 0))
    return last if outputs == width else None


def _groups(module: Any, pace: float) -> list[dict[str, Any]]:
    groups = []
    for item in module.parameters():
        if item.requires_grad and item.numel():
            size = max(float(item.detach().double().square().mean().sqrt()), _SMALLEST_WEIGHT)
            rate = min(max(pace * size, _SLOWEST), _FASTEST)
            groups.append({"params": [item], "lr": rate, "weight_decay": _DECAY if item.ndim > 1 else 0.0})
    return groups


def _weights(module: Any) -> dict[str, Any]:
    import torch

    return {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else value
        for name, value in module.state_dict().items()
    }


@contextmanager
def _training(module: Any, *, frozen: bool) -> Iterator[None]:
    """In training mode, with dropout; norms keep the statistics that they have where `frozen`."""
    module.train()
    if frozen:
        for part in _norms(module):
            part.eval()
    try:
        yield
    finally:
        module.eval()


def _norms(module: Any) -> Iterable[Any]:
    from torch.nn.modules.batchnorm import _NormBase

    return (part for part in module.modules() if isinstance(part, _NormBase))
