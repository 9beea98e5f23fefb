"""PyTorch modules of many kinds: what is kept answers as they do, and they stay as they were."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autodeploy_magic.build import Built
from autodeploy_magic.build.compare import compare, differing_rows
from autodeploy_magic.build.export import exporter_of, torch_onnx
from autodeploy_magic.build.export.torch import exporter
from autodeploy_magic.build.export.torch_source import source_of
from autodeploy_magic.build.find import find_model
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Environment, Output, Signature, Trust, Version
from autodeploy_magic.errors import BadInput, BadSample, ExportFailed, UnfittedModel
from autodeploy_magic.serve.runtime.onnx import OnnxRunner
from autodeploy_magic.serve.runtime.torch import TorchRunner
from autodeploy_magic.wire import decode, describe, in_library, to_container, to_plain, to_request

ROWS = np.random.default_rng(0).normal(size=(40, 6))


class Net(nn.Module):
    """A linear layer, and around it whatever a test wants."""

    def __init__(self, forward: Callable[..., Any] | None = None, **attributes: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.inner = forward
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        return self.layer(x) if self.inner is None else self.inner(self, x)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:  # type: ignore[override]
        return gradient * 2


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.scores = nn.Linear(8, 20, bias=False)
        self.scores.weight = self.words.weight

    def forward(self, ids: Any) -> Any:
        return self.scores(self.words(ids).mean(1))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, **columns: Any) -> Any:
        return self.layer(columns["a"]) + columns["b"]


@dataclass
class Found:
    scores: Any
    hidden: Any
    nothing: Any = None


def _hooked() -> Any:
    module, factor = nn.Sequential(nn.Linear(6, 3)), 3.0
    module[0].register_forward_hook(lambda module, given, found: found * factor)
    return module


def _energy(self: Any, x: Any) -> Any:
    """Gradients within forward, as force fields have them."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (found,) = torch.autograd.grad(self.layer(x).pow(2).sum(), x)
    return found


KINDS: dict[str, tuple[Callable[[], Any], Any, str]] = {
    # name: the module, its sample, and the formats that must hold it
    "batch norm and dropout, while trained": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)),
        ROWS,
        "onnx torch",
    ),
    "a first layer that writes into its input": (lambda: nn.Sequential(nn.ReLU(inplace=True)), ROWS, "onnx torch"),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten()),
        torch.rand(10, 1, 6, 6),
        "onnx torch",
    ),
    "a recurrent network": (lambda: nn.LSTM(3, 4, 2, batch_first=True), np.random.rand(9, 5, 3), "onnx torch"),
    "a transformer": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1),
        torch.rand(9, 4, 8),
        "onnx torch",
    ),
    "tied weights and whole numbers": (Tied, np.random.randint(0, 20, (30, 5)), "onnx torch"),
    "a dict of answers": (lambda: Net(lambda self, x: {"a": self.layer(x), "id": x.sum(1)}), ROWS, "onnx torch"),
    "a dataclass of answers": (lambda: Net(lambda self, x: Found(self.layer(x), x * 2)), ROWS, "onnx torch"),
    "a hook that is a lambda": (_hooked, ROWS, "onnx torch"),
    "a function with its own gradient": (lambda: Net(lambda self, x: Double.apply(self.layer(x))), ROWS, "onnx torch"),
    "keywords": (Named, {"b": ROWS[:, :3], "a": ROWS}, "onnx torch"),
    "a table": (Net, {name: ROWS[:, i] for i, name in enumerate("uvwxyz")}, "onnx torch"),
    "torch.compile": (lambda: torch.compile(Net()), ROWS, "onnx torch"),
    "DataParallel": (lambda: nn.DataParallel(Net()), ROWS, "onnx torch"),
    "TorchScript": (lambda: torch.jit.script(nn.Sequential(nn.Linear(6, 3), nn.Dropout())), ROWS, "onnx torch"),
    "frozen TorchScript": (lambda: torch.jit.freeze(torch.jit.script(nn.Linear(6, 3).eval())), ROWS, "onnx torch"),
    "TorchScript inside": (lambda: Net(lambda s, x: s.it(x), it=torch.jit.script(nn.Linear(6, 2))), ROWS, "torch"),
    "half": (lambda: nn.Linear(6, 3).half(), ROWS, "onnx torch"),
    "doubles": (lambda: nn.Linear(6, 3).double(), ROWS.astype("float32"), "onnx torch"),
    "bfloat16": (lambda: nn.Linear(6, 3).bfloat16(), ROWS, "torch"),
    "quantised": (
        lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 3)), {nn.Linear}),  # type: ignore[no-untyped-call]
        ROWS,
        "torch",
    ),
    "gradients in forward": (lambda: Net(_energy), ROWS, "torch"),
    "answers that are NaN": (lambda: Net(lambda self, x: self.layer(x).log()), ROWS, "onnx torch"),
    "tensors that are no weights": (
        lambda: Net(lambda s, x: s.layer(x) + s.mean, mean=torch.ones(3)),
        ROWS,
        "onnx torch",
    ),
}


