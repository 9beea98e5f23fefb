"""What a replica has recorded, and the labels that it was given, until whoever keeps them has written them down.

In memory alone: nothing of a request stays on the disk of a machine in the cluster, whatever ends the replica. Where
nobody fetches, or not fast enough, the oldest requests are given up and counted; labels are not taken any more.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from autodeploy_magic.reservoir.labels import Accepted, Label
from autodeploy_magic.reservoir.records import Recorded

__all__ = ["LABEL", "REQUEST", "Item", "Outbox", "Push"]

log = logging.getLogger(__name__)

REQUEST, LABEL = "request", "label"
Item = tuple[int, str, bytes]
"""Its number in the outbox, from 1 on; which of the two it is; and the record as JSON.

A request's is that of `Recorded`. A label's is of its request, row, label (a text with JSON), source, and when it was
given, in seconds since the epoch.
"""
Push = Callable[[str, list[Item]], dict[str, Any]]
"""`Mailbox.push_items` of the mailbox that is there now, given the epoch and items."""
MOST_BYTES = 8 * 1024 * 1024
MOST_LABEL_BYTES = 2 * 1024 * 1024


class Outbox:
    """Takes records by one thread and labels by another, and gives them to a third."""

    def __init__(self) -> None:
        self.lost = 0
        """Requests that were taken and given up."""
        self._items: deque[Item] = deque()
        self._bytes = {REQUEST: 0, LABEL: 0}
        self._number = 0
        self._epoch = ""
        self._through = 0
        self._brought: deque[int] = deque()  # those that were let go with the mailbox holding them alone
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many records it has taken."""
        return self._number

    def write(self, recorded: Sequence[Recorded]) -> bool:
        """Take requests; see `sampling.Writing`."""
        for request in recorded:
            try:
                data = msgspec.json.encode(request)
            except (TypeError, ValueError, OverflowError) as error:
                log.warning("request %s cannot be told: %s", request.id, error)
                with self._lock:
                    self.lost += 1
                continue
            with self._lock:
                self._put(REQUEST, data)
                while self._bytes[REQUEST] > MOST_BYTES:
                    self._give_up()
        return True

    def add(self, labels: Sequence[Label], now_s: float) -> Accepted:
        """Take labels; see `reservoir.labels.AddLabels`.

        What is known of their requests is known elsewhere: here all are new, and of no request that is on record.
        """
        made = [
            msgspec.json.encode((one.request, one.row, json.dumps(one.label, ensure_ascii=False), one.source, now_s))
            for one in labels
        ]
        with self._lock:
            if self._bytes[LABEL] + sum(map(len, made)) > MOST_LABEL_BYTES:
                raise OSError("too many labels wait to be fetched by the machine that keeps them")
            for data in made:
                self._put(LABEL, data)
        return Accepted(new=len(made), changed=0, same=0, unmatched=len(made))

    def bring(self, push: Push, most_bytes: int) -> tuple[bool, str]:
        """Bring the next ones to the mailbox, and let go of those that are written down, by one thread.

        Returns whether there may be more to bring now, and the key that hashes are made with, "" where there is none.
        Raises what `push` does, and then brings the same ones the next time.
        """
        told = push(self._epoch, self._after(self._through, most_bytes))
        with self._lock:
            moved = (told["epoch"], told["through"]) != (self._epoch, self._through)
            if told["epoch"] != self._epoch:
                self.lost += len(self._brought)
                self._brought.clear()
            self._epoch, self._through = told["epoch"], told["through"]
            self._release(told["fetched"])
        return moved, told["key"]

    def close(self) -> None:
        """What is in it stays to be brought."""

    def _after(self, number: int, most_bytes: int) -> list[Item]:
        """The next ones after a number, oldest first: about so many bytes at most, and one at least."""
        found: list[Item] = []
        size = 0
        with self._lock:
            for item in self._items:
                if item[0] <= number:
                    continue
                size += len(item[2])
                if found and size > most_bytes:
                    break
                found.append(item)
        return found

    def _release(self, number: int) -> None:
        """Those up to a number are written down elsewhere."""
        while self._items and self._items[0][0] <= number:
            _, kind, data = self._items.popleft()
            self._bytes[kind] -= len(data)
        while self._brought and self._brought[0] <= number:
            self._brought.popleft()

    def _put(self, kind: str, data: bytes) -> None:
        self._number += 1
        self._items.append((self._number, kind, data))
        self._bytes[kind] += len(data)

    def _give_up(self) -> None:
        """Let the oldest request go. One that the mailbox has is lost only if that is."""
        place = next(i for i, item in enumerate(self._items) if item[1] == REQUEST)
        number, _, data = self._items[place]
        self._bytes[REQUEST] -= len(data)
        del self._items[place]
        if number <= self._through:
            self._brought.append(number)
        else:
            self.lost += 1
