"""Execution providers: what of the machine runs an ONNX model, and how each is set up.

Those that the installed onnxruntime was built with and that a model can gain by are tried when a version is built; the
fastest that answers alike is kept in its record. Where that device is gone, the CPU answers instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic import settings

__all__ = ["CPU", "PROVIDERS", "Provider", "available", "fell_back", "session"]

CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """One of onnxruntime's execution providers. `options` are made from the number of threads that one run may use.

    `keeps_threads` says that it has a pool of its own: onnxruntime's then has one thread, and they do not compete.
    """

    name: str
    title: str
    options: Callable[[int], dict[str, str]] = lambda threads: {}
    keeps_threads: bool = False


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "CUDAExecutionProvider",
            "CUDA",
            # The arena grows by what is asked for and not to the next power of two, so that several workers share a
            # card; searching for the best convolution takes seconds for every new number of rows.
            lambda threads: {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"},
        ),
        Provider("MIGraphXExecutionProvider", "MIGraphX"),
        Provider("CoreMLExecutionProvider", "Core ML", lambda threads: {"ModelFormat": "MLProgram"}),
        Provider("DmlExecutionProvider", "DirectML"),
        Provider(
            "OpenVINOExecutionProvider",
            "OpenVINO",
            lambda threads: {"device_type": "CPU", "num_of_threads": str(threads), "precision": "FP32"},
            keeps_threads=True,
        ),
        Provider(
            "XnnpackExecutionProvider",
            "XNNPACK",
            lambda threads: {"intra_op_num_threads": str(threads)},
            keeps_threads=True,
        ),
    )
}
"""Those that are tried. TensorRT compiles for minutes per shape; QNN and the like want models made for them."""


def available() -> list[str]:
    """The names of those that this onnxruntime has."""
    onnxruntime = _onnxruntime()
    had = set(onnxruntime.get_available_providers())
    return [name for name in PROVIDERS if name in had]


def session(path: Path, provider: str, threads: int) -> tuple[Any, str]:
    """An `InferenceSession` of the model in `path`, run by `provider` ("" is the CPU), or by the CPU where that cannot.

    Also returns why the CPU stands in, "" where it does not. `threads` is how many one run may use.
    """
    onnxruntime = _onnxruntime()
    why = ""
    kind = PROVIDERS.get(provider)
    if kind is not None and provider in onnxruntime.get_available_providers():
        wanted = [(kind.name, kind.options(threads)), CPU]
        try:
            found = onnxruntime.InferenceSession(str(path), _options(threads, kind), providers=wanted)
        except Exception as error:  # noqa: BLE001  # a driver may fail in any way: the CPU is what all machines have
            why = f"{kind.title} cannot run this model: {_first_line(error)}"
        else:
            if found.get_providers()[0] == provider:
                return found, ""
            why = f"{kind.title} cannot run this model here"
    elif provider:
        why = f"this machine's onnxruntime has no {kind.title if kind else provider}"
    return onnxruntime.InferenceSession(str(path), _options(threads, None), providers=[CPU]), why


def fell_back(session: Any, error: Exception) -> bool:
    """Whether what a run raised may be its device's fault: then the CPU is worth a try."""
    return session.get_providers()[0] != CPU and type(error).__module__.startswith("onnxruntime")


def _options(threads: int, provider: Provider | None) -> Any:
    options = _onnxruntime().SessionOptions()
    options.intra_op_num_threads = 1 if provider is not None and provider.keeps_threads else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A plan of the memory for each number of rows that was ever asked for: no quicker, and 1.5 times the memory.
    options.enable_mem_pattern = False
    # Spinning threads burn a core between requests, and gain something only where a run wakes several of them.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(bool(settings.get("spinning")))))
    return options


def _onnxruntime() -> Any:
    # It reports each model to its maker otherwise, by a thread that it starts at import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
