"""The champion's module with rows as tensors, and what its answers should be: what all that learns in torch needs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.network_targets import FEWEST, Targets, targets_of
from autodeploy_magic.wire.libraries.torch_call import Bound, Call, call_of

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.base import Given, Holdings
    from autodeploy_magic.operate.retune.champion import Champion
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["BATCH", "Loss", "Net", "check_labelled", "deadline", "first_answer", "loss_of", "open_net", "seeded"]

BATCH = 256
"""Rows that are answered at once."""
_SHARE = 0.75
"""How much of the time for making goes to training; the rest is for loading, and for writing."""

Loss = Callable[[Any, Any], Any]
"""Answers, and the places of their rows → how wrong each is, one number a row."""


@dataclass(frozen=True)
class Net:
    """A module that was loaded for this alone, how it is called, and the person's functions around it."""

    module: Any
    call: Call
    champion: Champion

    def bind(self, rows: Rows) -> Bound:
        """Rows as the module's arguments, as the person's preprocess leaves them. Raises `NotApplicable`."""
        bound = self.call.bind(self.champion.fed(rows.x()))
        if any(not tensor.ndim or len(tensor) != rows.count for tensor in bound.tensors.values()):
            raise NotApplicable(f"its preprocess makes other than {rows.count} rows of {rows.count}")
        return bound

    def answers(self, bound: Bound) -> Any:
        """The first of its answers to all rows, in eval mode; some rows at a time."""
        import torch

        tensors = list(bound.tensors.values())
        parts = []
        self.module.eval()
        with torch.no_grad():
            for start in range(0, len(tensors[0]), BATCH):
                given = [tensor[start : start + BATCH].clone() for tensor in tensors]
                parts.append(first_answer(bound.give(self.module, given)))
        return torch.cat(parts)

    def targets(self, rows: Rows, answers: Any, task: str) -> Targets:
        """What the answers to `rows` should have been. Raises `NotApplicable`."""
        import torch

        return targets_of(rows, answers.numpy(), task, self.champion.code.get("postprocess"), torch.from_numpy)


def open_net(champion: Champion) -> Net:
    """The champion's module. Raises `NotApplicable` where it is none, or cannot be trained by labels or by itself."""
    import torch

    if champion.framework != "torch":
        raise NotApplicable("it is no PyTorch module")
    if "predict" in champion.code:
        raise NotApplicable(
            "its answers are made by the cell's predict, and not by the module alone",
            fix="define retrain(model, X, y) in the cell",
        )
    module = champion.live()
    call = call_of(module)
    if call.dtype not in ("float32", "float64"):
        raise NotApplicable(f"its weights are {call.dtype}, which is too coarse to learn in")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()  # they are pages of the version's file
    if not any(item.requires_grad for item in module.parameters()):
        for item in module.parameters():
            item.requires_grad_(item.is_floating_point())
    if not any(item.requires_grad for item in module.parameters()):
        raise NotApplicable("it has no weights that could be changed")
    if any(isinstance(item, torch.nn.parameter.UninitializedParameter) for item in module.parameters()):
        raise NotApplicable("some of its weights do not exist yet")
    return Net(module, call, champion)


def check_labelled(champion: Champion, holdings: Holdings) -> None:
    """Raise `NotApplicable` for what cannot be trained by labels, before anything is imported."""
    if champion.framework != "torch":
        raise NotApplicable("it is no PyTorch module")
    if holdings.training.count < FEWEST or not holdings.training.labels:
        raise NotApplicable(f"{holdings.training.count} labelled rows to learn from, and {FEWEST} are needed")


def first_answer(found: Any) -> Any:
    """The tensor in what a module returned that is served as "predictions", with its gradients."""
    import torch

    leaves = list(_leaves("", found, torch.Tensor))
    if not leaves:
        raise NotApplicable(f"it answers with {found!r:.60}, in which there is no tensor")
    return next((leaf for name, leaf in leaves if name == "predictions"), leaves[0][1])


def _leaves(name: str, value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}_{key}" if name else str(key), item, kind)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _leaves(name, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, kind)
    elif hasattr(value, "_asdict"):
        yield from _leaves(name, value._asdict(), kind)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(name, item, kind)


def loss_of(targets: Targets) -> Loss:
    """How wrong answers are by their labels: minus the log-likelihood of classes and chances; of numbers the square of
    the error up to one standard deviation, and its size beyond (P. J. Huber, 1964)."""
    import torch
    from torch.nn import functional

    values = torch.from_numpy(np.asarray(targets.values))
    tiny = 1e-7

    def classes(answers: Any, places: Any) -> Any:
        true = values[places]
        if targets.form == "logits":
            return functional.cross_entropy(answers, true, reduction="none")
        if targets.form == "sigmoid":
            hot = functional.one_hot(true, answers.shape[1]).to(answers.dtype)
            chances = answers.clamp(tiny, 1 - tiny)
            return functional.binary_cross_entropy(chances, hot, reduction="none").sum(1)
        logs = answers if targets.form == "log" else answers.clamp(min=tiny).log()
        return functional.nll_loss(logs, true, reduction="none")

    def chances(answers: Any, places: Any) -> Any:
        true = values[places].to(answers.dtype)
        if targets.form == "sigmoid":
            each = functional.binary_cross_entropy(answers.clamp(tiny, 1 - tiny), true, reduction="none")
        else:
            each = functional.binary_cross_entropy_with_logits(answers, true, reduction="none")
        return each.reshape(len(each), -1).sum(1)

    def numbers(answers: Any, places: Any) -> Any:
        true = values[places].to(answers.dtype)
        each = functional.huber_loss(answers / targets.spread, true / targets.spread, reduction="none")
        return each.reshape(len(each), -1).mean(1)

    return {"classes": classes, "chances": chances, "numbers": numbers}[targets.kind]


@contextmanager
def seeded(given: Given) -> Iterator[None]:
    """Draw random numbers by the seed, and compute with the threads that are given; afterwards as before."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        torch.set_num_threads(given.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def deadline(given: Given) -> float:
    """Until when training may go on, of `time.monotonic`."""
    return time.monotonic() + _SHARE * given.within_s
