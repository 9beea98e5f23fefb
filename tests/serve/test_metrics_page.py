"""/metrics: what clients were answered, whichever worker tells, and whatever became of those that answered."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import statistics
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from deployed import Deployed, deploy, iris_model
from grpcport import INFER, Gate, request
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Sample
from versions import X, write_version
from workers import TOKEN, Started
from world import WAIT_S, World, until

from autodeploy_magic.contracts import Version
from autodeploy_magic.metrics import GAMMA, bucket, open_for_writing
from autodeploy_magic.metrics.histogram import upper_s
from autodeploy_magic.metrics.resources import Resources, insert_resources
from autodeploy_magic.serve.exposition import LATENCIES_S, Exposition, _buckets
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"}


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "1.0")
    world = World(store, connect(store))
    yield world
    world.end()


class Asked:
    """Clients of a deployment, and what they were answered: by version and status, with the time each took."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.answers: Counter[tuple[int, int]] = Counter()
        self.seconds: list[float] = []
        self.rows = self.sent = self.received = 0
        self.lost: list[str] = []  # what came instead of an answer
        self._url = url
        self._headers = headers
        self._lock = threading.Lock()

    def __call__(self, requests: int, *, clients: int = 4, stop: threading.Event | None = None) -> None:
        """`requests` of each client; one in five cannot be answered, and half of the clients keep no connection."""
        threads = [
            threading.Thread(target=self._run, args=(number, requests, stop or threading.Event()))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)

    def _run(self, number: int, requests: int, stop: threading.Event) -> None:
        client = httpx.Client(timeout=WAIT_S, headers=self._headers)
        for i in range(requests):
            if stop.is_set():
                break
            rows = i % 3 + 1
            body = json.dumps({"inputs": X[:rows, :2].tolist() if i % 5 == 4 else X[:rows].tolist()}).encode()
            started = time.perf_counter()
            try:
                headers = {"content-type": "application/json"}
                answer = client.post(f"{self._url}/predict", content=body, headers=headers)
            except httpx.HTTPError as error:
                self.lost.append(repr(error))
                continue
            self._note(answer, rows, body, time.perf_counter() - started)
            if number % 2:
                client.close()
                client = httpx.Client(timeout=WAIT_S, headers=self._headers)
        client.close()

    def _note(self, answer: httpx.Response, rows: int, body: bytes, seconds: float) -> None:
        with self._lock:
            self.answers[answer.json().get("version", 0), answer.status_code] += 1
            self.seconds.append(seconds)
            self.rows += rows if answer.status_code == 200 else 0
            self.sent += len(body)
            self.received += len(answer.content)

    def statuses(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for (_, status), count in self.answers.items():
            total[str(status)] += count
        return dict(total)


def asked(deployed: Deployed) -> Asked:
    return Asked(deployed.url, deployed.headers)


def page(deployed: Deployed, headers: dict[str, str] | None = None) -> httpx.Response:
    """What a new connection gets, from whichever worker has it."""
    answer = httpx.get(f"{deployed.url}/metrics", headers=deployed.headers | (headers or {}), timeout=WAIT_S)
    assert answer.status_code == 200, answer.text
    return answer


def samples(text: str) -> list[Sample]:
    families = list(parser.text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a family comes twice"
    assert all(family.documentation for family in families)
    return [sample for family in families for sample in family.samples]


def value(found: list[Sample], name: str, **labels: str) -> float | None:
    """The sum over the samples with these labels; None where there is none."""
    values = [each.value for each in found if each.name == name and labels.items() <= each.labels.items()]
    return sum(values) if values else None


def by_code(found: list[Sample]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for sample in found:
        if sample.name == "autodeploy_requests_total" and sample.value:
            total[sample.labels["code"]] += int(sample.value)
    return dict(total)


def when_told(deployed: Deployed, wanted: Callable[[], dict[str, int]]) -> list[Sample]:
    """The first page whose counts of answers are those that are wanted: each worker's is a moment old."""
    found: list[Sample] = []

    def told() -> bool:
        found[:] = samples(page(deployed).text)
        return by_code(found) == wanted()

    until(told)
    return found


def test_it_counts_what_clients_were_answered_whichever_worker_tells(world: World) -> None:
    iris = deploy(world, "iris", iris_model(), X, workers=2)
    clients = asked(iris)
    clients(60)
    assert clients.lost == []
    workers: dict[str, list[Sample]] = {}

    def told() -> bool:
        answer = page(iris)
        workers[answer.headers["x-request-id"][:20]] = samples(answer.text)
        return [by_code(found) for found in workers.values()] == [clients.statuses()] * 2

    until(told)
    assert clients.statuses() == {"200": 192, "422": 48}
    for found in workers.values():
        of = {"deployment": "iris", "version": "1"}
        assert value(found, "autodeploy_request_rows_total", **of) == clients.rows
        assert value(found, "autodeploy_request_bytes_total", **of) == clients.sent
        assert value(found, "autodeploy_response_bytes_total", **of) == clients.received
        assert value(found, "autodeploy_request_duration_seconds_count", **of) == 240
        assert 0 < (value(found, "autodeploy_request_duration_seconds_sum", **of) or 0) < sum(clients.seconds)
        assert value(found, "autodeploy_batch_rows_sum", **of) == clients.rows
        runs = value(found, "autodeploy_batch_rows_count", **of)
        assert runs == value(found, "autodeploy_model_executions_total", **of)
        assert 0 < (runs or 0) <= 192
        assert value(found, "autodeploy_dropped_total", **of) == 0
        assert value(found, "autodeploy_build_info", **of, format="onnx", framework="sklearn") == 1
        assert (value(found, "autodeploy_workers_up"), value(found, "autodeploy_workers_ready")) == (2, 2)


@pytest.mark.slow
def test_counts_go_on_after_a_swap_a_restart_and_a_death(world: World) -> None:
    iris = deploy(world, "iris", iris_model(), X, workers=2)
    clients = asked(iris)
    clients(30)
    world.serve(world.version("iris", c=0.01), "iris", workers=2)
    clients(30)
    world.supervisor.restart("iris", lambda _: None)
    clients(30)
    when_told(iris, clients.statuses)
    for worker in world.supervisor.status("iris").workers:
        os.kill(worker.pid, signal.SIGKILL)
    until(lambda: world.supervisor.status("iris").state == "running" and _answers(iris))
    when_told(iris, clients.statuses)
    clients(30)
    found = when_told(iris, clients.statuses)
    assert clients.lost == []
    good = {version: count for (version, status), count in clients.answers.items() if status == 200}
    assert good.keys() == {1, 2}
    for version, count in good.items():
        assert value(found, "autodeploy_requests_total", version=str(version), code="200") == count
    until(lambda: value(samples(page(iris).text), "autodeploy_workers_ready") == 2)


def _answers(deployed: Deployed) -> bool:
    try:
        return httpx.get(f"{deployed.url}/readyz", timeout=WAIT_S).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_a_death_under_load_costs_the_last_second_and_nothing_goes_back(world: World) -> None:
    iris = deploy(world, "iris", iris_model(), X, workers=2)
    clients, stop = asked(iris), threading.Event()
    load = threading.Thread(target=clients, args=(10**9,), kwargs={"stop": stop})
    load.start()
    try:
        before: dict[str, int] = {}
        until(lambda: before.update(by_code(samples(page(iris).text))) or sum(before.values()) > 100)
        os.kill(world.supervisor.status("iris").workers[0].pid, signal.SIGKILL)
        since = sum(clients.answers.values())
        until(lambda: sum(clients.answers.values()) > since + 200)
    finally:
        stop.set()
        load.join(WAIT_S)
    answered = clients.statuses()
    rate = sum(answered.values()) / max(sum(clients.seconds) / 4, 0.1)

    def told() -> bool:
        found = by_code(samples(_page(iris)))
        assert all(found[code] <= answered[code] for code in found)
        later = all(found[code] >= count for code, count in before.items())
        return later and sum(found.values()) >= sum(answered.values()) - 3 * rate

    until(told)


def _page(deployed: Deployed) -> str:
    """As `page`, where a worker may be dying with the connection."""
    while True:
        try:
            return page(deployed).text
        except httpx.HTTPError:
            continue


def test_the_histogram_has_the_quantiles_that_clients_saw(world: World) -> None:
    def slow(model: Any, x: Any) -> Any:
        import time

        time.sleep(0.03)
        return model.predict(x)

    iris = deploy(world, "iris", iris_model(), X, predict=slow)
    clients = asked(iris)
    clients(12, clients=1)
    found = when_told(iris, clients.statuses)
    answered = sorted(seconds for seconds in clients.seconds if seconds >= 0.03)
    assert len(answered) == clients.statuses()["200"]
    le = statistics.median(answered)
    upper = str(float(next(bound for bound in LATENCIES_S if bound >= le)))
    lower = "0.025"
    name = "autodeploy_request_duration_seconds_bucket"
    within = (value(found, name, le=upper) or 0) - (value(found, name, le=lower) or 0)
    assert within >= len(answered) / 2
    assert value(found, name, le=lower) == clients.statuses()["422"]  # and none of those that were answered


def test_it_needs_the_token_and_speaks_two_formats(world: World) -> None:
    iris = deploy(world, "iris", iris_model(), X)
    assert httpx.get(f"{iris.url}/metrics").status_code == 401
    assert httpx.post(f"{iris.url}/metrics", headers=iris.headers).status_code == 405
    plain = page(iris)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.headers["vary"] == "accept"
    for accept in ("*/*", "text/html", "text/plain; version=0.0.4", "application/openmetrics-text; version=0.0.1"):
        assert page(iris, {"accept": accept}).headers["content-type"] == plain.headers["content-type"]
    other = page(iris, OPENMETRICS)
    assert other.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = list(openmetrics.text_string_to_metric_families(other.text))
    units = {family.name: family.unit for family in families}
    assert units["autodeploy_request_duration_seconds"] == "seconds"
    assert {"autodeploy_requests", "autodeploy_build", "autodeploy_workers_ready"} <= units.keys()


def test_what_bentoml_counts_follows_with_its_worker(world: World) -> None:
    iris = deploy(world, "iris", iris_model(), X, workers=2)
    asking = "bentoml_service_request_total"
    assert value(samples(page(iris).text), asking) is None  # nobody has asked the Bento's own app

    def ask() -> set[str]:
        assert httpx.get(f"{iris.url}/schema.json", headers=iris.headers, timeout=WAIT_S).status_code == 200
        found = samples(page(iris).text)
        return {sample.labels["worker"] for sample in found if sample.name == asking}

    until(lambda: len(ask()) == 2)
    text = page(iris, OPENMETRICS).text
    found = [s for family in openmetrics.text_string_to_metric_families(text) for s in family.samples]
    pids = {str(worker.pid) for worker in world.supervisor.status("iris").workers}
    assert {sample.labels["worker"] for sample in found if sample.name == asking} == pids
    assert value(found, "autodeploy_build_info") == 1


def test_calls_over_grpc_count_too(world: World) -> None:
    import grpc

    world.serve(world.version(), grpc=True)
    iris = Deployed(world, "iris", None)
    address = world.supervisor.status("iris").grpc_url.rpartition("/")[2]
    metadata = [("authorization", f"Bearer {iris.token}")]
    with grpc.insecure_channel(address) as channel:
        for _ in range(5):
            channel.unary_unary(INFER)(request().SerializeToString(), metadata=metadata, timeout=WAIT_S)
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(INFER)(request(X[:2, :2]).SerializeToString(), metadata=metadata, timeout=WAIT_S)
    found = when_told(iris, lambda: {"200": 5, "422": 1})
    assert value(found, "autodeploy_request_rows_total") == 10


@pytest.mark.parametrize("one_row_s", [10.0, 1e-6], ids=["in a thread", "on the loop"])
def test_a_model_that_is_stuck_is_seen(tmp_path: Path, one_row_s: float) -> None:
    gate = Gate(tmp_path / "gate")
    path = str(gate.path)

    def predict(model: Any, x: Any) -> Any:
        from pathlib import Path

        if Path(path).exists():
            Path(path).read_bytes()
        return model.predict(x)

    write_version(
        tmp_path / "version", iris_model(), X, format="native", one_row_s=one_row_s, code={"predict": predict}
    )
    worker = Started(tmp_path / "version", tmp_path, drain_s=1.0)
    file = worker.metrics.with_suffix(".sqlite")
    try:
        worker.serve()
        gate.close()
        body = {"inputs": X[:1].tolist()}
        headers = {"authorization": f"Bearer {TOKEN}"}
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{worker.url}/predict", json=body, headers=headers, timeout=WAIT_S).status_code
            )
        )
        asking.start()
        gate.entered()
        until(lambda: len(_rows(file)) >= 2)
        assert not answers
        gate.open()
        asking.join(WAIT_S)
        assert answers == [200]
        until(lambda: sum(requests for _, requests, _ in _rows(file)) == 1)
    finally:
        gate.open()
        worker.process.terminate()
        worker.end()
        worker.listening.close()
    rows = _rows(file)
    assert rows[-1][1] == 1
    assert [second for second, _, _ in rows] == list(range(rows[0][0], rows[0][0] + len(rows)))
    assert {in_flight for _, _, in_flight in rows} == {1}


def _rows(file: Path) -> list[tuple[int, int, int]]:
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as connection:
        try:
            return connection.execute("SELECT second, requests, in_flight FROM rollups ORDER BY second").fetchall()
        except sqlite3.OperationalError:
            return []  # it is being made


def test_processes_that_nobody_watches_are_no_zeros(tmp_path: Path, classifier: Any) -> None:
    version = write_version(tmp_path / "version", classifier, X)
    file = tmp_path / "metrics.sqlite"
    now = int(time.time())

    def told(*rows: Resources) -> list[Sample]:
        with closing(open_for_writing(file)) as connection:
            insert_resources(connection, rows)
        return _told(version, metrics=file)

    assert value(told(), "autodeploy_process_cpu_seconds_total") is None
    found = told(Resources(now - 60, 1.0, 2, 0.5, 10, 20, 3, 4, 5, 6))
    assert value(found, "autodeploy_process_cpu_seconds_total") == 0.5
    assert value(found, "autodeploy_process_memory_bytes") is None  # who looked last did so a minute ago
    found = told(Resources(now - 2, 1.0, 2, 0.25, 10, 20, 3, 4, 5, -1, 0.5, 7))
    assert value(found, "autodeploy_process_cpu_seconds_total") == 0.75
    names = ("process_memory_bytes", "process_threads", "disk_bytes", "gpu_utilization_ratio", "disk_free_bytes")
    assert [value(found, f"autodeploy_{name}") for name in names] == [10, 3, 5, 0.5, None]
    found = told(Resources(now - 1, 1.0, 0, 0.0, 0, 0, 0, 0, 5, 6))
    assert [value(found, f"autodeploy_{name}") for name in ("processes", *names)] == [0, None, None, 5, None, 6]


def test_a_version_without_a_file_tells_what_is_loaded(tmp_path: Path, classifier: Any) -> None:
    version = write_version(tmp_path / "version", classifier, X)
    found = _told(version)
    assert {sample.name for sample in found} == {"autodeploy_build_info"}
    assert _told(version, metrics=tmp_path / "none.sqlite") == found
    write = open_for_writing(tmp_path / "metrics.sqlite")
    write.close()
    found = _told(version, metrics=tmp_path / "metrics.sqlite")
    assert value(found, "autodeploy_requests_total", code="200") == 0  # so that a first answer is an increase
    assert value(found, "autodeploy_requests_in_flight") == 0
    found = _told(version, metrics=tmp_path / "metrics.sqlite", recording=False)
    assert value(found, "autodeploy_requests_in_flight") is None


def test_a_file_that_cannot_be_read_is_said_and_not_shown_as_nothing(world: World) -> None:
    iris = deploy(world, "iris", iris_model(), X)
    file = world.store.metrics_file("iris")
    until(file.exists)
    world.kill_supervisor()
    for path in file.parent.glob("metrics.sqlite*"):
        path.unlink()
    file.write_bytes(b"no database" * 100)
    answer = httpx.get(f"{iris.url}/metrics", headers=iris.headers, timeout=WAIT_S)
    assert answer.status_code == 503
    assert answer.json()["error"] == "Unavailable"
    file.unlink()


def _told(version: Version, **how: Any) -> list[Sample]:
    exposition = Exposition("iris", lambda: [version], **how)
    return samples(exposition._text([version], openmetrics=False).decode())


@given(values=st.lists(st.floats(1e-7, 100), max_size=50))
def test_a_bucket_counts_what_is_certainly_within_its_bound(values: list[float]) -> None:
    counts = Counter(bucket(value) for value in values)
    uppers: dict[float, int] = {upper_s(index): count for index, count in counts.items()}
    found = _buckets(uppers, LATENCIES_S)
    values.sort()
    for (name, count), bound in zip(found, (*LATENCIES_S, float("inf")), strict=True):
        assert float(name) == bound
        assert count <= bisect_left(values, bound * (1 + 1e-9))
        assert count >= bisect_left(values, max(bound / GAMMA, 0) * (1 - 1e-9))
    assert found[-1][1] == len(values)


def test_a_page_is_made_once_for_all_who_ask_at_once(
    tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    version = write_version(tmp_path / "version", classifier, X)
    exposition = Exposition("iris", lambda: [version])
    made: list[bool] = []
    real: Callable[..., bytes] = exposition._text

    def counted(*args: Any, **how: Any) -> bytes:
        made.append(how["openmetrics"])
        return real(*args, **how)

    monkeypatch.setattr(exposition, "_text", counted)

    async def ask() -> None:
        pages = await asyncio.gather(*(exposition.page(openmetrics=bool(i % 2)) for i in range(20)))
        assert len(set(pages)) == 2
        assert sorted(made) == [False, True]
        exposition._since -= 1.0  # as if that long ago
        await exposition.page(openmetrics=False)
        assert sorted(made) == [False, False, True]

    asyncio.run(ask())
