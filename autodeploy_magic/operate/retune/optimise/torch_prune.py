"""A module with fewer neurons and channels, trained on by the answers that the whole one gave, and by labels.

Which go: those whose removal changes least what the next layer reads, which is how much they vary times the weights by
which they are read; their mean goes into the next layer's bias (after Y. He et al.: Channel Pruning for Accelerating
Very Deep Neural Networks, 2017). What is left learns from the champion's answers to rows, and to mixtures of rows
(L. Beyer et al.: Knowledge distillation: a good teacher is patient and consistent, 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.network_targets import FEWEST, Form, Targets, form_of
from autodeploy_magic.operate.retune.optimise.network_units import (
    OWN,
    WARMTH,
    check_rows,
    prune_offers,
    units_left,
)
from autodeploy_magic.operate.retune.optimise.torch_graph import Removable, cut, multiplications, removable
from autodeploy_magic.operate.retune.optimise.torch_learn import Course, learn
from autodeploy_magic.operate.retune.optimise.torch_net import (
    BATCH,
    Net,
    deadline,
    first_answer,
    loss_of,
    open_net,
    seeded,
)
from autodeploy_magic.wire.libraries.torch_call import Bound

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Prune"]

_EPOCHS = 80
_PACE = 0.02
_LOOKED_AT = 512


class Prune(Optimiser):
    """Takes neurons of linear layers and channels of convolutions out, and trains what is left."""

    name = "torch_prune"
    family = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if champion.framework != "torch":
            raise NotApplicable("it is no PyTorch module")
        check_rows(holdings)
        net = open_net(champion)
        some = _some(net.bind(holdings.calibration), 4)
        found = removable(net.module, some)

        def work_with(share: float) -> int:
            smaller = copy.deepcopy(net.module)
            for one in found:
                cut(smaller, one, range(units_left(one.units, share)))
            return multiplications(smaller, some)

        return prune_offers(multiplications(net.module, some), len(found), work_with)

    def make(self, champion: Champion, given: Given) -> Made:
        until = deadline(given)
        net = open_net(champion)
        holdings, share = given.holdings, float(given.settings["share"])
        with seeded(given):
            bound, targets = _material(net, holdings)
            smaller = copy.deepcopy(net.module)
            _cut_all(net, smaller, bound, share)
            for item in smaller.parameters():
                item.requires_grad_(item.is_floating_point())
            lesson = _Lesson(net, smaller, bound, targets, given.seed)
            course = Course(_EPOCHS, _PACE, until, given.seed, patience=10)
            learnt = learn(smaller, lesson.step, lesson.aside, lesson.places, course)
        before, after = (sum(item.numel() for item in one.parameters()) for one in (net.module, smaller))
        of = f"{len(targets.positions)} labels" if targets is not None else "the model's own answers"
        note = f"{after:,} of {before:,} weights; {len(lesson.places)} rows and {of}, {learnt.note}"
        return Rebuilt(smaller, note=note)


def _some(bound: Bound, count: int) -> Bound:
    return Bound(bound.style, {name: tensor[:count] for name, tensor in bound.tensors.items()})


def _material(net: Net, holdings: Holdings) -> tuple[Bound, Targets | None]:
    """All rows that there are, those with labels first; and what the labels say, where they say it."""
    import torch

    training, calibration = holdings.training, holdings.calibration
    if not training.count:
        return net.bind(calibration), None
    bound, others = net.bind(training), net.bind(calibration)
    targets = None
    if training.labels and training.count >= FEWEST:
        try:
            targets = net.targets(training, net.answers(bound), holdings.task)
        except NotApplicable:  # labels of something else than what it answers: its own answers will do
            targets = None
    try:
        joined = {name: torch.cat([tensor, others.tensors[name]]) for name, tensor in bound.tensors.items()}
    except (RuntimeError, KeyError):  # its preprocess pads each lot to a length of its own
        return bound, targets
    return Bound(bound.style, joined), targets


def _cut_all(net: Net, smaller: Any, bound: Bound, share: float) -> None:
    """Take the units out that matter least; check that nothing else has changed; then make up for their means."""
    import torch

    some = _some(bound, _LOOKED_AT)
    found = removable(net.module, _some(bound, 4))
    means, spreads = _looked_at(net, some, found)
    parts = dict(net.module.named_modules())
    kept: dict[str, list[int]] = {}
    stay: dict[str, list[int]] = {}
    repaired: list[tuple[Any, Any]] = []
    for one in found:
        weight = parts[one.reader].weight.detach().double()
        by_unit = weight.transpose(0, 1).reshape(one.units, -1).square().sum(1).sqrt()
        worth = by_unit * spreads[one.reader].reshape(one.units, one.each).square().mean(1).sqrt()
        keep = sorted(worth.argsort(descending=True)[: units_left(one.units, share)].tolist())
        kept[one.reader] = stay[one.layer] = keep
        gone = torch.ones(one.units, dtype=torch.bool)
        gone[keep] = False
        mean = means[one.reader] * gone.repeat_interleave(one.each)
        flat = weight.sum(tuple(range(2, weight.ndim))) if weight.ndim > 2 else weight
        repaired.append((one.reader, flat @ mean))
        cut(smaller, one, keep)
    _check(net, smaller, _some(bound, 8), found, kept)
    now = dict(smaller.named_modules())
    with torch.no_grad():
        for name, shift in repaired:
            if now[name].bias is not None:
                shift = shift[stay[name]] if name in stay else shift  # noqa: PLW2901
                now[name].bias += shift.to(now[name].bias.dtype)


def _looked_at(net: Net, some: Bound, found: list[Removable]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Mean and standard deviation of each input of the layers that read, by their names."""
    means: dict[str, Any] = {}
    spreads: dict[str, Any] = {}

    def look(name: str) -> Callable[..., None]:
        def hook(part: Any, given: Any) -> None:
            values = given[0].detach().double()
            place = values.ndim - 1 if hasattr(part, "in_features") else 1
            flat = values.movedim(place, 0).reshape(values.shape[place], -1)
            means[name], spreads[name] = flat.mean(1), flat.std(1)

        return hook

    parts = dict(net.module.named_modules())
    hooks = [parts[one.reader].register_forward_pre_hook(look(one.reader)) for one in found]
    try:
        first_answer_of(net, some)
    finally:
        for one in hooks:
            one.remove()
    return means, spreads


