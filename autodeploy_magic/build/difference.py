"""Two versions on the same rows: how many predictions differ, and which."""

from __future__ import annotations

from typing import Any

import msgspec

from autodeploy_magic.build.compare import differing_rows
from autodeploy_magic.contracts import CleanRunner, Difference, Output, Signature
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.store import Store

__all__ = ["difference"]

_EXAMPLES = 5


def difference(store: Store, runner: CleanRunner, name: str, old: int, new: int) -> Difference:
    """Compare the predictions of two versions on the newer one's sample.

    What was kept when they were verified is used where both saw the same rows; else the older one is replayed in a
    clean process. Not comparable, with the reason, where a request for the one does not fit the other.
    Raises `UnknownVersion`.
    """
    before, after = store.version(name, old), store.version(name, new)
    folders = store.version_folder(name, old), store.version_folder(name, new)
    changed = _changed(before.signature, after.signature)
    if changed:
        return Difference(old=old, new=new, rows=0, differing=0, comparable=False, reason=changed)
    samples = [(folder / "sample.json").read_bytes() for folder in folders]
    found = _kept(folders[1])
    if samples[0] == samples[1]:
        reference = _kept(folders[0])
    else:
        spec = {
            "folder": str(store.folder(name) / before.model_path),
            "sample": str(folders[1] / "sample.json"),
            "outputs": ["predictions"],
        }
        try:
            reference = runner.run("autodeploy_magic.serve.clean.replay:main", spec)["answers"]
        except AutodeployError as error:
            reason = f"version {old} cannot answer the sample of version {new}: {error.what}"
            return Difference(old=old, new=new, rows=0, differing=0, comparable=False, reason=reason)
    inputs = msgspec.json.decode(samples[1])["inputs"]
    a, b = reference["predictions"], found["predictions"]
    rows, _ = differing_rows(_both(before.outputs[0], after.outputs[0]), a, b)
    count = len(b) if isinstance(b, list) else 1
    examples = [
        {"row": row, "inputs": _row(inputs, row), "old": _item(a, row), "new": _item(b, row)}
        for row in rows[:_EXAMPLES]
    ]
    return Difference(old=old, new=new, rows=count, differing=len(rows), examples=tuple(examples))


def _both(old: Output, new: Output) -> Output:
    """What both answers are: any JSON values where a postprocess came or went and one is no longer numbers."""
    alike = (old.container, old.dtype[:3]) == (new.container, new.dtype[:3])
    return new if alike else Output(name=new.name, container="json")


def _changed(old: Signature, new: Signature) -> str:
    """What of the signature changed so that one request cannot serve both; "" where nothing did."""
    if old.container != new.container:
        return f"the sample was a {old.container} and is a {new.container}"
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    gone, added = before.keys() - after.keys(), after.keys() - before.keys()
    if gone or added:
        words = [f"without {', '.join(sorted(gone))}"] if gone else []
        words += [f"with {', '.join(sorted(added))}"] if added else []
        return f"the columns changed: {' and '.join(words)}"
    for name, column in after.items():
        if (before[name].dtype, before[name].shape) != (column.dtype, column.shape):
            was = f"{before[name].dtype}{list(before[name].shape) or ''}"
            return f"{name} was {was} and is {column.dtype}{list(column.shape) or ''}"
    return ""


def _kept(folder: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((folder / "answers.json").read_bytes())
    return found


def _row(inputs: Any, row: int) -> Any:
    if isinstance(inputs, dict):
        return {name: _item(values, row) for name, values in inputs.items()}
    return _item(inputs, row)


def _item(values: Any, row: int) -> Any:
    return values[row] if isinstance(values, list) and row < len(values) else values
