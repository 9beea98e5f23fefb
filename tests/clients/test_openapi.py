"""/docs.json is true: schemathesis, which reads it like any client, finds nothing that a deployment does otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from deployed import Deployed

HERE = Path(__file__).parent


@pytest.fixture
def alone(iris: Deployed) -> Iterator[Deployed]:
    """The one whose versions may be loaded; afterwards none but the first is."""
    yield iris
    with iris.client() as client:
        client.post("/v2/repository/models/iris/unload", json={})
        assert client.get("/v2/models/iris").json()["versions"] == ["1"]


@pytest.mark.slow
def test_the_document_is_true(alone: Deployed, tmp_path: Path) -> None:
    with alone.client() as client:
        paths: dict[str, Any] = client.get("/docs.json").json()["paths"]
    # The one that it is read from is left out.
    assert _tested(alone, tmp_path) == sum(len(methods) for methods in paths.values()) - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "operations"),
    [("people", ["predict", "v2_infer"]), ("mood", ["predict", "v2_infer", "v1_predict", "invocations"])],
)
def test_other_signatures_are_true(
    request: pytest.FixtureRequest, name: str, operations: list[str], tmp_path: Path
) -> None:
    deployed: Deployed = request.getfixturevalue(name)
    only = [option for operation in operations for option in ("--include-operation-id", operation)]
    assert _tested(deployed, tmp_path, *only, "--max-examples", "10") == len(operations)


def _tested(deployed: Deployed, folder: Path, *options: str) -> int:
    """Run schemathesis, which is to find nothing; returns how many operations it looked at."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    report = folder / "report.txt"
    with report.open("w") as file:
        ended = subprocess.run(
            [*command, f"{deployed.url}/docs.json", "-H", f"Authorization: Bearer {deployed.token}", *options],
            env=os.environ | {"PYTHONPATH": str(HERE)},
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=110,
            check=False,
        )
    said = report.read_text()
    assert ended.returncode == 0, "\n".join(line[:300] for line in said.splitlines())
    tested = re.search(r"Tested: (\d+)", said)
    assert tested is not None
    return int(tested[1])


def test_the_document_needs_the_token(iris: Deployed) -> None:
    assert httpx.get(f"{iris.url}/docs.json").status_code == 401
