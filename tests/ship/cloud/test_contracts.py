"""The contract of each place, called as the place calls it, on the image's entry with what the written files set."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from clouds import Folder
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.serve.alone.ports import given_port

WAIT_S = 40.0
TOKEN = "a-token-that-nobody-guesses"
ROWS = X[[0, 60, 149]]
SHOUTED = ["SETOSA", "VERSICOLOR", "VIRGINICA"]

Ship = Callable[..., Folder]


class Container:
    """What an image runs, without the image: its entry, its environment, and what the place adds."""

    def __init__(self, arguments: list[str], environ: Mapping[str, str], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "autodeploy_magic.serve.alone", *arguments],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def ready(self, path: str, status: int = 200) -> httpx.Response:
        """Ask as a probe does, until it is answered so, or the process is gone."""
        until = time.monotonic() + WAIT_S
        ended = threading.Event()
        while time.monotonic() < until and self.process.poll() is None:
            try:
                answer = httpx.get(self.url + path, timeout=2)
            except httpx.TransportError:
                ended.wait(0.02)  # a probe's period
                continue
            if answer.status_code == status:
                return answer
            ended.wait(0.02)
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def run(tmp_path: Path, model: Path, port: int) -> Iterator[Callable[..., Container]]:
    """Start an entry with the environment of an image, what a file sets and what a place sets, and nothing else."""
    started: list[Container] = []
    image = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path),
        "AUTODEPLOY_MODEL": str(model),
        "AUTODEPLOY_STATE": str(tmp_path / "state"),
        "AUTODEPLOY_TEST_RUN": os.environ["AUTODEPLOY_TEST_RUN"],
    }

    def begin(arguments: list[str], written: Mapping[str, str], place: Mapping[str, str], **image_: str) -> Container:
        here = {**written}
        if "AUTODEPLOY_STATE" in here:  # its place is the image's own; here several tests run
            here["AUTODEPLOY_STATE"] = image["AUTODEPLOY_STATE"]
        if "AUTODEPLOY_TOKEN_FILE" in here:  # as mounted there
            file = tmp_path / "token"
            file.write_text(TOKEN)
            here["AUTODEPLOY_TOKEN_FILE"] = str(file)
        environ = {**image, **image_, **here, **place}
        started.append(Container(arguments, environ, port, tmp_path / "container.log"))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(WAIT_S)


def _environment(container: Mapping[str, Any]) -> dict[str, str]:
    """The literal variables of a container as a service has it."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_sagemaker_runs_serve_and_asks_ping_and_invocations(
    ship: Ship, run: Callable[..., Container], port: int, tmp_path: Path
) -> None:
    assert given_port({}, "serve") == ("PORT", "8080")
    folder = ship("sagemaker", kind="serverless")
    model = folder.yaml("template.yaml")["Resources"]["Model"]["Properties"]["PrimaryContainer"]
    loud = tmp_path / "loud"
    code = {"postprocess": lambda answers: [answer.upper() for answer in answers]}
    write_version(loud, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X, code=code)
    place = {"SAGEMAKER_BIND_TO_PORT": str(port)}
    container = run(["serve"], model["Environment"], place, AUTODEPLOY_MODEL=str(loud))
    ping = container.ready("/ping")
    assert len(ping.content) <= 1
    with httpx.Client(base_url=container.url, headers={"host": "model.aws.local:8080"}, timeout=60) as client:
        custom = {"x-amzn-sagemaker-custom-attributes": "trace=1", "accept": "application/json"}
        for body in (folder.json("request.json"), {"instances": ROWS.tolist()}):
            answer = client.post("/invocations", json=body, headers=custom)
            assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": SHOUTED}
        csv = "\n".join(",".join(str(cell) for cell in row) for row in ROWS.tolist())
        answer = client.post("/invocations", content=csv, headers={"content-type": "text/csv", "accept": "*/*"})
        assert answer.json() == {"predictions": SHOUTED}
        wrong = client.post("/invocations", content="1,2\n", headers={"content-type": "text/csv"})
        assert 400 <= wrong.status_code < 500  # the caller's, and no alarm's
        assert client.post("/invocations", content=b"x", headers={"content-type": "image/png"}).status_code == 415
    assert container.stop() == 0