def described(signature: Signature, outputs: tuple[Output, ...]) -> Version:
    """A version's record, of which the runners read what its answers are."""
    return Version(
        deployment="demo",
        number=1,
        digest="",
        created_at="",
        task="function",
        framework="torch",
        model_type="",
        format="torch",
        reason="",
        trust=Trust(level="amber", reason=""),
        signature=signature,
        outputs=outputs,
        artifacts=(),
        environment=Environment(python="", platform=""),
        candidates=(),
        sample_rows=0,
    )


def replayed(
    module: Any, sample: Any, format: str, folder: Path
) -> tuple[tuple[Output, ...], dict[str, Any], dict[str, Any]]:
    """The outputs of `module`, its answers to a sample, and those of what was kept of it."""
    found = read_sample(sample)
    signature = exporter.takes(module, found.signature)
    given = in_library(signature, found.container)
    live = exporter.live(module, given)
    outputs = tuple(describe(name, value, found.rows) for name, value in live.items())
    version = described(signature, outputs)
    exporter.write(module, format, folder / "model", given, signature)
    runner: Any = (OnnxRunner if format == "onnx" else TorchRunner)(folder / "model", version, threads=None)
    batch = decode(signature, to_request(found.container))
    answers = runner.run(to_container(batch) if runner.needs_container else batch, list(live))
    return outputs, {k: to_plain(v) for k, v in live.items()}, {k: to_plain(v) for k, v in answers.items()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_answers_as_the_module(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    make, sample, formats = KINDS[kind]
    module = make()
    assert exporter_of(module) is exporter
    exporter.check_fitted(module, "model")
    before = copy.deepcopy(sample)
    for format in ("onnx", "torch"):
        folder = tmp_path / format
        folder.mkdir()
        if format in formats.split():
            outputs, live, found = replayed(module, sample, format, folder)
            assert outputs[0].name == "predictions"
            compared = compare(outputs, live, found)
            assert compared.passed, compared.words
        else:
            with pytest.raises(ExportFailed):
                replayed(module, sample, format, folder)
    assert str(before) == str(sample)
    said = capfd.readouterr()
    assert said.out + said.err == ""  # converters print whole graphs otherwise


def test_the_persons_module_stays_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))
    module.train()
    module[1].eval()
    module[0].weight.requires_grad_(False)
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    gradients = [item.requires_grad for item in module.parameters()]
    torch.manual_seed(7)
    drawn, threads = torch.get_rng_state(), torch.get_num_threads()
    for format in ("onnx", "torch"):
        (tmp_path / format).mkdir()
        replayed(module, ROWS, format, tmp_path / format)
    assert exporter.fingerprint(module)
    assert modes == [part.training for part in module.modules()]
    assert gradients == [item.requires_grad for item in module.parameters()]
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert torch.is_grad_enabled()


