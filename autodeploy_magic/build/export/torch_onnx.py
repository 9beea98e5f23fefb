"""A module as ONNX: traced (quick), or through torch.export where a trace would not be the module.

A trace holds what forward did with some rows. Where forward looked at their values, to branch or to count, torch warns,
and the trace is thrown away: it could be another model for other rows. It is made with another number of rows than the
version is verified with, so that a number of rows that was baked in shows there.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.build.export.quiet import quieted
from autodeploy_magic.build.export.torch_module import bytes_of, is_script, resting, tensors_of
from autodeploy_magic.build.export.torch_stream import add_weights
from autodeploy_magic.build.memory import available_bytes
from autodeploy_magic.errors import BrokenPackage, ExportFailed, MissingPackage
from autodeploy_magic.registry import need
from autodeploy_magic.wire.libraries.torch_call import Bound, Call, device_of, named_answers

__all__ = ["export"]

OPSET = 18
"""The newest that both of torch's exporters write without converting."""
MOST_BYTES = 2**31 - 2**26
"""A protobuf ends at 2 GiB; the graph around the weights needs some of it."""
LARGE_BYTES = 2**25
"""From where on the weights are not given to torch's exporter, which would hold them twice more."""
_MEMORY = 5
"""How many times its size a module may need besides, where torch.export writes it: measured 3.5."""
_TRACED_ROWS = 3
_LOUD = "_jit_onnx_log"
"""It prints the whole graph of what fails, past Python's own stdout, and torch cannot be told not to."""


def export(module: Any, path: Path, call: Call, x: Any) -> None:
    """Write `module`, as it answers `x`, to `path`. Raises `ExportFailed` with the reason for the candidates' table."""
    need("onnx", "writing a PyTorch model as ONNX")
    size = bytes_of(module)
    if size > MOST_BYTES:
        why = f"too large for one ONNX file: {_size(size)} of weights, and a file holds {_size(MOST_BYTES)}"
        raise ExportFailed("not exported", why=why)
    if call.dtype == "bfloat16":
        raise ExportFailed("not exported", why="onnxruntime computes no bfloat16 on a CPU")
    with resting(module), _quiet():
        module = _on_cpu(module)
        bound = call.bind(x)
        tensors = _some_rows(list(bound.tensors.values()))
        answers = named_answers(bound.give(module, [tensor.clone() for tensor in tensors]))
        inputs = list(bound.tensors)
        outputs = [f"{name}_out" if name in inputs else name for name in answers]
        graph = module if is_script(module) and bound.style == "order" else _graph(module, bound)
        reason = _traced(graph, tensors, path, inputs, outputs)
        if reason:
            path.unlink(missing_ok=True)
            if is_script(module):
                raise ExportFailed("not exported", why=reason)
            _exported(graph, tensors, path, inputs, outputs, reason)


def _traced(graph: Any, tensors: list[Any], path: Path, inputs: list[str], outputs: list[str]) -> str:
    """Write what a trace of `graph` shows; returns why it cannot be trusted, "" where it can."""
    import torch

    axes = {name: {0: "rows"} for name in (*inputs, *outputs)}
    large = bytes_of(graph) >= LARGE_BYTES and not is_script(graph)
    more: dict[str, Any] = {}
    if large:  # nothing is computed of the weights before they are written: onnxruntime does it when it loads them
        mode = need("torch.onnx", "writing a PyTorch model as ONNX").TrainingMode.PRESERVE
        more = {"export_params": False, "do_constant_folding": False, "training": mode}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            torch.onnx.export(
                graph,
                tuple(tensors),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=axes,
                **more,
            )
            if large:
                add_weights(path, graph.state_dict(keep_vars=True), inputs)
        except Exception as error:  # noqa: BLE001  # the exporter may raise anything; what it says is kept
            return f"traced: {first_words(error)}"
    # torch's own layers look at shapes alone, to check them
    own = str(Path(torch.__file__).parent)
    others = [item for item in said if not item.filename.startswith(own)]
    doubted = any(item.category.__name__ == "TracerWarning" for item in others)
    return "forward depends on the values it is given" if doubted else ""


def _exported(graph: Any, tensors: list[Any], path: Path, inputs: list[str], outputs: list[str], reason: str) -> None:
    """Write what torch.export makes of `graph`, which refuses what it cannot hold for all rows."""
    import torch

    if bytes_of(graph) * _MEMORY > available_bytes():
        raise ExportFailed("not exported", why=f"{reason}; torch.export would need more memory than is free")
    try:
        need("onnxscript", "writing this PyTorch model as ONNX")
        rows = torch.export.Dim("rows")
        program = torch.onnx.export(
            graph,
            tuple(tensors),
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes={"tensors": tuple({0: rows} for _ in tensors)},
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)
    except (MissingPackage, BrokenPackage) as error:
        raise ExportFailed("not exported", why=f"{reason}; {error.what}, {error.why}: {error.fix}") from error
    except Exception as error:
        path.unlink(missing_ok=True)
        cause = error.__cause__ or error
        raise ExportFailed("not exported", why=f"{reason}; torch.export: {first_words(cause)}") from error


def _graph(module: Any, bound: Bound) -> Any:
    """A module around `module` from tensors to tensors, in the order of inputs and outputs."""
    import torch

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.training = False  # alone: that of the module is `resting`

        def forward(self, *tensors: Any) -> Any:
            return tuple(named_answers(bound.give(self.module, tensors)).values())

    return Graph()


def _some_rows(tensors: list[Any]) -> list[Any]:
    """Another number of rows than there are, the same ones again where these are few."""
    import torch

    rows = {len(tensor) if tensor.ndim else 0 for tensor in tensors}
    count = rows.pop()
    if rows or not count:
        raise ExportFailed("not exported", why="its inputs have not as many rows each")
    wanted = _TRACED_ROWS if count != _TRACED_ROWS else _TRACED_ROWS - 1
    chosen = torch.arange(wanted) % count
    return [tensor[chosen] for tensor in tensors]


def _on_cpu(module: Any) -> Any:
    """The module, or its like with weights on the CPU: the person's stays where it is."""
    import torch

    if torch.device(device_of(module)).type == "cpu":
        return module
    copies: dict[int, Any] = {}
    for tensor in tensors_of(module).values():
        plain = tensor.detach().cpu()
        copies[id(tensor)] = torch.nn.Parameter(plain, False) if isinstance(tensor, torch.nn.Parameter) else plain
    return copy.deepcopy(module, copies)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters say to those who call them, here and on the person's screen.

    And without the fused kernels of torch's own transformers, which no exporter knows.
    """
    import torch

    fused = torch.backends.mha.get_fastpath_enabled()
    say = getattr(torch._C, _LOUD, None)  # noqa: SLF001
    loggers = ("torch", "torch.onnx", "torch.export", "torch.fx", "onnxscript")
    with quieted(*loggers), contextlib.redirect_stderr(io.StringIO()):
        torch.backends.mha.set_fastpath_enabled(False)
        setattr(torch._C, _LOUD, lambda *_: None)  # noqa: SLF001
        try:
            yield
        finally:
            setattr(torch._C, _LOUD, say)  # noqa: SLF001
            torch.backends.mha.set_fastpath_enabled(fused)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.1f} MB"
