"""The other format: offered where it is one, not where it was tried and failed, or could win on no traffic."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Candidate, Signature, Version, encode
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.format import OtherFormat
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.registry import load, table


def holdings(signature: Signature) -> Holdings:
    rows = Rows(signature, X.tolist(), len(X))
    return Holdings(rows, rows, 0, "classification")


def champion(
    folder: Path, *, format: str = "onnx", live: str = "native", candidates: tuple[Candidate, ...] = (), **changed: Any
) -> Champion:
    """A version in one format, with its live object kept as another would be."""
    model = LogisticRegression(max_iter=500).fit(X, NAMES[Y])
    version: Version = write_version(folder / "version", model, X, format=format)
    write_version(folder / "live", model, X, format="native")
    version = msgspec.structs.replace(version, live_format=live, candidates=candidates, **changed)
    (folder / "version" / "version.json").write_bytes(encode(version))
    return Champion.at(folder / "version", folder / "live", version)


def candidate(format: str, one_s: float, batch_s: float, *, passed: bool = True) -> Candidate:
    return Candidate(format=format, passed=passed, reason="labels differ", one_row_s=one_s, batch_s=batch_s)


@pytest.mark.parametrize(("format", "other"), [("onnx", "native"), ("native", "onnx")])
def test_what_is_served_one_way_is_offered_the_other(tmp_path: Path, format: str, other: str) -> None:
    standing = champion(tmp_path, format=format)
    kind = load(table("optimisers")["format"])
    assert kind is OtherFormat
    (offer,) = kind().offers(standing, holdings(standing.version.signature))
    assert offer.settings == {"format": other}
    made = kind().make(standing, Given(holdings(standing.version.signature), offer.settings, tmp_path))
    assert isinstance(made, Rebuilt)
    assert made.format == other
    assert made.model.predict(X[:2]).tolist() == ["setosa", "setosa"]


def test_what_failed_at_the_build_is_not_offered_again(tmp_path: Path) -> None:
    found = (candidate("native", 1e-4, 1e-3), candidate("onnx", 1e-5, 1e-4, passed=False))
    standing = champion(tmp_path, format="native", candidates=found)
    with pytest.raises(NotApplicable, match="as ONNX it was tried: labels differ"):
        OtherFormat().offers(standing, holdings(standing.version.signature))


def test_what_loses_at_one_row_and_at_a_batch_is_not_offered_and_what_wins_at_one_is(tmp_path: Path) -> None:
    signature = champion(tmp_path / "a").version.signature
    loses = (candidate("onnx", 1e-5, 1e-4), candidate("native", 1e-4, 1e-3), candidate("skops", 1e-4, 1e-3))
    with pytest.raises(NotApplicable, match="more than 2 times as long"):
        OtherFormat().offers(champion(tmp_path / "b", candidates=loses), holdings(signature))
    wins = (candidate("onnx", 1e-5, 1e-3), candidate("native", 1e-4, 5e-4))
    assert OtherFormat().offers(champion(tmp_path / "c", candidates=wins), holdings(signature))


def test_without_its_own_live_object_there_is_none(tmp_path: Path) -> None:
    standing = champion(tmp_path, live="")
    with pytest.raises(NotApplicable, match="not kept"):
        OtherFormat().offers(standing, holdings(standing.version.signature))
    older = msgspec.structs.replace(standing.version, number=7, live_format="native")
    other = dataclasses.replace(standing, root=older)
    with pytest.raises(NotApplicable, match="an earlier version"):
        OtherFormat().offers(other, holdings(standing.version.signature))


def test_a_framework_without_onnx_has_no_other(tmp_path: Path) -> None:
    standing = champion(tmp_path, format="native", framework="function")
    with pytest.raises(NotApplicable, match="have no ONNX format"):
        OtherFormat().offers(standing, holdings(standing.version.signature))
