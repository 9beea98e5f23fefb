"""Rows that a re-tune works with: as requests had them, as the live object takes them, and as files."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Signature
from autodeploy_magic.wire import decode, to_container

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """Rows of one signature. `inputs` are JSON values as `POST /predict` takes them (rows, or columns by name).

    `labels` are their true answers as JSON values, () where there are none; `at_s` when each was asked, in seconds
    since the epoch, 0.0 where nobody knows; both of length `count`. `source` says where they are from, in words.
    """

    signature: Signature
    inputs: Any
    count: int
    labels: tuple[Any, ...] = ()
    at_s: tuple[float, ...] = ()
    source: str = ""

    def x(self) -> Any:
        """The rows in the container that the live object (or the person's preprocess) takes, made anew each time."""
        return to_container(decode(self.signature, self.inputs))

    def y(self) -> Any:
        """The labels as a numpy array: of numbers, truths or texts where they are all of one kind, else of objects."""
        import numpy as np

        found = np.asarray(self.labels)
        return found if found.shape[:1] == (self.count,) else np.array(self.labels, dtype=object)

    def taken(self, positions: Sequence[int]) -> Rows:
        """Those at `positions`, in that order."""
        inputs = (
            {name: [values[i] for i in positions] for name, values in self.inputs.items()}
            if isinstance(self.inputs, dict)
            else [self.inputs[i] for i in positions]
        )
        return Rows(
            self.signature,
            inputs,
            len(positions),
            tuple(self.labels[i] for i in positions) if self.labels else (),
            tuple(self.at_s[i] for i in positions) if self.at_s else (),
            self.source,
        )

    def write(self, file: Path) -> None:
        """Write them as gzipped JSON."""
        content = {
            "inputs": self.inputs,
            "count": self.count,
            "labels": list(self.labels),
            "at_s": list(self.at_s),
            "source": self.source,
        }
        file.write_bytes(gzip.compress(msgspec.json.encode(content), 1))

    @classmethod
    def read(cls, file: Path, signature: Signature) -> Rows:
        """Read what `write` wrote. Raises `OSError` or `ValueError`."""
        found = msgspec.json.decode(gzip.decompress(file.read_bytes()))
        return cls(
            signature, found["inputs"], found["count"], tuple(found["labels"]), tuple(found["at_s"]), found["source"]
        )
