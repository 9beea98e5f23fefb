"""Tensors as containers, and containers as the arguments of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from autodeploy_magic.errors import BadSample
from autodeploy_magic.wire.libraries.torch import library
from autodeploy_magic.wire.libraries.torch_call import call_of, named_answers

NUMBERS = torch.arange(6, dtype=torch.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NUMBERS.clone().requires_grad_(),
        lambda: NUMBERS.detach().bfloat16(),
        lambda: NUMBERS.detach().to_sparse(),
        lambda: torch._make_per_tensor_quantized_tensor((NUMBERS.detach() * 2).to(torch.int8), 0.5, 0),
        lambda: NUMBERS.detach().T.contiguous().T,
        (NUMBERS.detach() * 1j).conj().imag.neg,
    ],
    ids=["with gradients", "bfloat16", "sparse", "quantised", "columns first", "a view that is not resolved"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_tensor_of_any_kind_becomes_an_array(make: Callable[[], Any]) -> None:
    assert np.array_equal(library.to_plain(make()), np.arange(6, dtype="float32").reshape(2, 3))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.arange(6, dtype="float32")[::-1].reshape(2, 3)[::-1, ::-1],
        np.frombuffer(np.arange(6, dtype="float32").tobytes(), "float32").reshape(2, 3),
    ],
    ids=["the other byte order", "backwards", "read only"],
)
def test_an_array_of_any_kind_becomes_a_tensor(array: Any) -> None:
    found = library.from_plain(array)
    assert torch.equal(found, NUMBERS)
    found.add_(1)  # which warns, or fails, where it cannot be written to


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, left: Any, right: Any, scale: float = 1.0) -> Any:
        return left + right


class Dict(Two):
    def forward(self, batch: dict[str, Any]) -> Any:  # type: ignore[override]
        return batch["left"]


COLUMNS = {"left": np.ones(3), "right": np.zeros(3)}


@pytest.mark.parametrize(
    ("module", "x", "style", "names"),
    [
        (Two(), COLUMNS, "names", ["left", "right"]),
        (Two(), {"right": np.ones(3), "left": np.ones(3)}, "names", ["right", "left"]),
        (Two(), {"a": np.ones(3), "b": np.ones(3)}, "order", ["a", "b"]),
        (Two(), (np.ones(3), np.ones(3)), "order", ["input_0", "input_1"]),
        (Dict(), COLUMNS, "mapping", ["left", "right"]),
        (nn.Linear(2, 1), COLUMNS, "order", ["inputs"]),
        (nn.Linear(2, 1), pd.DataFrame(COLUMNS), "order", ["inputs"]),
        (nn.Linear(2, 1), {"any": np.ones((3, 2))}, "order", ["any"]),
        (nn.Linear(2, 1), [[1.0, 2.0]], "order", ["inputs"]),
        (nn.Linear(2, 1), [torch.ones(2), torch.ones(2)], "order", ["inputs"]),
    ],
)
def test_rows_become_arguments(module: Any, x: Any, style: str, names: list[str]) -> None:
    bound = call_of(module).bind(x)
    assert (bound.style, list(bound.tensors)) == (style, names)
    assert {tensor.dtype for tensor in bound.tensors.values()} == {torch.float32}


def test_columns_that_are_no_arguments_are_refused() -> None:
    with pytest.raises(BadSample, match="left, right"):
        call_of(Two()).bind({"left": np.ones(3), "wrong": np.ones(3)})


def test_what_is_given_is_never_written_to() -> None:
    given = np.ones((2, 3), "float32")
    call_of(nn.ReLU()).bind(given).tensors["inputs"].zero_()
    assert given.all()


def test_answers_have_names() -> None:
    one, two = torch.ones(2), torch.zeros(2)
    assert list(named_answers((one, (two, None, two)))) == ["predictions", "output_1", "output_2"]
    assert list(named_answers({"logits": one, "hidden": {"last": two}})) == ["predictions", "hidden_last"]
    assert list(named_answers({"hidden": one, "predictions": two, "id": one})) == ["predictions", "hidden", "output_2"]
    with pytest.raises(BadSample, match="no tensor"):
        named_answers(())
