"""PyTorch modules that are trained on, made smaller, calibrated: of sound kinds, and of those that must be refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optimising import Standing, given_of, holdings_of, rows_of
from torch import nn

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.torch_calibrate import Calibrate, off_by
from autodeploy_magic.operate.retune.optimise.torch_graph import cut, removable
from autodeploy_magic.operate.retune.optimise.torch_net import open_net
from autodeploy_magic.operate.retune.optimise.torch_prune import Prune
from autodeploy_magic.operate.retune.optimise.torch_tune import FineTune
from autodeploy_magic.store import Store
from autodeploy_magic.wire.libraries.torch_call import call_of

DIGITS = np.arange(10)
TURNED = (DIGITS + 3) % 10


@pytest.fixture(autouse=True)
def chance_stays() -> Iterator[None]:
    """One thread, and random numbers that no other test sees."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def fit(net: Any, x: Any, y: Any, epochs: int = 12) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimiser = torch.optim.Adam(net.parameters(), 2e-3)
        rows, true = torch.from_numpy(x), torch.from_numpy(y)
        for _ in range(epochs):
            for batch in torch.randperm(len(rows)).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(rows[batch]), true[batch]).backward()
                optimiser.step()
    return net.eval()


def right(net: Any, x: Any, y: Any) -> float:
    with torch.no_grad():
        return float((net(torch.from_numpy(x)).argmax(1).numpy() == y).mean())


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    return tuple(train_test_split((x / 16).astype(np.float32), y, test_size=0.3, random_state=0))


@pytest.fixture(scope="module")
def mlp(digits: Any) -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    return fit(net, digits[0], digits[2])


