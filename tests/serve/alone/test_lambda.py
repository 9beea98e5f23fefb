"""`lambda` against a runtime API: events of each source, one after the other, through the real server."""

from __future__ import annotations

import base64
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version
from world import until

from autodeploy_magic.serve.alone.serving import COMPANION_S

WAIT_S = 30.0
TOKEN = "a-token-that-nobody-guesses"
BODY = msgspec.json.encode({"inputs": X[:2].tolist()}).decode()
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}", "host": "abc.lambda-url.aws"}
ROOT = "/2018-06-01/runtime"


class Runtime:
    """A runtime API: events go in, and what was posted comes out, by path."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[bytes, float] | None] = queue.Queue()
        self.posted: queue.Queue[tuple[str, Any, str]] = queue.Queue()
        self.count = 0
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                event = runtime.events.get()
                if event is None:
                    self.close_connection = True
                    return
                runtime.count += 1
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", f"id-{runtime.count}")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + event[1]) * 1000)))
                self.send_header("Lambda-Runtime-Trace-Id", f"Root={runtime.count}")
                self.send_header("Content-Length", str(len(event[0])))
                self.end_headers()
                self.wfile.write(event[0])

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                kind = self.headers.get("lambda-runtime-function-error-type", "")
                runtime.posted.put((self.path.removeprefix(ROOT), msgspec.json.decode(body), kind))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The test's output is not for it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def invoke(self, event: Any, left_s: float = WAIT_S) -> tuple[str, Any]:
        """The path that the answer was posted to, and the answer."""
        self.events.put((event if isinstance(event, bytes) else msgspec.json.encode(event), left_s))
        path, answer, _ = self.posted.get(timeout=WAIT_S)
        return path, answer

    def close(self) -> None:
        self.events.put(None)
        self.server.shutdown()
        self.thread.join(WAIT_S)
        self.server.server_close()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    found = Runtime()
    yield found
    found.close()


def second(path: str, method: str = "POST", body: str | None = BODY, **more: Any) -> dict[str, Any]:
    """An event of an HTTP API or a function URL."""
    context = {"http": {"method": method, "path": path}, "stage": more.pop("stage", "$default")}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": HEADERS,
        "requestContext": context,
        "body": body,
        "isBase64Encoded": False,
        **more,
    }


def test_events_of_each_source_are_answered_in_its_form(start: Callable[..., Any], runtime: Runtime) -> None:
    entry = start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address)
    path, answer = runtime.invoke(second("/predict"))
    assert (path, answer["statusCode"], answer["isBase64Encoded"]) == ("/invocation/id-1/response", 200, False)
    assert msgspec.json.decode(answer["body"])["predictions"] == ["setosa", "setosa"]
    assert answer["headers"]["content-type"] == "application/json"

    path, answer = runtime.invoke(second("/live/predict", stage="live"))
    assert (path, answer["statusCode"]) == ("/invocation/id-2/response", 200)

    encoded = base64.b64encode(BODY.encode()).decode()
    rest = {
        "httpMethod": "POST",
        "path": "/v1/models/iris:predict",
        "headers": {"Host": "no"},
        "multiValueHeaders": {name.title(): [value] for name, value in HEADERS.items()},
        "multiValueQueryStringParameters": {"a": ["b c", "d&e"]},
        "requestContext": {"stage": "prod"},
        "body": base64.b64encode(msgspec.json.encode({"instances": X[:1].tolist()})).decode(),
        "isBase64Encoded": True,
    }
    _, answer = runtime.invoke(rest)
    assert msgspec.json.decode(answer["body"]) == {"predictions": ["setosa"]}
    assert answer["multiValueHeaders"]["content-type"] == ["application/json"]

    balanced = {
        "httpMethod": "POST",
        "path": "/predict",
        "queryStringParameters": {"a": "b%20c"},
        "headers": HEADERS,
        "requestContext": {"elb": {"targetGroupArn": "arn"}},
        "body": encoded,
        "isBase64Encoded": True,
    }
    _, answer = runtime.invoke(balanced)
    assert (answer["statusCode"], answer["statusDescription"]) == (200, "200 OK")
    assert answer["headers"]["content-type"] == "application/json"
    _, answer = runtime.invoke({**balanced, "multiValueHeaders": {name: [value] for name, value in HEADERS.items()}})
    assert "headers" not in answer
    assert answer["multiValueHeaders"]["x-request-id"]

    _, answer = runtime.invoke(second("/predict", headers={"content-type": "application/json"}))
    assert answer["statusCode"] == 401  # the token is asked for here too
    _, answer = runtime.invoke(second("/readyz", "GET", None))
    assert answer["statusCode"] == 200
    assert entry.process.poll() is None


def test_bytes_come_and_go_as_they_are(start: Callable[..., Any], runtime: Runtime) -> None:
    start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address)
    raw = X[:2].astype("<f8").tobytes()
    tensor = {"name": "inputs", "shape": [2, 4], "datatype": "FP64", "parameters": {"binary_data_size": len(raw)}}
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = msgspec.json.encode({"inputs": [tensor], "outputs": wanted})
    headers = {**HEADERS, "inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    body = base64.b64encode(head + raw).decode()
    _, answer = runtime.invoke(second("/v2/models/iris/infer", body=body, isBase64Encoded=True, headers=headers))
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, True)
    sent = base64.b64decode(answer["body"])
    length = int(answer["headers"]["inference-header-content-length"])
    (output,) = msgspec.json.decode(sent[:length])["outputs"]
    kind = {"FP32": "<f4", "FP64": "<f8"}[output["datatype"]]
    values = np.frombuffer(sent[length:], kind).reshape(output["shape"])
    assert values.argmax(axis=1).tolist() == [0, 0]


def test_what_is_no_request_is_an_error_and_the_next_is_answered(start: Callable[..., Any], runtime: Runtime) -> None:
    start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, AUTODEPLOY_TOKEN=None, AUTODEPLOY_AUTH="off")
    events: list[Any] = [{"Records": []}, b"not JSON", [1], second("/predict", body="!", isBase64Encoded=True)]
    for event in events:
        path, answer = runtime.invoke(event)
        assert path.endswith("/error")
        assert answer["errorType"] == "InvalidInputs"
        assert answer["errorMessage"]
    path, answer = runtime.invoke({"inputs": X[:2].tolist()})  # invoked by itself
    assert answer["predictions"] == ["setosa", "setosa"]
    path, answer = runtime.invoke({"inputs": "nonsense"})
    assert path.endswith("/error")


def test_a_deadline_is_answered_in_words_and_the_function_lives(
    start: Callable[..., Any], runtime: Runtime, tmp_path: Path
) -> None:
    def postprocess(raw: Any) -> Any:
        import threading

        if len(raw) == 3:
            threading.Event().wait(1.5)
        return raw

    classifier = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    write_version(tmp_path / "v", classifier, X, code={"postprocess": postprocess})
    start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, AUTODEPLOY_MODEL=str(tmp_path / "v"))
    slow = msgspec.json.encode({"inputs": X[:3].tolist()}).decode()
    _, answer = runtime.invoke(second("/predict", body=slow), 0.9)
    assert answer["statusCode"] == 504
    assert msgspec.json.decode(answer["body"])["error"] == "TimedOut"
    _, answer = runtime.invoke(second("/predict"))
    assert answer["statusCode"] == 200


def test_what_cannot_start_is_told_to_lambda(start: Callable[..., Any], runtime: Runtime, tmp_path: Path) -> None:
    entry = start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, AUTODEPLOY_MODEL=str(tmp_path))
    path, answer, kind = runtime.posted.get(timeout=WAIT_S)
    assert (path, kind) == ("/init/error", "Runtime.StartFailed")
    assert "there is no version" in answer["errorMessage"]
    assert entry.end() == 1


def test_a_model_that_does_not_load_is_told_to_lambda(
    start: Callable[..., Any], runtime: Runtime, model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "v")
    (tmp_path / "v" / "model.onnx").write_bytes(b"other")
    entry = start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, AUTODEPLOY_MODEL=str(tmp_path / "v"))
    path, _, kind = runtime.posted.get(timeout=WAIT_S)
    assert (path, kind) == ("/init/error", "Runtime.ArtifactChanged")
    assert entry.end() == 1


def test_it_ends_where_lambda_is_gone(start: Callable[..., Any], runtime: Runtime) -> None:
    entry = start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, AUTODEPLOY_DRAIN_S="0").serving()
    runtime.events.put(None)
    assert entry.end() == 1
    assert entry.logged("the runtime API does not answer")["level"] == "error"


def test_it_ends_at_once_while_it_waits_for_an_event(start: Callable[..., Any], runtime: Runtime) -> None:
    entry = start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, AUTODEPLOY_DRAIN_S="60").serving()
    _, answer = runtime.invoke(second("/predict"))  # there is a connection to the server, which stays
    assert answer["statusCode"] == 200
    entry.process.send_signal(signal.SIGTERM)
    assert entry.process.wait(COMPANION_S) == 0
    assert entry.logged("ended")
    assert not [line for line in entry.lines if line["level"] == "error"]


def test_an_event_that_is_under_way_is_answered_before_it_ends(
    start: Callable[..., Any], runtime: Runtime, tmp_path: Path
) -> None:
    entered, let_go = tmp_path / "entered", tmp_path / "go"

    def predict(model: Any, x: Any) -> Any:
        import threading

        threading.Event().wait(0.05)  # so slow that it is run beside the server, which hears of its end meanwhile
        if len(x) == 3:
            entered.touch()
            while not let_go.exists():
                threading.Event().wait(0.02)
        return model.predict(x)

    classifier = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    write_version(tmp_path / "v", classifier, X, format="native", one_row_s=0.05, code={"predict": predict})
    changes = {"AUTODEPLOY_MODEL": str(tmp_path / "v"), "AUTODEPLOY_DRAIN_S": "60"}
    entry = start("lambda", AWS_LAMBDA_RUNTIME_API=runtime.address, **changes).serving()
    slow = msgspec.json.encode({"inputs": X[:3].tolist()}).decode()
    runtime.events.put((msgspec.json.encode(second("/predict", body=slow)), WAIT_S))
    until(entered.exists)
    entry.process.send_signal(signal.SIGTERM)
    entry.logged("draining")
    assert entry.process.poll() is None
    let_go.touch()
    path, answer, _ = runtime.posted.get(timeout=WAIT_S)
    assert (path, answer["statusCode"]) == ("/invocation/id-1/response", 200)
    assert entry.process.wait(COMPANION_S) == 0
    assert runtime.count == 1  # it asked for no other
