"""The same model behind BentoML's own road: what a generated `service.py` imports.

Stock `bentoml serve` gives the answers that our own worker gives; the token, the limits and the recording are the
worker's, and a Bento that is served without it is protected by whatever stands before it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.model import ServedModel

if TYPE_CHECKING:
    import bentoml

__all__ = ["answer", "error_body", "load_served", "share"]

_loaded: dict[str, ServedModel] = {}


def load_served(folder: str) -> ServedModel:
    """The version in `folder`, loaded once in a process."""
    served = _loaded.get(folder)
    if served is None:
        served = _loaded[folder] = ServedModel.load(Path(folder))
    return served


def share(served: ServedModel) -> None:
    """Let BentoML's road answer with what the fast road has loaded, and with nothing else."""
    _loaded.clear()
    _loaded[str(served.folder)] = served


def answer(served: ServedModel, inputs: Any, outputs: Sequence[str] | None, context: bentoml.Context) -> dict[str, Any]:
    """Answer a request that came by BentoML's road, with the status in its context where it is refused."""
    request_id = uuid.uuid4().hex
    try:
        return {**served.predict(inputs, outputs), "id": request_id, "version": served.version.number}
    except RequestRefused as error:
        context.response.status_code = error.status
        return error_body(error, request_id)


def error_body(error: RequestRefused, request_id: str) -> dict[str, Any]:
    """What a refused request gets: the same on every road."""
    body = {"error": type(error).__name__, "message": error.what, "id": request_id}
    if error.field is not None:
        body["field"] = error.field
    if error.why:
        body["why"] = error.why
    if error.fix:
        body["fix"] = error.fix
    return body
