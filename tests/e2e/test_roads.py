"""The fast road and BentoML's own give the same answer to the same request: our worker, and stock `bentoml serve`."""

from __future__ import annotations

import linecache
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from deployed import MAX_ROWS, PEOPLE, TEXTS, Deployed, deploy, iris_model, mood_model, people_model
from versions import X
from world import World

from autodeploy_magic.wire import to_request

START_S = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(240)]

Roads = tuple[httpx.Client, httpx.Client]


CODE = """
def preprocess(x):
    return x * 2

def postprocess(y):
    if len(y) == 13:
        raise ValueError("thirteen rows")
    return [{"label": str(value), "place": i} for i, value in enumerate(y)]
"""


def notebook() -> dict[str, Any]:
    """The code as a cell of a notebook defines it."""
    file = "/tmp/ipykernel_4711/31415.py"
    linecache.cache[file] = (len(CODE), None, CODE.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(CODE, file, "exec"), namespace)
    return {name: namespace[name] for name in ("preprocess", "postprocess")}


@pytest.fixture(scope="module")
def roads(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Roads]]:
    """For each deployment, a client of its worker and one of `bentoml serve` with the same Bento."""
    made = [
        deploy(world, "iris", iris_model(), X),
        deploy(world, "people", people_model(), PEOPLE),
        deploy(world, "mood", mood_model(), TEXTS),
        deploy(world, "worded", iris_model(), X, **notebook()),
    ]
    folder = tmp_path_factory.mktemp("stock")
    started: list[tuple[Deployed, int, subprocess.Popen[bytes]]] = []
    try:
        for each in made:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            started.append((each, port, _stock(world, each.name, port, folder)))
        found = {each.name: (each.client(), _client(port)) for each, port, _ in started}
        for name, (_, stock) in found.items():
            _wait_ready(stock, folder / f"{name}.log")
        yield found
        for clients in found.values():
            for client in clients:
                client.close()
    finally:
        for _, _, process in started:
            os.killpg(process.pid, signal.SIGTERM)
        for _, _, process in started:
            process.wait(30)


def _stock(world: World, name: str, port: int, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "BENTOML_HOME": str(world.store.bentoml_home(name)),
        "BENTOML_DO_NOT_TRACK": "true",
        "PYTHONSAFEPATH": "1",
        "AUTODEPLOY_MAX_ROWS": str(MAX_ROWS),
    }
    bento = world.store.version(name, 1).bento
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=30), timeout=START_S)


def _wait_ready(client: httpx.Client, log: Path) -> None:
    assert client.get("/readyz").status_code == 200, log.read_text()


PERSON = to_request(PEOPLE.head(1))[0]
SHOWN = to_request(PEOPLE.head(6))
IRIS = X[::30].tolist()
BOTH = ["predictions", "probabilities"]