class Cnn(nn.Module):
    """A chain that is no Sequential: its ways are told by what forward does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.hidden = nn.Linear(16 * 16, 32)
        self.last = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.first(x))), 2)
        x = torch.relu(self.second(x))
        x = x.view(x.size(0), -1)
        return self.last(torch.relu(self.hidden(x)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(64, 96)
        self.inner = nn.Linear(96, 256)
        self.outer = nn.Linear(256, 96)
        self.last = nn.Linear(96, 10)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.into(x))
        return self.last(x + self.outer(torch.relu(self.inner(x))))


def test_a_module_learns_another_rule_and_keeps_its_class(digits: Any, mlp: Any, tmp_path: Path) -> None:
    x, held, y, truth = digits
    champion, holdings = Standing(mlp, "torch"), holdings_of(rows_of(x, TURNED[y]))
    before = {name: value.clone() for name, value in mlp.state_dict().items()}
    offers = FineTune().offers(champion, holdings)
    assert [offer.settings["layers"] for offer in offers] == ["all", "all", "last"]
    made = FineTune().make(champion, given_of(holdings, tmp_path, **offers[1].settings))
    assert right(mlp, held, TURNED[truth]) < 0.1
    assert right(made.model, held, TURNED[truth]) > 0.93
    assert "epochs" in made.note
    assert type(made.model) is nn.Sequential
    assert not made.model.training
    assert all(torch.equal(value, before[name]) for name, value in mlp.state_dict().items())


def test_the_last_layer_alone_is_trained_where_that_is_asked(digits: Any, mlp: Any, tmp_path: Path) -> None:
    x, _, y, _ = digits
    holdings = holdings_of(rows_of(x[:300], TURNED[y[:300]]))
    made = FineTune().make(Standing(mlp, "torch"), given_of(holdings, tmp_path, layers="last", pace=0.02))
    assert torch.equal(made.model[3].weight, mlp[3].weight)
    assert not torch.equal(made.model[5].weight, mlp[5].weight)
    assert all(item.requires_grad for item in made.model.parameters())


def test_the_same_seed_makes_the_same_module(digits: Any, mlp: Any, tmp_path: Path) -> None:
    x, _, y, _ = digits
    given = given_of(holdings_of(rows_of(x[:200], TURNED[y[:200]])), tmp_path, layers="all", pace=0.05)
    first, second = (FineTune().make(Standing(mlp, "torch"), given).model[0].weight for _ in range(2))
    assert torch.equal(first, second)


def test_labels_in_words_are_learnt_through_the_postprocess(tmp_path: Path) -> None:
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    names = np.array(["barolo", "grignolino", "barbera"])
    net = fit(nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(1)), x, y, 40)
    code = {"postprocess": lambda out: names[out.argmax(1).numpy()]}
    holdings = holdings_of(rows_of(x, names[(y + 1) % 3]))
    made = FineTune().make(Standing(net, "torch", code), given_of(holdings, tmp_path, layers="all", pace=0.05))
    assert right(made.model, x, (y + 1) % 3) > 0.9


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(10, 1)

    def forward(self, near: Any, far: Any) -> Any:
        return {"predictions": self.layer(torch.cat([near, far], 1)).squeeze(1), "other": near}


def test_values_of_a_module_with_two_arguments(tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    x, y = load_diabetes(return_X_y=True)
    x, y = (x * 20).astype(np.float32), y / 10
    known, now = LinearRegression().fit(x, y), y + 4
    net = Two()
    with torch.no_grad():
        net.layer.weight.copy_(torch.from_numpy(known.coef_[None]))
        net.layer.bias.fill_(float(known.intercept_))
    holdings = holdings_of(rows_of({"near": x[:, :4], "far": x[:, 4:]}, now))
    made = FineTune().make(Standing(net, "torch"), given_of(holdings, tmp_path, layers="all", pace=0.05))
    with torch.no_grad():
        found = made.model(torch.from_numpy(x[:, :4]), torch.from_numpy(x[:, 4:]))["predictions"].numpy()
    assert abs((found - now).mean()) < 1 < abs((known.predict(x) - now).mean())


def test_what_cannot_be_learnt_is_refused_with_the_reason(digits: Any, mlp: Any) -> None:
    x, _, y, _ = digits
    rows = rows_of(x[:100], y[:100])
    with pytest.raises(NotApplicable, match="no PyTorch module"):
        FineTune().offers(Standing(object(), "sklearn"), holdings_of(rows))
    with pytest.raises(NotApplicable, match="9 labelled rows"):
        FineTune().offers(Standing(mlp, "torch"), holdings_of(rows.taken(range(9))))
    with pytest.raises(NotApplicable, match="the cell's predict"):
        FineTune().offers(Standing(mlp, "torch", {"predict": lambda model, x: x}), holdings_of(rows))
    with pytest.raises(NotApplicable, match="too coarse"):
        FineTune().offers(Standing(nn.Linear(64, 10).half(), "torch"), holdings_of(rows))
    with pytest.raises(NotApplicable, match="do not say"):
        FineTune().offers(Standing(mlp, "torch"), holdings_of(rows_of(x[:100], ["a"] * 100)))


def test_nothing_is_made_where_nothing_is_learnt(digits: Any, tmp_path: Path) -> None:
    x, _, y, _ = digits
    net = nn.Linear(64, 10)
    with torch.no_grad():
        net.weight.fill_(float("nan"))
    with pytest.raises(NotApplicable):
        FineTune().make(Standing(net, "torch"), given_of(holdings_of(rows_of(x, y)), tmp_path, layers="all", pace=0.01))


# --- smaller


@pytest.mark.parametrize("labelled", [True, False])
def test_a_pruned_network_answers_as_well_with_a_quarter_of_the_work(
    digits: Any, tmp_path: Path, labelled: bool
) -> None:
    x, held, y, truth = digits
    x, held = x.reshape(-1, 1, 8, 8), held.reshape(-1, 1, 8, 8)
    torch.manual_seed(0)
    net = fit(Cnn(), x, y, 6)
    champion = Standing(net, "torch")
    training = rows_of(x[:200], y[:200]) if labelled else rows_of(x[:1])
    holdings = holdings_of(training, rows_of(x[:10] if labelled else x[:160]))
    half, _ = Prune().offers(champion, holdings)
    assert "half" in half.title
    made = Prune().make(champion, given_of(holdings, tmp_path, **half.settings))
    assert type(made.model) is Cnn
    assert [made.model.first.out_channels, made.model.norm.num_features, made.model.second.in_channels] == [4, 4, 4]
    assert made.model.hidden.weight.shape == (16, 8 * 16)
    assert made.model.last.out_features == 10
    assert right(made.model, held, truth) > right(net, held, truth) - 0.1
    assert ("labels" in made.note) is labelled
    assert net.first.out_channels == 8


def test_only_the_inner_layer_of_a_residual_block_can_be_smaller(digits: Any) -> None:
    net = Residual().eval()
    bound = call_of(net).bind(digits[0][:4])
    assert [(one.layer, one.reader, one.units) for one in removable(net, bound)] == [("inner", "outer", 256)]


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: Any) -> Any:
        return self.layer(torch.relu(self.layer(x)))


class Fixed(nn.Module):
    """Its forward holds a number that depends on the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3)
        self.last = nn.Linear(8 * 36, 10)

    def forward(self, x: Any) -> Any:
        return self.last(self.first(x).view(-1, 288))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.last = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.last(self.first(x)) if x.sum() > 0 else self.last(x)


