"""Some epochs more on labelled texts, for a classifier of Transformers: of its head, or of all its layers.

Rates are those of J. Devlin et al., BERT, 2019 (2e-5 to 5e-5 for weights of the size 0.02), relative to the weights.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autodeploy_magic.build.export.transformers_given import Given as Parts
from autodeploy_magic.build.export.transformers_given import read_given
from autodeploy_magic.build.export.transformers_live import inputs_of, quietly, texts_of
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.network_targets import FEWEST, Targets, parted, targets_of
from autodeploy_magic.operate.retune.optimise.torch_learn import Course, learn
from autodeploy_magic.operate.retune.optimise.torch_net import deadline, loss_of, seeded

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["FineTune"]

_STEPS = 400
"""Batches to learn from, where time allows it: few texts are shown more often."""
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 40
_BATCH = 16
_PASSES = 6
"""Times of answering that two epochs take: learning is three of them, a way forth and a way back that is twice as
long (J. Kaplan et al., 2020)."""
_TIMED = 8
_OFFERS = (
    Offer("head trained on", {"layers": "head", "pace": 0.05}, slow=True),
    Offer("all layers trained on", {"layers": "all", "pace": 0.002}, slow=True),
    Offer("all layers trained on, in larger steps", {"layers": "all", "pace": 0.01}, slow=True),
)


class FineTune(Optimiser):
    """Trains the network that there is, on the newest texts that there is time for."""

    name = "transformers_tune"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if champion.framework != "transformers":
            raise NotApplicable("it is no model of Transformers")
        rows = holdings.training
        if rows.count < FEWEST or not rows.labels:
            raise NotApplicable(f"{rows.count} labelled rows to learn from, and {FEWEST} are needed")
        net = _open(champion)
        some = rows.taken(range(rows.count - FEWEST, rows.count))
        net.targets(some, net.answers(net.tokens(some)))
        return _OFFERS if _head(net.parts.model) else _OFFERS[1:]

    def make(self, champion: Champion, given: Given) -> Made:
        import torch

        until = deadline(given)
        net = _open(champion)
        network = net.parts.model
        with seeded(given), quietly():
            rows = _affordable(net, given)
            tokens = net.tokens(rows)
            targets = net.targets(rows, net.answers(tokens))
            loss, weights = loss_of(targets), torch.from_numpy(targets.weights)
            free = _hold(network, given.settings["layers"])

            def wrong(places: Any) -> Any:
                of = torch.as_tensor(places)
                answers = net.asked([tokens[targets.positions[place]] for place in places])
                return (loss(answers, of) * weights[of]).sum(), weights[of].sum()

            def step(places: Any) -> Any:
                total, weight = wrong(places)
                return total / weight

            def aside() -> float:
                with torch.no_grad():
                    sums = [wrong(kept[i : i + _BATCH]) for i in range(0, len(kept), _BATCH)]
                return float(sum(total for total, _ in sums) / sum(weight for _, weight in sums))

            places, kept = parted(targets, given.seed)
            epochs = min(max(_STEPS * _BATCH // len(places), _FEWEST_EPOCHS), _MOST_EPOCHS)
            course = Course(epochs, float(given.settings["pace"]), until, given.seed, patience=3, batch=_BATCH)
            learnt = learn(network, step, aside, places, course)
        for item in free:
            item.requires_grad_(True)
        if not learnt.best:
            raise NotApplicable(f"none of {learnt.epochs} epochs made it better on {len(kept)} texts kept aside")
        return Rebuilt(net.model, note="; ".join((f"{len(places)} texts, {learnt.note}", *targets.notes)))


@dataclass(frozen=True)
class _Net:
    """What the person deployed, and the parts of it."""

    model: Any
    parts: Parts
    champion: Champion

    def tokens(self, rows: Rows) -> list[dict[str, Any]]:
        """The token ids of each row, cut at the model's limit, not padded yet."""
        texts, pairs = texts_of(self.champion.fed(rows.x()))
        cut = {"truncation": True, "max_length": self.parts.limit} if self.parts.limit else {}
        found = self.parts.tokenizer(texts, pairs, **cut)
        names = inputs_of(self.parts)
        return [{name: found[name][i] for name in names if name in found} for i in range(len(texts))]

    def asked(self, tokens: list[dict[str, Any]]) -> Any:
        """The network's numbers for some rows."""
        return self.parts.model(**self.parts.tokenizer.pad(tokens, return_tensors="pt"))[0].float()

    def answers(self, tokens: list[dict[str, Any]]) -> Any:
        """The same for all rows, some at a time, in eval mode."""
        import torch

        self.parts.model.eval()
        with torch.no_grad():
            return torch.cat([self.asked(tokens[i : i + _BATCH]) for i in range(0, len(tokens), _BATCH)])

    def targets(self, rows: Rows, answers: Any) -> Targets:
        """What the answers to `rows` should have been: labels are names of its classes, or their positions."""
        several = answers.shape[1] > 1
        labels = self.parts.labels if several else ()
        return targets_of(rows, answers.numpy(), "classification" if several else "regression", None, _same, labels)


