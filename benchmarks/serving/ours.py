"""Our own deployments, made by `ad.deploy` as a person makes them: token, validation, limits and recording are on."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

import autodeploy_magic as ad
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
from serving import cores
from serving.cores import ANYWHERE, Cores
from serving.job import Exchange, post
from serving.servers import Server

__all__ = ["Ours", "background", "binary", "deployed", "quietly", "rows", "tensor_json"]


class Ours:
    """One deployment that is measured."""

    def __init__(self, handle: ad.Deployment) -> None:
        self.handle = handle
        self.name = handle.name
        self.port = urlsplit(handle.url).port or 0
        self.authorization = {"Authorization": f"Bearer {handle.token}"}

    @property
    def model_file(self) -> Path:
        """The file that its workers have loaded: peers are given the same."""
        store = Store()
        version = store.version(self.name, self.handle.version)
        name = next(item.path for item in version.artifacts if (item.role, item.format) == ("model", version.format))
        return store.folder(self.name) / version.model_path / name

    def workers(self) -> list[int]:
        """The processes that serve now."""
        return [worker.pid for worker in self.handle.status.workers if worker.ready]

    def server(self, label: str, *exchanges: Exchange, name: str = "") -> Server:
        """A line of a table. What it costs is the worker, the supervisor and the zygote together."""
        return Server(name or self.name, label, self.port, exchanges, self._roots, pauses=False)

    def _roots(self) -> Sequence[int]:
        return [*background(), *self.workers()]


@contextmanager
def deployed(
    name: str,
    model: Any,
    sample: Any,
    *,
    where: Cores = ANYWHERE,
    workers: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Ours]:
    """Deploy, and remove it afterwards. `settings` are environment variables, as a person would set them."""
    before = {key: os.environ.get(key) for key in settings or {}}
    os.environ.update(settings or {})
    try:
        with cores.on(where.server):
            handle = ad.deploy(model, name, sample, workers=workers, quiet=True)
    finally:
        for key, value in before.items():
            del os.environ[key]
            if value is not None:
                os.environ[key] = value
    try:
        yield Ours(handle)
    finally:
        handle.rm()


def quietly(verb: Callable[..., Any], *arguments: Any) -> None:
    """Call a method of a handle without the lines that it prints of its progress."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        verb(*arguments)


def background() -> list[int]:
    """The processes that serve no requests: the supervisor, and its zygotes."""
    said = connect(Store(), start=False).ping()
    return [int(said["pid"]), *map(int, said["zygotes"].values())]


def rows(ours: Ours, inputs: Any, value: object, *, within: float = 1e-3) -> Exchange:
    """`POST /predict` with rows as JSON."""
    body = msgspec.json.encode({"inputs": inputs})
    request = post("/predict", body, headers=ours.authorization)
    return Exchange(request, value, at=("predictions",), within=within)


def binary(ours: Ours, tensor: np.ndarray[Any, Any], value: Sequence[float]) -> Exchange:
    """The Open Inference Protocol's binary form, as Triton's client words it: a JSON head, then the bytes."""
    data = np.ascontiguousarray(tensor, "<f4").tobytes()
    head = msgspec.json.encode(
        {
            "inputs": [{**_tensor(tensor), "parameters": {"binary_data_size": len(data)}}],
            "outputs": [{"name": "predictions", "parameters": {"binary_data": True}}],
        }
    )
    request = post(
        f"/v2/models/{ours.name}/infer",
        head + data,
        content_type="application/octet-stream",
        headers={**ours.authorization, "Inference-Header-Content-Length": str(len(head))},
    )
    return Exchange(request, list(value), floats=True)


def tensor_json(ours: Ours, tensor: np.ndarray[Any, Any], value: Sequence[float]) -> Exchange:
    """The Open Inference Protocol's JSON form."""
    body = msgspec.json.encode({"inputs": [{**_tensor(tensor), "data": tensor.reshape(-1).tolist()}]})
    request = post(f"/v2/models/{ours.name}/infer", body, headers=ours.authorization)
    return Exchange(request, list(value), at=("outputs", 0, "data"))


def _tensor(tensor: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"name": "inputs", "shape": list(tensor.shape), "datatype": "FP32"}
