"""`check` and `health`: what proves an image, and what watches it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

WAIT_S = 30.0


@pytest.fixture
def check(environ: dict[str, str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run `check` on these rows; its exit code, and the one line that it says."""

    def run(rows: Any, **changes: str) -> tuple[int, dict[str, Any]]:
        environ.pop("AUTODEPLOY_TOKEN", None)
        found = subprocess.run(
            [sys.executable, "-m", "autodeploy_magic.serve.alone", "check"],
            env={**environ, **changes},
            input=rows if isinstance(rows, bytes) else msgspec.json.encode(rows),
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        (line,) = found.stdout.splitlines()
        return found.returncode, msgspec.json.decode(line)

    return run


def test_all_rows_are_answered_whatever_the_limits(check: Callable[..., Any], tmp_path: Path) -> None:
    code, said = check({"inputs": X.tolist(), "outputs": ["predictions", "probabilities"]}, AUTODEPLOY_MAX_ROWS="5")
    assert code == 0
    assert said.keys() == {"ready_s", "rss_bytes", "answers", "python", "version"}
    model = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    assert said["answers"]["predictions"] == model.predict(X).tolist()
    assert len(said["answers"]["probabilities"]) == len(X)
    assert 0 < said["ready_s"] < WAIT_S
    assert said["rss_bytes"] > 10_000_000
    assert (said["python"].split(".")[0], said["version"]) == ("3", 1)
    assert list((tmp_path / "state").iterdir()) == []


def test_what_the_model_prints_is_not_the_answer(check: Callable[..., Any], tmp_path: Path) -> None:
    def postprocess(raw: Any) -> Any:
        print("noise")  # noqa: T201
        return raw

    classifier = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    write_version(tmp_path / "v", classifier, X, code={"postprocess": postprocess})
    code, said = check({"inputs": X[:1].tolist()}, AUTODEPLOY_MODEL=str(tmp_path / "v"))
    assert (code, said["answers"]) == (0, {"predictions": ["setosa"]})


def test_what_fails_is_said_on_the_one_line(check: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    code, said = check({"inputs": [["a", "b"]]})
    assert (code, said["error"]["error"]) == (1, "InvalidInputs")
    assert said["error"]["what"]
    code, said = check(b"not JSON")
    assert (code, said["error"]["error"]) == (1, "InvalidInputs")
    shutil.copytree(model, tmp_path / "v")
    with (tmp_path / "v" / "model.onnx").open("ab") as stream:
        stream.write(b"more")
    code, said = check({"inputs": X[:1].tolist()}, AUTODEPLOY_MODEL=str(tmp_path / "v"))
    assert (code, said["error"]["error"]) == (1, "ArtifactChanged")
    code, said = check({"inputs": X[:1].tolist()}, AUTODEPLOY_WORKERS="none")
    assert (code, said["error"]["error"]) == (1, "InvalidOption")


def test_health_follows_the_server(start: Callable[..., Any]) -> None:
    assert start("health").end() == 1  # nobody listens
    entry = start(AUTODEPLOY_LINGER_S="30").serving()
    assert start("health").end() == 0
    assert start("health", PORT="1").end() == 0  # the server itself wrote down where it listens
    entry.process.terminate()
    entry.logged("draining")
    late = start("health")
    assert late.end() == 1
    assert b"not ready: 503" in b"".join(late.raw)
    assert entry.end(15) == 128 + 15


def test_health_imports_nothing_that_takes_time(environ: dict[str, str]) -> None:
    script = (
        "import sys, autodeploy_magic.serve.alone.health, autodeploy_magic.serve.alone.__main__; print(*sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", script], env=environ, capture_output=True, timeout=WAIT_S, check=True
    )
    heavy = {"numpy", "msgspec", "uvicorn", "ssl", "email", "http", "asyncio", "logging", "json", "pathlib"}
    assert heavy & set(found.stdout.decode().split()) == set()
