"""An incident's request, as the code of a cell that sends it through the live object again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Incident
from autodeploy_magic.reservoir import Recorded

__all__ = ["cell", "request_of"]

AROUND_S = 60.0
"""A request belongs to an incident that was opened at most so long after it."""


def request_of(incident: Incident, recorded: Sequence[Recorded]) -> str:
    """The id of the request that shows it: the one that the detector named, else the last that failed before it.

    `recorded` are failed requests, newest first. Raises `InvalidOption` where there is none.
    """
    if incident.request:
        return incident.request
    until = incident.closed_s or incident.opened_s + AROUND_S
    for one in recorded:
        if incident.opened_s - AROUND_S <= one.at_s <= until:
            return one.id
    raise InvalidOption(
        f"incident {incident.id} has no request that failed",
        why="it is about the deployment as a whole, or nothing was recorded",
        fix=f"`%deploy logs {incident.name}` shows what its workers wrote",
    )


def cell(incident: Incident, request: Recorded, hidden: Sequence[str] = ()) -> str:
    """The code. It takes the request from the deployment's own record, so that types and gaps are as they were.

    Of rows with columns that are not kept (`hidden`) it shows what there is, and leaves the rest to the person.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(request.at_s))
    failed = f"answered {request.status}" + (f": {request.error}" if request.error else "")
    lines = [
        _comment(f"{incident.name}, incident {incident.id}: {incident.text}"),
        _comment(f"the request {request.id}, {when}, v{request.version}, was {failed}"),
        "import autodeploy_magic as ad",
        "",
        f'sent = ad.attach("{incident.name}").recorded({json.dumps(request.id)})',
        "sent.inputs  # the rows, as your model takes them" if request.inputs is not None else "sent.body",
    ]
    if hidden:
        lines[-1:] = [_comment(f"not kept as they were: {', '.join(hidden)}"), "sent.inputs"]
    elif request.inputs is not None:
        lines[-1:] = ["display(sent.inputs)  # the rows, as your model takes them", "model.predict(sent.inputs)"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """A text as a comment of one line, whatever it holds: what an error says may come from who sent the request."""
    return "# " + " ".join("".join(c if c.isprintable() else " " for c in text).split())