def test_weights_that_are_written_one_after_the_other_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a large module are: nothing is folded, and the weights are never copied."""
    monkeypatch.setattr(torch_onnx, "LARGE_BYTES", 0)
    for kind in ("convolutions", "a recurrent network", "tied weights and whole numbers", "half"):
        make, sample, _ = KINDS[kind]
        (tmp_path / kind).mkdir()
        compared = compare(*replayed(make(), sample, "onnx", tmp_path / kind))
        assert compared.passed, f"{kind}: {compared.words}"


def _branching(self: Any, x: Any) -> Any:
    return self.layer(x) if x.sum() > 0 else -self.layer(x)


def _counting(self: Any, x: Any) -> Any:
    return self.layer(x) / float(len(x))


@pytest.mark.parametrize("forward", [_branching, _counting])
def test_a_forward_that_a_graph_cannot_hold_is_kept_as_it_is(forward: Any, make: Callable[..., Built]) -> None:
    version = make(Net(forward), ROWS, dry_run=True).version
    assert version.format == "torch"
    assert version.trust.level == "amber"
    assert not next(row for row in version.candidates if row.format == "onnx").passed


def test_a_trace_that_may_be_another_module_for_other_rows_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed) as failure:
        replayed(Net(_branching), np.abs(ROWS), "onnx", tmp_path)
    assert "depends on the values" in str(failure.value.why)


def test_what_cannot_be_pickled_is_served_by_onnx_alone(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        module = Net(log=log)
        assert compare(*replayed(module, ROWS, "onnx", tmp_path)).passed
        with pytest.raises(ExportFailed) as failure:
            exporter.write(module, "torch", tmp_path / "torch", ROWS, read_sample(ROWS).signature)
        assert "file" in str(failure.value.why)
        assert exporter.fingerprint(module) != exporter.fingerprint(module)  # what it holds cannot be told


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_digest_is_of_weights_code_and_attributes() -> None:
    def made(seed: int = 0, **attributes: Any) -> str:
        torch.manual_seed(seed)
        return exporter.fingerprint(Net(**attributes))

    assert made() == made()
    assert made() != made(seed=1)
    assert made(factor=1.0) != made(factor=2.0)
    assert made(mean=torch.ones(3)) != made(mean=torch.zeros(3))
    assert made(forward=_branching) != made(forward=_counting)
    module = Net()
    assert exporter.fingerprint(module.train()) == exporter.fingerprint(module.eval())
    scripted = [torch.jit.script(nn.Linear(6, 3)) for _ in range(2)]
    assert exporter.fingerprint(scripted[0]) != exporter.fingerprint(scripted[1])


def test_too_large_for_one_file_is_a_row_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_onnx, "MOST_BYTES", 50)
    with pytest.raises(ExportFailed) as failure:
        replayed(Net(), ROWS, "onnx", tmp_path)
    assert "too large for one ONNX file" in str(failure.value.why)


@pytest.mark.parametrize(
    ("package", "format", "module"),
    [("onnx", "onnx", Net()), ("onnxscript", "onnx", Net(_branching)), ("safetensors", "torch", Net())],
)
def test_a_missing_package_is_named_with_the_command(
    package: str, format: str, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportFailed) as failure:
        replayed(module, ROWS, format, tmp_path)
    assert f"the package {package}" in str(failure.value.why)
    assert "pip install" in str(failure.value.why)


def test_a_module_on_another_device_is_exported_from_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no GPU here: the copy is made of a module that is said to be on one."""
    monkeypatch.setattr(torch_onnx, "device_of", lambda module: "cuda:0")
    module = Tied()
    exporter.write(module, "onnx", tmp_path / "m.onnx", np.zeros((4, 5), "int64"), read_sample(ROWS).signature)
    assert module.scores.weight is module.words.weight
    assert module.scores.weight.requires_grad


def test_weights_without_values_are_not_fitted() -> None:
    with pytest.raises(UnfittedModel, match="do not exist yet"):
        exporter.check_fitted(nn.Sequential(nn.LazyLinear(3)), "model")
    with pytest.raises(UnfittedModel, match="without values"):
        exporter.check_fitted(nn.Linear(2, 2, device="meta"), "model")
    with pytest.raises(BadInput, match="cannot answer"):
        exporter.check_fitted(nn.ModuleList([nn.Linear(2, 2)]), "model")


def test_the_model_of_a_cell_is_the_whole_network() -> None:
    encoder, loss = Net(), nn.CrossEntropyLoss()
    model = nn.Sequential(encoder, nn.Linear(3, 2))
    names = {"encoder": encoder, "loss": loss, "model": model}
    assert find_model(names, list(names))[0] == "model"


def test_the_signature_says_what_the_module_computes_in() -> None:
    signature = read_sample(ROWS).signature
    assert exporter.takes(Net(), signature).columns[0].dtype == "float32"
    assert exporter.takes(nn.Linear(6, 3).bfloat16(), signature).columns[0].dtype == "float32"
    assert exporter.takes(Net(), read_sample(np.ones((3, 2), int)).signature).columns[0].dtype == "int64"


@pytest.mark.parametrize(
    ("module", "sample", "words"),
    [
        (Net(), ROWS.astype(int), "of another kind"),
        (Net(), np.array([["a"] * 6]), "holds text"),
        (Net(lambda self, x: "yes"), ROWS, "a str"),
        (nn.Bilinear(6, 6, 2), {"input1": ROWS, "other": ROWS}, "input1, input2"),
    ],
)
def test_what_a_module_cannot_answer_is_said(module: Any, sample: Any, words: str) -> None:
    with pytest.raises(BadSample, match=words):
        exporter.live(module, sample)


def test_the_source_of_a_cells_class_is_known(notebook: Callable[..., dict[str, Any]]) -> None:
    cell = "x = 1\n\nclass Mine(nn.Module):\n    # a layer\n    def forward(self, x):\n        return x + 1\n\ny = 2\n"
    found = source_of(notebook(cell, nn=nn)["Mine"])
    assert found == "class Mine(nn.Module):\n    # a layer\n    def forward(self, x):\n        return x + 1\n"


def test_a_row_of_huge_scores_hides_no_change_of_class() -> None:
    output = Output(name="predictions", container="ndarray", dtype="float32", shape=(2,))
    live = [[1e6, -1e6], [1.0, 1.5], [2.0, 2.00001]]
    assert differing_rows(output, live, [[1e6, -1e6], [1.5, 1.0], [2.00001, 2.0]])[0] == (1,)
