"""Execution providers: one that is really there is tried, kept where it is faster, and done without when it is gone.

OpenVINO's onnxruntime is a package of its own that runs on any CPU: it is installed beside, for these tests alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from autodeploy_magic.contracts import Version, decode, encode
from autodeploy_magic.serve.model import ServedModel

OPENVINO = "OpenVINOExecutionProvider"

BUILD = """
import json, sys
from pathlib import Path
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.store import Store

X, y = load_digits(return_X_y=True)
model = globals()[sys.argv[2]](hidden_layer_sizes=(256, 256), max_iter=8, random_state=0).fit(X, y)
store = Store(Path(sys.argv[1]))
built = build(BuildRequest("digits", model, X.astype("float32")), store, SubprocessRunner(), lambda progress: None)
version = built.version
print(json.dumps({
    "model": str(store.folder("digits") / version.model_path),
    "reason": version.reason,
    "provider": version.provider,
    "candidates": [[c.format, c.provider, c.passed, c.reason] for c in version.candidates],
}))
"""

FORCED = """
import sys
from pathlib import Path
from autodeploy_magic.serve.model import ServedModel

served = ServedModel.load(Path(sys.argv[1]), provider=sys.argv[2])
served.self_check()
print(served._runner._session.get_providers()[0])
"""


@pytest.fixture(scope="module")
def openvino(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose onnxruntime is OpenVINO's."""
    place = tmp_path_factory.mktemp("openvino")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    subprocess.run([*install, "onnxruntime-openvino"], check=True, timeout=170, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(place), "ORT_DISABLE_TELEMETRY": "1"}


@pytest.fixture(scope="module")
def built(openvino: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A version that was built where OpenVINO is there."""
    told = run(BUILD, openvino, str(tmp_path_factory.mktemp("home")), "MLPRegressor")
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def run(code: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_the_machine_has_is_tried_and_told(built: dict[str, Any]) -> None:
    rows = {(format, provider): (passed, reason) for format, provider, passed, reason in built["candidates"]}
    assert rows["onnx", ""][0]
    passed, reason = rows["onnx", OPENVINO]
    assert passed, reason
    assert built["provider"] in ("", OPENVINO)
    assert "OpenVINO" in built["reason"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_one_that_cannot_run_the_model_is_a_row_that_says_so(openvino: dict[str, str], tmp_path: Path) -> None:
    """A classifier's labels: OpenVINO takes no tensor whose rank is not known."""
    built = json.loads(run(BUILD, openvino, str(tmp_path), "MLPClassifier").stdout.splitlines()[-1])
    rows = {(format, provider): (passed, reason) for format, provider, passed, reason in built["candidates"]}
    passed, reason = rows["onnx", OPENVINO]
    assert not passed
    assert "OpenVINO cannot run this model" in reason
    assert built["provider"] == ""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_it_answers_by_the_provider(built: dict[str, Any], openvino: dict[str, str]) -> None:
    assert run(FORCED, openvino, built["model"], OPENVINO).stdout.split()[-1] == OPENVINO


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_cpu_answers_where_the_provider_is_gone(
    built: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(built["model"])
    version = decode(Version, (folder / "version.json").read_bytes())
    assert version.format == "onnx"
    shutil.copytree(folder, tmp_path / "version")
    (tmp_path / "version" / "version.json").write_bytes(encode(structs.replace(version, provider=OPENVINO)))
    ServedModel.load(tmp_path / "version").self_check()  # this process has the ordinary onnxruntime
    assert "the CPU runs the model" in caplog.text


def test_a_device_that_fails_while_it_runs_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sklearn.linear_model import LogisticRegression
    from versions import NAMES, X, Y, write_version

    write_version(tmp_path, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    served = ServedModel.load(tmp_path)
    runner: Any = served._runner
    good = runner._session

    class Lost:
        """A session whose device has gone: what onnxruntime raises then is a `Fail` of its own."""

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def run(self, *arguments: Any) -> Any:
            from onnxruntime.capi.onnxruntime_pybind11_state import Fail

            raise Fail("CUDA failure 700: an illegal memory access was encountered")

    monkeypatch.setattr(runner, "_session", Lost())
    served.self_check()
    assert runner._session is not good
    assert "the CPU runs it from here on" in caplog.text
