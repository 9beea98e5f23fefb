"""A row of the sample, sent as a client would."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from autodeploy_magic import tls
from autodeploy_magic.address import address_of
from autodeploy_magic.calling.compare import close
from autodeploy_magic.calling.http import ANSWER_TIMEOUT_S, Connection
from autodeploy_magic.calling.snippets import first_rows, sample_of
from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.live import Probe
from autodeploy_magic.store import Store

__all__ = ["as_verified", "connection_to", "probe"]

_MOST_ROWS = 1000


def connection_to(store: Store, desired: Desired, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Connection:
    """Return a connection that sends the deployment's token, and trusts its certificate."""
    token = store.token(desired.name) if desired.auth else ""
    trusted = tls.trusted_file(desired.tls, store.tls_folder(desired.name)) if desired.tls else None
    return Connection(desired.name, address_of(desired), token, trusted=trusted, timeout_s=timeout_s)


def probe(store: Store, desired: Desired, rows: int = 1) -> Probe:
    """Send the first `rows` of the champion's sample, over a connection of its own.

    What the deployment refuses or fails at is the answer, with its status; raises `StartFailed` where nobody answers.
    """
    version = store.version(desired.name, desired.version)
    rows = min(max(rows, 1), _MOST_ROWS)
    request = {"inputs": first_rows(sample_of(store, version), rows)}
    connection = connection_to(store, desired)
    started = time.perf_counter()
    try:
        answer = connection.post("/predict", request)
    except RequestRefused as refused:
        took = time.perf_counter() - started
        return Probe(status=refused.status, seconds=took, request=request, answer=refused.to_payload())
    finally:
        connection.close()
    took = time.perf_counter() - started
    return Probe(
        status=200,
        seconds=took,
        request=request,
        answer=answer,
        version=answer["version"],
        as_verified=as_verified(store, version, rows, answer),
    )


def as_verified(store: Store, version: Version, rows: int, answer: Mapping[str, Any]) -> bool | None:
    """Whether the answer to the first `rows` of the sample is what was verified; None where nothing can be compared."""
    file = store.version_folder(version.deployment, version.number) / "expected.json"
    if answer["version"] != version.number or not file.is_file():
        return None
    expected = json.loads(file.read_text("utf-8"))["predictions"]
    predictions = next(output for output in version.outputs if output.name == "predictions")
    return close(expected[:rows], answer["predictions"]) if predictions.per_row else None
