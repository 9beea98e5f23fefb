"""`POST /feedback`: the true answers to requests, by the ids that they were answered with.

They may come at any time, several times, and before their request is written down. A label that follows another of the
same row replaces it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic.errors import BodyTooLarge, InvalidInputs, RequestRefused, Unavailable
from autodeploy_magic.reservoir.labels import Accepted, AddLabels, Label, add_labels
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route, feedback_operation
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_full
from autodeploy_magic.wire.fields import describe_kind

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["ID_LENGTH", "Feedback"]

ID_LENGTH = 200
"""Characters of a request's id; ours have 32."""
_FIX = 'send {"id": "…", "labels": [label, …]}, one label for each row, null where it is not known'


class One(msgspec.Struct, forbid_unknown_fields=True):
    """{"id": the request's, "labels": one for each of its rows}"""

    id: str
    labels: list[Any]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The same, or {"feedback": several of them}"""

    id: str | msgspec.UnsetType = msgspec.UNSET
    labels: list[Any] | msgspec.UnsetType = msgspec.UNSET
    feedback: list[One] | msgspec.UnsetType = msgspec.UNSET


class Feedback:
    """Labels into the deployment's file, from a thread of its own."""

    def __init__(self, road: Road) -> None:
        self._add = partial(add_labels, road.requests) if isinstance(road.requests, Path) else road.requests
        self._most = road.served.max_rows
        self._operation = partial(feedback_operation.feedback, road)
        self._decoder = msgspec.json.Decoder(Body)
        self._thread: ThreadPoolExecutor | None = None

    def routes(self) -> Sequence[Route]:
        """None where there is nothing that takes them."""
        if self._add is None:
            return []
        return [Route("POST", "/feedback", self._feedback, frozenset({JSON}), operation=self._operation)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    async def _feedback(self, request: Request) -> Answer:
        labels = list(self._labels(parse(self._decoder, request.body, _FIX)))
        assert self._add is not None
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "feedback")
        accepted = await asyncio.get_running_loop().run_in_executor(self._thread, _written, self._add, labels)
        return Answer(msgspec.json.encode(accepted._asdict()))

    def _labels(self, body: Body) -> Iterator[Label]:
        """What is said of single rows. Raises `RequestRefused`."""
        several, unset = body.feedback is not msgspec.UNSET, msgspec.UNSET
        if several == (body.id is not unset or body.labels is not unset):
            raise InvalidInputs("the body does not say of which request the labels are", fix=_FIX, field="body")
        if not isinstance(body.feedback, msgspec.UnsetType):
            given = [(f"feedback[{i}].", one) for i, one in enumerate(body.feedback)]
        elif not isinstance(body.id, msgspec.UnsetType) and not isinstance(body.labels, msgspec.UnsetType):
            given = [("", One(body.id, body.labels))]
        else:
            raise InvalidInputs("the body has no id, or no labels", fix=_FIX, field="body")
        if sum(len(one.labels) for _, one in given) > self._most:
            raise BodyTooLarge(
                f"the body has more than {self._most} labels",
                fix=f"send them in parts of at most {self._most}",
                field="feedback" if several else "labels",
            )
        for where, one in given:
            if not 0 < len(one.id) <= ID_LENGTH:
                raise InvalidInputs(
                    f"{where}id is no id of a request",
                    why=f"it has {len(one.id)} characters",
                    fix="send the id that its answer had",
                    field=f"{where}id",
                )
            for row, label in enumerate(one.labels):
                if not _is_label(label):
                    raise InvalidInputs(
                        f"{where}labels[{row}] is {describe_kind(label)}, which is no answer to a row",
                        fix="send a number, a text, true or false, a list of these, or null where it is not known",
                        field=f"{where}labels[{row}]",
                    )
                if label is not None:
                    yield Label(one.id, row, label)


def _is_label(value: Any) -> bool:
    """Whether it is a JSON scalar, or a list of them."""
    return not any(isinstance(item, dict | list) for item in (value if isinstance(value, list) else [value]))


def _written(add: AddLabels, labels: list[Label]) -> Accepted:
    try:
        return add(labels, time.time())
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(
            "the labels could not be written down, and none of them was",
            why=str(error),
            fix="send them again later; the owner can free some space on the disk of the deployment",
        ) from error