REQUESTS: dict[str, list[dict[str, Any]]] = {
    "iris": [
        {"inputs": IRIS},
        {"inputs": IRIS[:1], "outputs": None},
        {"inputs": IRIS, "outputs": BOTH},
        {"inputs": IRIS, "outputs": ["probabilities"]},
        {"inputs": IRIS, "outputs": []},
        {"inputs": X[:MAX_ROWS].tolist()},
        {"inputs": [[1, 2, 3, 4], [True, 2.5, 3, -4]]},
        {"inputs": IRIS, "outputs": ["nothing"]},
        {"inputs": IRIS, "outputs": [*BOTH, "predictions"]},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": None},
        {"inputs": "text"},
        {"inputs": IRIS[0]},
        {"inputs": [[1, 2, 3]]},
        {"inputs": [[1, 2, 3, None]]},
        {"inputs": [[1, 2, 3, "4"]]},
        {"inputs": [[1, 2, 3, 10**30], [1, 2, 3, 1e308]]},
        {"inputs": [IRIS[0], IRIS[0][:2]]},
        {"inputs": [IRIS]},
        {"inputs": [{"a": 1}]},
        {"inputs": IRIS[:1] * (MAX_ROWS + 1)},
    ],
    "people": [
        {"inputs": SHOWN},
        {"inputs": [list(row.values()) for row in SHOWN]},
        {"inputs": {name: [row[name] for row in SHOWN] for name in PERSON}},
        {"inputs": SHOWN, "outputs": BOTH},
        {"inputs": [{**PERSON, "age": None}]},
        {"inputs": [dict(reversed(PERSON.items()))]},
        *({"inputs": [{**PERSON, name: None}]} for name in PERSON),
        *({"inputs": [{**PERSON, name: "no such thing"}]} for name in PERSON),
        *({"inputs": [{**PERSON, name: 1.5}]} for name in PERSON),
        *({"inputs": [{**PERSON, name: [1]}]} for name in PERSON),
        *({"inputs": [{key: value for key, value in PERSON.items() if key != name}]} for name in PERSON),
        {"inputs": [{**PERSON, "extra": 1}]},
        {"inputs": [{**PERSON, "children": 2**63}]},
        {"inputs": [PERSON, list(PERSON.values())]},
        {"inputs": {**{name: [PERSON[name]] for name in PERSON}, "age": [1, 2]}},
        {"inputs": {name: PERSON[name] for name in PERSON}},
        {"inputs": [PERSON, None]},
    ],
    "mood": [
        {"inputs": TEXTS},
        {"inputs": ["", "\u00e4\U0001f600\n\t\"'"], "outputs": BOTH},
        {"inputs": ["good", 1]},
        {"inputs": ["good", None]},
        {"inputs": "good"},
        {"inputs": [["good"]]},
    ],
    "worded": [
        {"inputs": IRIS},
        {"inputs": IRIS, "outputs": BOTH},
        {"inputs": X[:13].tolist()},
        {"inputs": [[1, 2, 3]]},
    ],
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_request_has_the_same_answer(roads: dict[str, Roads], name: str) -> None:
    ours, stock = roads[name]
    statuses = set()
    for body in REQUESTS[name]:
        wanted, found = ours.post("/predict", json=body), stock.post("/predict", json=body)
        said = f"{body!r:.300}\nours:  {wanted.text[:600]}\nstock: {found.text[:600]}"
        assert found.status_code == wanted.status_code, said
        assert _without_id(found) == _without_id(wanted), said
        assert found.headers["content-type"] == wanted.headers["content-type"], said
        statuses.add(wanted.status_code)
    assert {200, 422} <= statuses


def _without_id(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert isinstance(body.pop("id"), str)
    return body


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff", b'{"inputs": [[1, NaN, 3, 4]]}', b'{"outputs": []}'),
        b'{"inputs": [[1,2,3,4]], "outputs": "probabilities"}',
        b'{"inputs": [[1,2,3,4]], "outputs": [1]}',
    ],
)
def test_what_is_no_request_is_one_on_neither(roads: dict[str, Roads], content: bytes) -> None:
    """BentoML words these itself, before the model's road begins. A key that nobody knows, it ignores; we refuse it."""
    for client in roads["iris"]:
        answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, (content, answer.text)
        assert "Traceback" not in answer.text


def test_the_same_through_the_worker_that_has_mounted_the_bento(roads: dict[str, Roads]) -> None:
    """What no protocol of ours answers, the Bento's own app does, behind the worker's token."""
    ours, stock = roads["iris"]
    assert ours.get("/schema.json").json() == stock.get("/schema.json").json()
    assert ours.get("/schema.json", headers={"authorization": "Bearer no"}).status_code == 401


def test_numbers_are_the_same_to_the_last_digit(roads: dict[str, Roads]) -> None:
    rows = np.random.default_rng(3).normal(3, 2, (64, 4)).tolist()
    ours, stock = (client.post("/predict", json={"inputs": rows, "outputs": BOTH}) for client in roads["iris"])
    assert ours.json()["probabilities"] == stock.json()["probabilities"]
