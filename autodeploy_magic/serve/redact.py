"""What a person does not want to be kept: columns that are dropped or hashed, answers, and part of the requests.

It is done to the record of a request, in the thread that writes it: the road pays nothing for it, and what is not to be
kept never reaches the disk.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Signature
from autodeploy_magic.reservoir.hidden import DROPPED, HASHED, named, names_of
from autodeploy_magic.reservoir.records import Recorded
from autodeploy_magic.store import write_atomic

__all__ = ["KEY_FILE", "Redaction", "brief", "record_key"]

KEY_FILE = "record.key"
"""Beside the record: the key of the hashes, which its owner alone can read."""
DIGITS = 16
"""Of 64: 64 bits, of which two values have the same once in four thousand million different ones, about."""

_CAUSE = re.compile(r"(.*?: [A-Za-z_]\w*): .*", re.DOTALL)


@dataclass(frozen=True)
class Redaction:
    """What is left out of records. `key` makes hashes that nobody can look up who does not have it.

    A request that failed is kept without what was sent, and its error without its message, where columns are left out:
    both may quote any value.
    """

    drop: frozenset[str] = frozenset()
    hash: frozenset[str] = frozenset()
    answers: bool = True
    key: bytes = b""

    @classmethod
    def from_settings(cls, path: Path, key: bytes = b"") -> Redaction | None:
        """The one that the settings ask for; None where records are kept whole.

        `path` is the record's file, beside which the key of hashes is, where it is not given.
        """
        drop, hashed = (frozenset(named(str(settings.get(f"record_{name}")))) for name in ("drop", "hash"))
        answers = settings.get("record") != "inputs"
        if answers and not drop and not hashed:
            return None
        return cls(drop, hashed - drop, answers, (key or record_key(path)) if hashed else b"")

    def cleaned(self, request: Recorded, signature: Signature) -> Recorded:
        """The record as it may be kept."""
        if not self.answers:
            request = request._replace(outputs={}, confidence=())
        if not self.drop and not self.hash:
            return request
        return request._replace(inputs=self._inputs(request.inputs, signature), error=brief(request.error), body="")

    def _inputs(self, inputs: Any, signature: Signature) -> Any:
        """The inputs without what is not to be kept; None where nothing is left of them."""
        names = names_of(signature)
        touched = [name for name in names if name in self.drop or name in self.hash]
        if inputs is None or not touched:
            return inputs
        if all(name in self.drop for name in names):
            return None
        if isinstance(inputs, Mapping):
            return {
                name: [self._hashed(value) for value in values] if name in self.hash else values
                for name, values in inputs.items()
                if name not in self.drop
            }
        if not isinstance(inputs, Sequence):
            return None
        if signature.columns[0].shape == ():
            return [self._hashed(value) for value in inputs]
        places = {i: name in self.drop for i, name in enumerate(names) if name in touched}
        return [self._row(row, places) for row in inputs]

    def _row(self, row: Any, places: Mapping[int, bool]) -> list[Any]:
        found = list(row)
        for i, dropped in places.items():
            found[i] = DROPPED if dropped else self._hashed(found[i])
        return found

    def _hashed(self, value: Any) -> str:
        """Equal values have the same; HMAC with SHA-256 (RFC 2104), cut."""
        return HASHED + hmac.new(self.key, msgspec.json.encode(value), hashlib.sha256).hexdigest()[:DIGITS]


def brief(error: str) -> str:
    """What failed, and the kind of its cause: "the model failed on these inputs: ValueError"."""
    found = _CAUSE.fullmatch(error)
    return found[1] if found is not None else error


def record_key(path: Path) -> bytes:
    """The deployment's own key, beside its record's file `path`; made where there is none.

    Of several workers that make one at once, one wins.
    """
    file = path.with_name(KEY_FILE)
    if not file.exists():
        write_atomic(file, secrets.token_bytes(32), replace=False)
    return file.read_bytes()