def test_vertex_says_port_and_paths_and_sends_instances(ship: Ship, run: Callable[..., Container], port: int) -> None:
    folder = ship("vertex")
    flags = folder.yaml("container.flags")
    place = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": flags["--container-health-route"],
        "AIP_PREDICT_ROUTE": flags["--container-predict-route"],
        "AIP_MODE": "PREDICTION",
        "AIP_STORAGE_URI": "",
    }
    container = run([], flags["--container-env-vars"], place)
    container.ready(flags["--container-health-route"])
    answer = httpx.post(
        container.url + flags["--container-predict-route"],
        json=folder.json("request.json"),
        headers={"host": "iris.prediction.svc"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == folder.json("response.json")
    assert container.stop() == 0


def test_azure_asks_the_three_routes_of_the_deployment(ship: Ship, run: Callable[..., Container], port: int) -> None:
    folder = ship("azureml", desired={"workers": 2})
    deployment = folder.yaml("deployment.yml")
    routes = {name: one["path"] for name, one in deployment["environment"]["inference_config"].items()}
    written = deployment["environment_variables"]
    assert (written["PORT"], written["AUTODEPLOY_WORKERS"]) == ("3000", "2")
    container = run([], written, {"PORT": str(port)})
    container.ready(routes["readiness_route"])
    container.ready(routes["liveness_route"])
    answer = httpx.post(
        container.url + routes["scoring_route"],
        json=folder.json("request.json"),
        headers={"host": "iris.westeurope.inference.ml.azure.com", "authorization": "Bearer of-the-endpoint"},
        timeout=60,
    )
    assert answer.json()["predictions"] == ["setosa", "setosa"]
    assert container.stop() == 0


def test_cloud_run_says_port_probes_and_calls_with_the_token(
    ship: Ship, run: Callable[..., Container], port: int
) -> None:
    folder = ship("cloudrun", access="token")
    (written,) = folder.yaml("service.yaml")["spec"]["template"]["spec"]["containers"]
    place = {"PORT": str(port), "K_SERVICE": "iris", "K_REVISION": "iris-v1-1", "K_CONFIGURATION": "iris"}
    container = run([], _environment(written), place)
    container.ready(written["startupProbe"]["httpGet"]["path"])
    container.ready(written["livenessProbe"]["httpGet"]["path"])
    host = {"host": "iris-abc-ew.a.run.app", "x-forwarded-proto": "https"}
    with httpx.Client(base_url=container.url, headers=host, timeout=60) as client:
        bearer = {"authorization": f"Bearer {TOKEN}"}
        answer = client.post("/predict", json=folder.json("request.json"), headers=bearer)
        assert answer.json()["predictions"] == ["setosa", "setosa"]
        assert client.post("/predict", json=folder.json("request.json")).status_code == 401
    assert container.stop() == 0


def test_knative_says_port_probes_and_calls_with_the_token(
    ship: Ship, run: Callable[..., Container], port: int
) -> None:
    folder = ship("knative")
    (written,) = folder.yaml("service.yaml")["spec"]["template"]["spec"]["containers"]
    place = {"PORT": str(port), "K_SERVICE": "iris", "K_REVISION": "iris-v1-1", "K_CONFIGURATION": "iris"}
    container = run([], _environment(written), place)
    container.ready(written["readinessProbe"]["httpGet"]["path"])
    container.ready(written["livenessProbe"]["httpGet"]["path"])
    host = {"host": "iris.ml.example.com", "authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{container.url}/predict", json=folder.json("request.json"), headers=host, timeout=60)
    assert answer.json()["predictions"] == ["setosa", "setosa"]
    assert container.stop() == 0


class _Runtime(ThreadingHTTPServer):
    """Lambda's Runtime API: hands out events, and keeps what is answered."""

    daemon_threads = True

    def __init__(self) -> None:
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Runtime

    def do_GET(self) -> None:
        event = self.server.events.get()
        if event is None:
            self.close_connection = True
            return
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", event["requestContext"]["requestId"])
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + WAIT_S) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:x:1:function:iris")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.answers.put((self.path, json.loads(body)))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test's output is not for it."""


def test_lambda_runs_the_command_of_the_template_and_answers_its_events(
    ship: Ship, run: Callable[..., Container]
) -> None:
    folder = ship("lambda")
    function = folder.yaml("template.yaml")["Resources"]["Function"]["Properties"]
    runtime = _Runtime()
    thread = threading.Thread(target=runtime.serve_forever)
    thread.start()
    try:
        place = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "iris",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
            "AWS_REGION": "eu-central-1",
        }
        container = run(function["ImageConfig"]["Command"], function["Environment"]["Variables"], place)
        for name, says in (("event-ready.json", None), ("event.json", ["setosa", "setosa"])):
            runtime.events.put(folder.json(name))
            path, answer = runtime.answers.get(timeout=WAIT_S)
            request = folder.json(name)["requestContext"]["requestId"]
            assert path == f"/2018-06-01/runtime/invocation/{request}/response"
            assert answer["statusCode"] == 200, answer
            if says is not None:
                assert json.loads(answer["body"])["predictions"] == says
        wrong = {**folder.json("event.json"), "body": '{"inputs": "no"}'}
        runtime.events.put(wrong)
        path, answer = runtime.answers.get(timeout=WAIT_S)
        assert (path.rsplit("/", 1)[1], answer["statusCode"]) == ("response", 422)
        container.process.kill()  # an environment is frozen, and then gone
        container.process.wait(WAIT_S)
    finally:
        runtime.events.put(None)
        runtime.shutdown()
        thread.join(WAIT_S)
        runtime.server_close()
