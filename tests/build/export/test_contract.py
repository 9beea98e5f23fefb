"""What holds for every framework: detect → sample → export → verify, and the kept format answers as the live object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cases import Case, cases

from autodeploy_magic.build import BuildRequest, Built
from autodeploy_magic.build.capture import capture
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.contracts import Candidate

CASES = list(cases())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.framework}: {case.name}")
def test_a_model_of_the_framework_becomes_a_version(case: Case, make: Callable[..., Built]) -> None:
    made = case.make()
    exporter = exporter_of(made.model)
    assert exporter is not None
    assert exporter.name == case.framework
    version = make(made.model, made.sample, labels=made.labels, code=dict(made.code), dry_run=True).version
    assert (version.framework, version.task) == (case.framework, case.task)
    rows = {candidate.format: candidate for candidate in version.candidates}
    told = "\n".join(f"{row.format}: {row.reason} {row.one_row_s} {row.batch_s}" for row in rows.values())
    kept = rows[version.format]
    usual = [rows[name] for name in case.formats if name in rows and rows[name].passed]
    assert version.format in case.formats or any(_slower(row, kept) for row in usual), told
    assert kept.passed
    assert kept.agreement == 1.0, told
    assert kept.one_row_s
    if case.onnx is not None:
        exported = [row for row in rows.values() if row.format.startswith("onnx")]
        assert any(row.passed for row in exported) is case.onnx, told


def _slower(row: Candidate, kept: Candidate) -> bool:
    """Whether it was measured so, here and now: beside other work another format may be the best."""
    return (row.one_row_s or 0.0) > (kept.one_row_s or 0.0) or (row.batch_s or 0.0) > (kept.batch_s or 0.0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.framework}: {case.name}")
def test_training_it_again_gives_the_same_digest(case: Case, tmp_path: Path) -> None:
    """It is of content: not of when and where the model was made."""
    digests = set()
    for attempt in ("first", "second"):
        made = case.make()
        (tmp_path / attempt).mkdir()
        request = BuildRequest("demo", made.model, made.sample, code=dict(made.code))
        digests.add(capture(request, tmp_path / attempt).digest)
    assert len(digests) == 1
