"""`serve` as an image runs it: what it answers, how it ends, and what it does without."""

from __future__ import annotations

import resource
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from certificates import certificate, new_key, write
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.metrics import totals

WAIT_S = 30.0
TOKEN = "a-token-that-nobody-guesses"
HEADERS = {"authorization": f"Bearer {TOKEN}"}

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "bentoml scipy river starlette IPython sklearn pandas psutil".split():
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def lean(tmp_path: Path, environ: dict[str, str]) -> str:
    """A path on which nothing can be imported that a lean image does not hold."""
    (tmp_path / "lean").mkdir()
    (tmp_path / "lean" / "sitecustomize.py").write_text(ABSENT)
    return f"{tmp_path / 'lean'}:{environ['PYTHONPATH']}"


def test_clients_of_an_image_are_told_of_nothing_that_only_a_notebook_has(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    def predict(model: Any, x: Any) -> Any:
        if x[0, 0] < 0:
            raise ValueError("no flower has such leaves")
        return model.predict(x)

    write_version(
        tmp_path / "v", LogisticRegression(max_iter=1000).fit(X, Y), X, format="native", code={"predict": predict}
    )
    entry = start(AUTODEPLOY_MODEL=str(tmp_path / "v")).serving()
    refused = httpx.post(f"{entry.url}/predict", json={"inputs": X[:1].tolist()}, timeout=WAIT_S)
    assert refused.status_code == 401
    assert "AUTODEPLOY_TOKEN" in refused.json()["fix"]
    failed = entry.predict((-X[:1]).tolist())
    assert failed.status_code == 500
    assert "the container's log" in failed.json()["fix"]
    page = httpx.get(entry.url, headers={"accept": "text/html"}, timeout=WAIT_S).text
    assert "<code>AUTODEPLOY_TOKEN</code>" in page
    document = httpx.get(f"{entry.url}/docs.json", headers=HEADERS, timeout=WAIT_S).text
    assert "AUTODEPLOY_TOKEN" in document
    assert not [
        text for text in (refused.text, failed.text, page, document) if "dep.token" in text or "%deploy" in text
    ]


def test_it_answers_all_that_a_worker_does_without_what_only_notebooks_need(
    start: Callable[..., Any], lean: str, tmp_path: Path
) -> None:
    entry = start(PYTHONPATH=lean, options={"cwd": "/"}).serving()
    with httpx.Client(base_url=entry.url, timeout=WAIT_S) as client:
        assert client.post("/predict", json={"inputs": X[:2].tolist()}).status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        answer = client.post("/predict", json={"inputs": X[:2].tolist()}).json()
        assert (answer["predictions"], answer["version"]) == (["setosa", "setosa"], 1)
        by_v1 = client.post("/v1/models/iris:predict", json={"instances": X[:1].tolist()})
        assert by_v1.json() == {"predictions": ["setosa"]}
        tensor = {"name": "inputs", "shape": [1, 4], "datatype": "FP64", "data": X[:1].tolist()}
        assert client.post("/v2/models/iris/infer", json={"inputs": [tensor]}).status_code == 200
        assert client.post("/invocations", json={"instances": X[:1].tolist()}).json() == {"predictions": ["setosa"]}
        assert client.get("/ping").status_code == 200
        assert client.get("/docs.json").json()["openapi"] == "3.1.0"
        assert client.get("/", headers={"accept": "text/html"}).headers["content-type"].startswith("text/html")
        assert client.post("/explain", json={"inputs": X[:1].tolist()}).status_code == 200
        assert client.post("/feedback", json={"id": answer["id"], "labels": ["setosa"] * 2}).status_code < 300
        lost = client.get("/nothing")
        assert (lost.status_code, lost.json()["error"]) == (404, "NotFound")
        assert "autodeploy_build_info" in client.get("/metrics").text
        assert client.get("/readyz", headers={"host": "iris.models.svc.cluster.local:3000"}).status_code == 200
    if socket.has_dualstack_ipv6():
        with socket.create_connection(("::1", entry.port), WAIT_S):
            pass
    assert entry.end(signal.SIGTERM) == 0
    assert [line for line in entry.raw if not line.startswith(b"{")] == []
    assert all({"time", "level", "logger", "message", "pid"} <= line.keys() for line in entry.lines)
    assert list((tmp_path / "state" / "prometheus").iterdir()) == []


def test_the_token_is_hidden_from_the_model(start: Callable[..., Any], tmp_path: Path) -> None:
    def postprocess(raw: Any) -> list[bool]:
        import os

        return ["AUTODEPLOY_TOKEN" in os.environ for _ in raw]

    folder = tmp_path / "native"
    classifier = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    write_version(folder, classifier, X, code={"postprocess": postprocess})
    entry = start(AUTODEPLOY_MODEL=str(folder)).serving()
    assert entry.predict().json()["predictions"] == [False, False]
    kept = tmp_path / "state" / "token"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (TOKEN, 0o600)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_no_request(start: Callable[..., Any], workers: int) -> None:
    entry = start(AUTODEPLOY_DRAIN_S="1", AUTODEPLOY_WORKERS=str(workers)).serving(workers)
    body = msgspec.json.encode({"inputs": X[:4].tolist()})
    head = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    lost: list[str] = []
    answered: list[int] = []
    warm = threading.Barrier(5)

    def ask(*, keep: bool) -> None:
        connection = HTTPConnection("127.0.0.1", entry.port, timeout=WAIT_S)
        for number in range(100_000):
            if number == 20:
                warm.wait(WAIT_S)
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                return  # refused: nobody was asked
            try:
                connection.request("POST", "/predict", body, head)
                response = connection.getresponse()
                response.read()
                answered.append(response.status)
            except (OSError, HTTPException) as error:  # what was asked and not answered
                lost.append(repr(error))
                return
            if not keep or response.will_close:
                connection.close()

    asking = [threading.Thread(target=ask, kwargs={"keep": i % 2 == 0}) for i in range(4)]
    for thread in asking:
        thread.start()
    warm.wait(WAIT_S)
    assert entry.end(signal.SIGTERM) == 0
    for thread in asking:
        thread.join(WAIT_S)
    assert lost == []
    assert len(answered) >= 80
    assert set(answered) == {200}


def test_it_is_not_ready_while_it_lingers_and_answers_all_the_same(start: Callable[..., Any]) -> None:
    entry = start(AUTODEPLOY_LINGER_S="0.7", AUTODEPLOY_DRAIN_S="0").serving()
    assert httpx.get(f"{entry.url}/readyz").status_code == 200
    entry.process.send_signal(signal.SIGTERM)
    entry.logged("draining")
    assert httpx.get(f"{entry.url}/readyz").status_code == 503
    answer = entry.predict()
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert entry.end() == 0


def test_a_secret_that_is_rotated_is_picked_up(start: Callable[..., Any], tmp_path: Path) -> None:
    """As Kubernetes does it: the file is a link into a folder, which is a link that is replaced."""
    secret = tmp_path / "secret"
    for number, token in (("1", "the-first-of-tokens"), ("2", "the-second-of-tokens")):
        (secret / number).mkdir(parents=True)
        (secret / number / "token").write_text(f"{token}\n")
        (secret / number / "token").chmod(0o440)
    (secret / "..data").symlink_to("1")
    (secret / "token").symlink_to("..data/token")
    entry = start(AUTODEPLOY_TOKEN=None, AUTODEPLOY_TOKEN_FILE=str(secret / "token")).serving()
    old, new = (f"Bearer the-{which}-of-tokens" for which in ("first", "second"))
    assert entry.predict(authorization=old).status_code == 200
    assert entry.predict(authorization=new).status_code == 401
    (secret / "..next").symlink_to("2")
    (secret / "..next").rename(secret / "..data")
    assert entry.predict(authorization=new).status_code == 200
    assert entry.predict(authorization=old).status_code == 401
    assert not (tmp_path / "state" / "token").exists()


def test_https_with_mounted_files(start: Callable[..., Any], tmp_path: Path, environ: dict[str, str]) -> None:
    secret = tmp_path / "tls"
    (secret / "1").mkdir(parents=True)
    key = new_key()
    write(secret / "1" / "tls.crt", certificate(key, ["localhost", "127.0.0.1", "iris.example.org"])).chmod(0o644)
    write(secret / "1" / "tls.key", key).chmod(0o644)
    (secret / "..data").symlink_to("1")
    for name in ("tls.crt", "tls.key"):
        (secret / name).symlink_to(f"..data/{name}")
    files = {
        f"AUTODEPLOY_TLS_{kind}": str(secret / f"tls.{end}") for kind, end in (("CERTIFICATE", "crt"), ("KEY", "key"))
    }
    entry = start(**files).serving()
    context = ssl.create_default_context(cafile=str(secret / "tls.crt"))
    url = f"https://localhost:{entry.port}"
    answer = httpx.post(f"{url}/predict", json={"inputs": X[:1].tolist()}, headers=HEADERS, verify=context)
    assert answer.json()["predictions"] == ["setosa"]
    assert start("health", **files).end() == 0
    assert entry.end(signal.SIGTERM) == 0


def test_vertex_finds_its_own_paths(start: Callable[..., Any], port: int) -> None:
    route = "/v1/endpoints/12/models/34:predict"
    start(
        PORT=None,
        AUTODEPLOY_TOKEN=None,
        AUTODEPLOY_AUTH="off",
        AIP_HTTP_PORT=str(port),
        AIP_PREDICT_ROUTE=route,
        AIP_HEALTH_ROUTE="/v1/endpoints/12/models/34",
    ).serving()
    url = f"http://127.0.0.1:{port}"
    body = {"instances": X[:2].tolist(), "parameters": {"any": 1}}
    answer = httpx.post(f"{url}{route}", json=body, headers={"host": "aip.internal"})
    assert answer.json() == {"predictions": ["setosa", "setosa"]}
    assert httpx.get(f"{url}/v1/endpoints/12/models/34").status_code == 200
    assert httpx.get(f"{url}{route}").status_code == 405


def test_sagemaker_starts_it_with_serve(start: Callable[..., Any], port: int) -> None:
    entry = start(
        "serve", PORT=None, AUTODEPLOY_TOKEN=None, AUTODEPLOY_AUTH="off", SAGEMAKER_BIND_TO_PORT=str(port)
    ).serving()
    url = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{url}/ping").status_code == 200
    rows = "\n".join(",".join(map(str, row)) for row in X[:2])
    answer = httpx.post(f"{url}/invocations", content=rows, headers={"content-type": "text/csv"})
    assert answer.json() == {"predictions": ["setosa", "setosa"]}
    assert entry.end(signal.SIGTERM) == 0


def test_a_folder_that_cannot_be_written_is_replaced_by_one_that_can(start: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    entry = start(AUTODEPLOY_STATE=str(tmp_path / "file" / "state"), TMPDIR=str(tmp_path / "elsewhere")).serving()
    assert "cannot be written" in entry.logged("end with it")["message"]
    assert entry.predict().status_code == 200
    assert entry.end(signal.SIGTERM) == 0
    (written,) = (tmp_path / "elsewhere").glob("autodeploy-*/metrics.sqlite")
    assert totals(written)[1].requests == 1


def test_a_full_disk_ends_the_recording_and_nothing_else(start: Callable[..., Any]) -> None:
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    entry = start(options={"preexec_fn": little}, PYTHONDONTWRITEBYTECODE="1").serving()
    assert entry.predict().status_code == 200
    assert entry.logged("not recorded yet")["level"] == "warning"
    assert entry.predict().status_code == 200
    assert entry.end(signal.SIGTERM) == 0


def test_grpc_on_a_port_of_its_own(start: Callable[..., Any]) -> None:
    pytest.importorskip("h2")
    grpc = pytest.importorskip("grpc")
    service = pytest.importorskip("tritonclient.grpc").service_pb2
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    entry = start(AUTODEPLOY_GRPC_PORT=str(port)).serving()
    assert f"gRPC on port {port}" in entry.logged("on http port")["message"]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ready = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelReady",
            request_serializer=service.ModelReadyRequest.SerializeToString,
            response_deserializer=service.ModelReadyResponse.FromString,
        )
        bearer = [("authorization", f"Bearer {TOKEN}")]
        assert ready(service.ModelReadyRequest(name="iris"), metadata=bearer, timeout=WAIT_S).ready
    assert entry.end(signal.SIGTERM) == 0
