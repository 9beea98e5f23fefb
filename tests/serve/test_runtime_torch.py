"""A module in a worker: loaded from its folder, and asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from autodeploy_magic.build.export.torch_keep import keep
from autodeploy_magic.contracts import Output
from autodeploy_magic.serve.runtime.torch import TorchRunner
from autodeploy_magic.wire.libraries.torch_call import Threads

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
OUTPUT = Output(name="predictions", container="ndarray", dtype="float32", shape=(2,))


def runner_of(module: Any, folder: Path, *, threads: int | None = None, **version: Any) -> TorchRunner:
    keep(module, folder / "torch")
    described: Any = SimpleNamespace(**{"model_outputs": (), "outputs": (OUTPUT,), **version})
    return TorchRunner(folder / "torch", described, threads=threads)


def test_tied_weights_are_one_again(tmp_path: Path) -> None:
    module = nn.ModuleDict({"words": nn.Embedding(9, 4), "scores": nn.Linear(4, 9, bias=False)})
    module["scores"].weight = module["words"].weight
    module.parts = [module["words"], {"again": module["scores"]}]  # type: ignore[assignment]
    found = runner_of(module, tmp_path).model
    assert found["scores"].weight is found["words"].weight
    assert found.parts[0] is found["words"]
    assert (tmp_path / "torch" / "model.safetensors").stat().st_size < 9 * 4 * 4 + 400


def test_it_is_in_eval_mode_without_gradients(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.9))
    runner = runner_of(module, tmp_path)
    found = runner.run(X, ["predictions"])["predictions"]
    assert isinstance(found, np.ndarray)
    assert np.allclose(found, module.eval()(torch.tensor(X)).detach().numpy())
    assert not any(part.training for part in runner.model.modules())


def test_a_forward_that_needs_gradients_gets_them(tmp_path: Path) -> None:
    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            with torch.enable_grad():
                x = x.clone().requires_grad_()
                return torch.autograd.grad(self.layer(x).sum(), x)[0]

    module = Slope()
    runner = runner_of(module, tmp_path)
    for _ in range(2):
        assert np.allclose(runner.run(X, ["predictions"])["predictions"], module.layer.weight.detach().numpy())


def test_a_postprocess_is_given_tensors_as_in_the_notebook(tmp_path: Path) -> None:
    runner = runner_of(nn.Linear(4, 2), tmp_path, model_outputs=(OUTPUT,))
    assert isinstance(runner.run(X, ["predictions"])["predictions"], torch.Tensor)


def test_threads_are_told_to_torch_for_much_work_only() -> None:
    before = torch.get_num_threads()
    threads = Threads(nn.Linear(4, 400_000), 3)
    for rows, count in ((1, 1), (5, 3)):
        with threads.sized(rows):
            assert torch.get_num_threads() == count
        assert torch.get_num_threads() == before


def test_the_persons_own_predict_is_given_the_module(tmp_path: Path) -> None:
    module = nn.Linear(4, 2)
    runner = runner_of(module, tmp_path)
    found = runner.apply(lambda model, x: model(torch.tensor(x)).argmax(1), X)
    assert torch.equal(found, module(torch.tensor(X)).argmax(1))
