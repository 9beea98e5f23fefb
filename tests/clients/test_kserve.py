"""kserve's InferenceRESTClient: v1 and v2, in JSON and binary."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deployed import Deployed
from versions import X

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # pip may have to install it first


def test_v1_and_v2(iris: Deployed, kserve_python: Path) -> None:
    job = {"url": iris.url, "name": "iris", "headers": iris.headers, "rows": X[:5].tolist()}
    script = Path(__file__).with_name("ask_with_kserve.py")
    ended = subprocess.run(
        [kserve_python, script], input=json.dumps(job), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    wanted = iris.model.predict(X[:5]).tolist()
    assert found["v1"]["answer"] == {"predictions": wanted}
    assert (found["v1"]["live"], found["v1"]["ready"]) == (True, True)
    assert "inputs[0] has 1 values" in found["v1"]["refused"]
    for way in ("v2", "v2 binary"):
        answer = found[way]
        assert [answer[key] for key in ("live", "server_ready", "ready", "missing")] == [True, True, True, False]
        assert (answer["id"], answer["predictions"]) == ("mine", wanted)
        assert answer["probabilities"] == pytest.approx(iris.model.predict_proba(X[:5]), abs=1e-5)
