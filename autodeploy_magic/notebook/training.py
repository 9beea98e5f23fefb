"""Training rows that a person gives for re-tuning: checked against the version's signature, and kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import InvalidInputs, InvalidOption
from autodeploy_magic.registry import load

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Version
    from autodeploy_magic.store import Store

__all__ = ["MOST_ROWS", "keep_training"]

MOST_ROWS = 50_000
"""More are thinned out, evenly: so many train every model that is re-tuned within minutes."""

_ROWS = "autodeploy_magic.operate.retune.rows:Rows"


def keep_training(store: Store, version: Version, data: Any, labels: Any) -> str:
    """Keep rows and their labels for this re-tune and later ones, in the place of earlier ones; say what was kept.

    A label that is missing leaves its row out. Raises `InvalidOption`, and `InvalidInputs` naming the field of a row
    that does not have the version's signature.
    """
    from autodeploy_magic.build.sample import take
    from autodeploy_magic.wire import decode, to_plain, to_request
    from autodeploy_magic.wire.libraries import from_library

    data = from_library(data)
    truths = _labels(labels)
    total = _rows(data)
    if total != len(truths):
        raise InvalidOption(
            f"--data has {total:,} rows and --labels {len(truths):,}",
            fix="give a label for each row, None where unknown",
        )
    known = [i for i, truth in enumerate(truths) if truth is not None]
    if not known:
        raise InvalidOption("--labels has no label", fix="give the true answers of the rows of --data")
    kept = known if len(known) <= MOST_ROWS else [known[i * len(known) // MOST_ROWS] for i in range(MOST_ROWS)]
    try:
        batch = decode(version.signature, to_request(data if len(kept) == total else take(data, kept)))
    except InvalidInputs as error:
        raise InvalidInputs(
            f"--data is not like the rows of requests: {error.what}",
            why=error.why,
            fix=f"give rows as v{version.number} is asked with, without the labels' own column",
        ) from error
    columns = {name: to_plain(values) for name, values in batch.columns.items()}
    table = version.signature.container in ("dataframe", "dict")
    rows = load(_ROWS)(
        version.signature,
        columns if table else next(iter(columns.values())),
        len(kept),
        tuple(truths[i] for i in kept),
        (0.0,) * len(kept),
        "given with --data",
    )
    _write(rows, store.training_file(version.deployment))
    thinned = f" of {len(known):,}, evenly," if len(kept) < len(known) else ""
    left_out = f"; {total - len(known):,} without a label are left out" if len(known) < total else ""
    return f"{len(kept):,} training rows{thinned} are kept for this re-tune and later ones{left_out}"


def _write(rows: Any, file: Path) -> None:
    """Whole, or not at all; readable by its owner alone."""
    with disk_full(file.parent):
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        os.close(descriptor)
        try:
            rows.write(Path(temporary))
            os.replace(temporary, file)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _rows(data: Any) -> int:
    if isinstance(data, Mapping):
        return len(next(iter(data.values()), ()))
    if isinstance(data, str) or not hasattr(data, "__len__"):
        raise InvalidOption(f"--data is a {type(data).__name__}, which has no rows", fix="give a table or an array")
    return len(data)


def _labels(labels: Any) -> list[Any]:
    from autodeploy_magic.wire import to_plain

    if hasattr(labels, "columns") and hasattr(labels, "iloc"):
        if labels.shape[1] != 1:
            raise InvalidOption(
                f"--labels is a table of {labels.shape[1]} columns", fix="give the column with the true answers"
            )
        labels = labels.iloc[:, 0]
    if isinstance(labels, str | Mapping) or not hasattr(labels, "__len__"):
        raise InvalidOption(f"--labels is a {type(labels).__name__}, not labels", fix="give a list, array or column")
    found: list[Any] = to_plain(labels if not isinstance(labels, tuple) else list(labels))
    return found