def _same(values: Any) -> Any:
    return values


def _open(champion: Champion) -> _Net:
    """The champion's network and tokenizer. Raises `NotApplicable` for what labels of texts teach nothing."""
    import torch

    if "predict" in champion.code:
        raise NotApplicable(
            "its answers are made by the cell's predict, and not by the model alone",
            fix="define retrain(model, X, y) in the cell",
        )
    model = champion.live()
    parts = read_given(model)
    if parts.task == "embedding":
        raise NotApplicable("it answers with vectors, and a vector has no label to learn from")
    if parts.task != "text-classification" or parts.tokenizer is None:
        raise NotApplicable(f"it is for {parts.task or 'other'}, and labels are of whole texts")
    if parts.function == "sigmoid":
        raise NotApplicable("it gives each text several classes, and a label names one")
    if parts.tokenizer.pad_token_id is None:
        raise NotApplicable("its tokenizer has no padding token: texts of different lengths cannot be learnt together")
    if parts.model.dtype != torch.float32:
        raise NotApplicable(f"its weights are {parts.model.dtype}, which is too coarse to learn in")
    for item in (*parts.model.parameters(), *parts.model.buffers()):
        item.data = item.data.clone()  # they may be pages of the version's file
    return _Net(model, parts, champion)


def _affordable(net: _Net, given: Given) -> Rows:
    """The newest rows that two epochs of learning have time for."""
    rows = given.holdings.training
    newest = rows.taken(range(max(rows.count - _TIMED, 0), rows.count))
    tokens = net.tokens(newest)
    net.answers(tokens[:1])  # the first call is slow
    started = time.perf_counter()
    net.answers(tokens)
    row_s = (time.perf_counter() - started) / len(tokens)
    most = max(int(given.within_s / 2 / (row_s * _PASSES)), FEWEST)
    if most >= rows.count:
        return rows
    order = sorted(range(rows.count), key=lambda i: rows.at_s[i]) if rows.at_s else list(range(rows.count))
    return rows.taken(sorted(order[-most:]))


def _head(network: Any) -> list[Any]:
    """The weights that are not those of the model beneath."""
    beneath = {id(item) for item in network.base_model.parameters()} if network.base_model is not network else set()
    return [item for item in network.parameters() if id(item) not in beneath] if beneath else []


def _hold(network: Any, layers: str) -> list[Any]:
    """Hold everything but the head, where that alone is to learn; returns what is held."""
    if layers == "all":
        for item in network.parameters():
            item.requires_grad_(True)
        return []
    own = {id(item) for item in _head(network)}
    held = [item for item in network.parameters() if item.requires_grad and id(item) not in own]
    for item in held:
        item.requires_grad_(False)
    return held