@pytest.mark.parametrize(
    ("net", "shape", "why"),
    [
        (Reused(), (64,), "no neurons that could go"),
        (Fixed(), (1, 8, 8), "no neurons that could go"),
        (Branching(), (64,), "cannot be followed"),
        (nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 10)), (64,), "no neurons that could go"),
        (nn.Sequential(nn.Linear(64, 64), nn.Softmax(1), nn.Linear(64, 10)), (64,), "no neurons that could go"),
    ],
    ids=["reused", "fixed", "branching", "layer norm", "softmax"],
)
def test_what_would_not_be_the_same_without_neurons_is_left_whole(net: Any, shape: Any, why: str) -> None:
    x = np.ones((4, *shape), dtype=np.float32)
    with pytest.raises(NotApplicable, match=why):
        removable(net.eval(), call_of(net).bind(x))


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (
            nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)),
            (6,),
        ),
        (
            nn.Sequential(
                nn.Conv2d(1, 6, 3),
                nn.ReLU6(),
                nn.Conv2d(6, 6, 3, groups=6),
                nn.BatchNorm2d(6),
                nn.Conv2d(6, 4, 1),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Linear(16, 2),
            ),
            (1, 8, 8),
        ),
        (nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 3, 3), nn.Flatten(), nn.Linear(12, 2)), (2, 8)),
    ],
    ids=["dense", "depthwise", "sequences"],
)
def test_units_that_nobody_hears_can_go_without_a_change(net: Any, shape: Any) -> None:
    import copy

    net.eval()
    bound = call_of(net).bind(np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32))
    found = removable(net, bound)
    deaf, smaller = copy.deepcopy(net), copy.deepcopy(net)
    for one in found:
        keep = list(range(0, one.units, 2))
        gone = torch.ones(one.units, dtype=torch.bool)
        gone[keep] = False
        reader = deaf.get_submodule(one.reader)
        reader.weight.data[:, gone.repeat_interleave(one.each)] = 0
        cut(smaller, one, keep)
    x = bound.tensors["inputs"]
    assert len(found) >= 2
    assert torch.allclose(deaf(x), smaller(x), atol=1e-6)
    assert sum(p.numel() for p in smaller.parameters()) < 0.7 * sum(p.numel() for p in net.parameters())


def test_a_small_network_is_no_faster_with_less(digits: Any) -> None:
    x, _, y, _ = digits
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    with pytest.raises(NotApplicable, match="no faster"):
        Prune().offers(Standing(net, "torch"), holdings_of(rows_of(x[:100], y[:100])))
    with pytest.raises(NotApplicable, match="are needed"):
        Prune().offers(Standing(net, "torch"), holdings_of(rows_of(x[:10]), rows_of(x[:10])))


# --- calibrated


def test_an_overconfident_classifier_is_calibrated_and_answers_the_same(digits: Any, tmp_path: Path) -> None:
    x, held, y, truth = digits
    net = fit(nn.Sequential(nn.Linear(64, 10)), x[:300], y[:300], 40)
    with torch.no_grad():
        for item in net.parameters():
            item.mul_(8)
    net = nn.Sequential(*net, nn.Softmax(1)).eval()
    champion, holdings = Standing(net, "torch"), holdings_of(rows_of(x[300:], y[300:]))
    assert [offer.title for offer in Calibrate().offers(champion, holdings)] == ["temperature scaling"]
    made = Calibrate().make(champion, given_of(holdings, tmp_path))
    assert made.changed["temperature"] > 1.5
    with torch.no_grad():
        before, after = (one(torch.from_numpy(held)).numpy() for one in (net, made.model))
    assert (before.argmax(1) == after.argmax(1)).all()
    errors = [off_by(np.log(np.clip(one, 1e-12, None)), truth) for one in (before, after)]
    assert errors[1] < errors[0]
    with pytest.raises(NotApplicable, match="right already|no temperature"):
        Calibrate().offers(Standing(made.model, "torch"), holdings)


def test_scores_are_no_probabilities_to_calibrate(digits: Any, mlp: Any) -> None:
    x, _, y, _ = digits
    with pytest.raises(NotApplicable, match="scores"):
        Calibrate().offers(Standing(mlp, "torch"), holdings_of(rows_of(x, y)))


# --- deployed


def test_what_was_made_is_built_and_verified_as_onnx(digits: Any, store: Store, tmp_path: Path) -> None:
    x, _, y, _ = digits
    x = x.reshape(-1, 1, 8, 8)
    champion = Standing(fit(Cnn(), x, y, 1), "torch")
    holdings = holdings_of(rows_of(x[:64], y[:64]))
    net = Prune().make(champion, given_of(holdings, tmp_path, share=0.5)).model
    made = build(BuildRequest("demo", net, x[:40]), store, SubprocessRunner(), lambda progress: None, dry_run=True)
    assert made.version.format == "onnx"
    assert made.version.framework == "torch"


def test_weights_that_are_pages_of_a_file_are_copied_first(mlp: Any) -> None:
    champion = Standing(mlp, "torch")
    fresh = champion.live()
    champion.live = lambda: fresh  # type: ignore[method-assign]
    held = [item.detach() for item in fresh.parameters()]  # memory that was free again could be given to a copy
    pages = [item.data_ptr() for item in held]
    assert not set(pages) & {item.data_ptr() for item in open_net(champion).module.parameters()}
