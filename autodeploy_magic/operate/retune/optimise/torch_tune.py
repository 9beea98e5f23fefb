"""Some epochs more on labelled rows, for a PyTorch module: of all its layers, or of the last alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.network_targets import EPOCHS, FEWEST, TRAINED_ON, parted
from autodeploy_magic.operate.retune.optimise.torch_learn import Course, head_of, learn
from autodeploy_magic.operate.retune.optimise.torch_net import (
    BATCH,
    Net,
    check_labelled,
    deadline,
    first_answer,
    loss_of,
    open_net,
    seeded,
)

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["FineTune"]


class FineTune(Optimiser):
    """Trains the module that there is: its class, its layers and their sizes stay."""

    name = "torch_tune"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        check_labelled(champion, holdings)
        net = open_net(champion)
        targets, width = _targets(net, holdings)
        known = len(targets.positions)
        if known < FEWEST:
            raise NotApplicable(f"{known} rows have a label that it can learn, and {FEWEST} are needed")
        return TRAINED_ON if head_of(net.module, width) is not None else TRAINED_ON[:2]

    def make(self, champion: Champion, given: Given) -> Made:
        import torch

        until = deadline(given)
        net = open_net(champion)
        rows = given.holdings.training
        with seeded(given):
            bound = net.bind(rows)
            before = net.answers(bound)
            targets = net.targets(rows, before, given.holdings.task)
            free = _free(net.module, given.settings["layers"], before.shape[-1] if before.ndim > 1 else 1)
            positions, weights = torch.from_numpy(targets.positions), torch.from_numpy(targets.weights)
            loss, tensors = loss_of(targets), list(bound.tensors.values())

            def wrong(places: Any) -> Any:
                of = torch.as_tensor(places)
                answers = first_answer(bound.give(net.module, [tensor[positions[of]] for tensor in tensors]))
                return (loss(answers, of) * weights[of]).sum()

            def step(places: Any) -> Any:
                return wrong(places) / len(places)

            def aside() -> float:
                with torch.no_grad():
                    lots = [kept[i : i + BATCH] for i in range(0, len(kept), BATCH)]
                    return float(sum(wrong(lot) for lot in lots)) / len(kept)

            places, kept = parted(targets, given.seed)
            course = Course(EPOCHS, float(given.settings["pace"]), until, given.seed)
            learnt = learn(net.module, step, aside, places, course)
        for item in free:
            item.requires_grad_(True)
        if not learnt.best:
            raise NotApplicable(f"none of {learnt.epochs} epochs made it better on {len(kept)} rows kept aside")
        return Rebuilt(net.module, note="; ".join((f"{len(places)} rows, {learnt.note}", *targets.notes)))


def _targets(net: Net, holdings: Holdings) -> tuple[Any, int]:
    rows = holdings.training
    answers = net.answers(net.bind(rows))
    return net.targets(rows, answers, holdings.task), answers.shape[-1] if answers.ndim > 1 else 1


def _free(module: Any, layers: str, width: int) -> list[Any]:
    """Hold everything but the last layer, where that alone is to learn; returns what is held."""
    if layers == "all":
        return []
    head = head_of(module, width)
    own = {id(item) for item in head.parameters()}
    held = [item for item in module.parameters() if item.requires_grad and id(item) not in own]
    for item in held:
        item.requires_grad_(False)
    return held
