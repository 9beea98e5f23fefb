"""Records as they are drawn; nothing of them is on disk."""

from __future__ import annotations

from autodeploy_magic.contracts import (
    Artifact,
    Candidate,
    Column,
    Environment,
    Output,
    Signature,
    Status,
    Trust,
    Version,
)


def make_version(
    number: int = 1, *, format: str = "onnx", level: str = "green", reason: str = "the fastest"
) -> Version:
    """A version of a classifier over four numbers."""
    return Version(
        deployment="iris",
        number=number,
        digest="0" * 64,
        created_at="2026-01-31T12:00:00+00:00",
        task="classification",
        framework="sklearn",
        model_type="sklearn.tree._classes.DecisionTreeClassifier",
        format=format,
        reason=reason,
        trust=Trust(level="amber" if level == "amber" else "green", reason=f"{level} because of its kind"),
        signature=Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(4,)),)),
        outputs=(Output(name="predictions", container="ndarray", dtype="int64"),),
        artifacts=(Artifact(role="sample", format="json", path="sample.json", sha256="0", size_bytes=1),),
        environment=Environment(python="3.11", platform="linux"),
        candidates=(
            Candidate(
                format=format,
                passed=True,
                reason="kept",
                size_bytes=2048,
                agreement=1.0,
                max_difference=1e-7,
                one_row_s=2e-5,
                batch_s=1e-3,
                batch_rows=150,
            ),
            Candidate(format="native", passed=False, reason="differs <much>", agreement=0.5),
        ),
        sample_rows=150,
        size_bytes=2048,
    )


def make_status(**changes: object) -> Status:
    """A deployment that runs."""
    return Status(**{"name": "iris", "state": "running", "version": 1, "url": "http://127.0.0.1:4321", **changes})  # type: ignore[arg-type]
