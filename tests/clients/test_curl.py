"""curl, as a person in a terminal types it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from deployed import MAX_ROWS, TEXTS, Deployed
from versions import X

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

BODY = json.dumps({"inputs": X[:2].tolist()})


def curl(deployed: Deployed, *arguments: str, token: bool = True) -> str:
    """What curl prints. Paths among the arguments begin with a slash."""
    given = [f"{deployed.url}{item}" if item.startswith("/") else item for item in arguments]
    authorization = ["-H", f"Authorization: Bearer {deployed.token}"] if token else []
    command = ["curl", "-sS", "--max-time", "20", *authorization, *given]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


JSON = ("-H", "Content-Type: application/json")


def test_predict(iris: Deployed) -> None:
    answer = json.loads(curl(iris, *JSON, "-d", BODY, "/predict"))
    assert answer["predictions"] == iris.model.predict(X[:2]).tolist()
    refused = json.loads(curl(iris, "-d", BODY, "/predict"))  # curl calls it a form
    assert refused["error"] == "UnsupportedContent"
    assert "401" in curl(iris, "-i", *JSON, "-d", BODY, "/predict", token=False).splitlines()[0]


def test_a_large_file_waits_for_leave_to_be_sent(mood: Deployed, tmp_path: Path) -> None:
    """Over a megabyte curl asks first: Expect: 100-continue."""
    file = tmp_path / "body.json"
    rows = [f"{TEXTS[i % len(TEXTS)]} {'x' * 10_000}" for i in range(MAX_ROWS)]
    file.write_text(json.dumps({"inputs": rows}))
    assert file.stat().st_size > 1_500_000
    waits = ("-H", "Expect: 100-continue", "--data-binary", f"@{file}")
    said = curl(mood, "-i", *JSON, *waits, "/predict")
    leave, head, body = said.replace("\r", "").split("\n\n")
    assert leave == "HTTP/1.1 100 Continue"
    assert head.startswith("HTTP/1.1 200")
    assert json.loads(body)["predictions"] == mood.model.predict(rows).tolist()
    refused = curl(
        mood, "-i", *JSON, "-H", "Expect: 100-continue", "--data-binary", f"@{file}", "/predict", token=False
    )
    assert refused.startswith("HTTP/1.1 401")  # and not a byte of the body was asked for


def test_http_1_0(iris: Deployed) -> None:
    said = curl(iris, "-i", "-0", *JSON, "-d", BODY, "/predict")
    head, body = said.replace("\r", "").split("\n\n")
    assert head.splitlines()[0].endswith("200 OK")
    assert "connection: close" in head.lower()
    assert json.loads(body)["version"] == 1


def test_head(iris: Deployed) -> None:
    for path in ("/livez", "/signature", "/v2/models/iris", "/docs.json"):
        head = curl(iris, "-I", path)
        assert head.startswith("HTTP/1.1 200"), path
        assert "content-length: 0" not in head.lower()
    assert "allow: POST" in curl(iris, "-I", "/predict")


def test_several_urls_share_a_connection(iris: Deployed) -> None:
    said = curl(iris, "-w", "\n%{num_connects}\n", "/livez", "/readyz", "/v2")
    assert said.splitlines()[1::2] == ["1", "0", "0"]


def test_rows_as_csv_from_standard_input(iris: Deployed) -> None:
    text = "\n".join(",".join(map(str, row)) for row in X[:2].tolist())
    authorization = ["-H", f"Authorization: Bearer {iris.token}", "-H", "Content-Type: text/csv"]
    command = ["curl", "-sS", *authorization, "--data-binary", "@-", f"{iris.url}/invocations"]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(ended.stdout) == {"predictions": iris.model.predict(X[:2]).tolist()}