def first_answer_of(net: Net, bound: Bound) -> Any:
    """The module's first answer to all rows at once, in eval mode."""
    import torch

    net.module.eval()
    with torch.no_grad():
        return first_answer(bound.give(net.module, [tensor.clone() for tensor in bound.tensors.values()]))


def _check(net: Net, smaller: Any, some: Bound, found: list[Removable], kept: dict[str, list[int]]) -> None:
    """Raise `RetuneFailed` where the smaller module is not the whole one with the units' readers deaf to them."""
    import torch

    deaf = copy.deepcopy(net.module)
    parts = dict(deaf.named_modules())
    with torch.no_grad():
        for one in found:
            silent = torch.ones(one.units, dtype=torch.bool)
            silent[kept[one.reader]] = False
            parts[one.reader].weight[:, silent.repeat_interleave(one.each)] = 0
    wanted = first_answer_of(Net(deaf, net.call, net.champion), some)
    found_ = first_answer_of(Net(smaller, net.call, net.champion), some)
    if wanted.shape != found_.shape or not torch.allclose(wanted, found_, rtol=1e-3, atol=1e-4):
        raise RetuneFailed("taking neurons out changed more than these", why="its forward reads their number elsewhere")


class _Lesson:
    """Batches of rows and of mixtures of them, with the whole module's answers to these, and the labels."""

    def __init__(self, net: Net, smaller: Any, bound: Bound, targets: Targets | None, seed: int) -> None:
        import torch

        self._net, self._smaller, self._bound = net, smaller, bound
        self._tensors = list(bound.tensors.values())
        self._random = torch.Generator().manual_seed(seed)
        self._taught = net.answers(bound)
        self._form: Form = form_of(self._taught.numpy()) if self._taught.ndim <= 2 else "numbers"
        classes = self._taught.ndim == 2 and self._taught.shape[1] > 1
        if not (classes or self._form == "sigmoid") or (targets is not None and targets.kind == "numbers"):
            self._form = "numbers"
        self._spread = float(self._taught.std()) or 1.0
        self._mixes = all(tensor.is_floating_point() for tensor in self._tensors)
        count = len(self._taught)
        order = np.random.default_rng(seed).permutation(count)
        fifth = max(count // 5, 1)
        self.places, self._kept = order[fifth:], order[:fifth]
        self._labels = loss_of(targets) if targets is not None else None
        self._at = torch.full((count,), -1)
        if targets is not None:
            self._at[torch.from_numpy(targets.positions)] = torch.arange(len(targets.positions))
            self._weights = torch.from_numpy(targets.weights)

    def step(self, batch: Any) -> Any:
        import torch

        of = torch.as_tensor(batch)
        given = [tensor[of] for tensor in self._tensors]
        answers = self._ask(self._smaller, given)
        loss = self._apart(answers, self._taught[of]).mean() + self._by_labels(answers, of)
        if self._mixes and len(of) > 1:
            other = of[torch.randperm(len(of), generator=self._random)]
            share = torch.rand(len(of), generator=self._random)
            mixed = [torch.lerp(tensor[other], tensor[of], _along(share, tensor)) for tensor in self._tensors]
            with torch.no_grad():
                taught = self._ask(self._net.module, mixed)
            loss = loss + self._apart(self._ask(self._smaller, mixed), taught).mean()
        return loss

    def aside(self) -> float:
        import torch

        total = 0.0
        with torch.no_grad():
            for i in range(0, len(self._kept), BATCH):
                of = torch.as_tensor(self._kept[i : i + BATCH])
                answers = self._ask(self._smaller, [tensor[of] for tensor in self._tensors])
                error = self._apart(answers, self._taught[of]).mean() + self._by_labels(answers, of)
                total += float(error) * len(of) / len(self._kept)
        return total

    def _ask(self, module: Any, tensors: list[Any]) -> Any:
        return first_answer(self._bound.give(module, [tensor.clone() for tensor in tensors]))

    def _by_labels(self, answers: Any, of: Any) -> Any:
        known = self._at[of] >= 0
        if self._labels is None or not known.any():
            return 0.0
        at = self._at[of][known]
        return OWN * (self._labels(answers[known], at) * self._weights[at]).sum() / len(of)

    def _apart(self, answers: Any, taught: Any) -> Any:
        """How far answers are from those that were taught, one number a row: of classes the divergence."""
        from torch.nn import functional

        if self._form in ("logits", "log", "probabilities"):
            own, true = (functional.log_softmax(_scores(one, self._form) / WARMTH, dim=1) for one in (answers, taught))
            return functional.kl_div(own, true, log_target=True, reduction="none").sum(1) * WARMTH**2
        if self._form == "sigmoid":
            each = functional.binary_cross_entropy(answers.clamp(1e-7, 1 - 1e-7), taught, reduction="none")
        else:
            each = functional.mse_loss(answers / self._spread, taught / self._spread, reduction="none")
        return each.reshape(len(each), -1).mean(1)


def _scores(answers: Any, form: Form) -> Any:
    return answers.clamp(min=1e-7).log() if form == "probabilities" else answers


def _along(share: Any, tensor: Any) -> Any:
    return share.to(tensor.dtype).reshape(-1, *[1] * (tensor.ndim - 1))
