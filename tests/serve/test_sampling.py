"""The sample of what is asked and answered: what is in it, whichever way it came, and what it costs the road."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from grpcport import BEARER, Port
from lanes import Bench, P, rows, run
from streaming import Served, body
from tritonclient import grpc as triton
from versions import X, write_version

from autodeploy_magic import settings
from autodeploy_magic.contracts import Column, Output, Signature
from autodeploy_magic.reservoir import Recorded, recent
from autodeploy_magic.serve import sampling as sampling_module
from autodeploy_magic.serve import worker
from autodeploy_magic.serve.http.app import App
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.road import Lineup, Road
from autodeploy_magic.serve.sampled import BODY_BYTES, INPUT_BYTES, Taken
from autodeploy_magic.serve.sampling import BURST, FAILED_EACH_SECOND, Sampling
from autodeploy_magic.wire import decode, to_request

BOTH = ["predictions", "probabilities"]
INPUTS = X[[0, 60]].tolist()


class Sampled:
    """Versions whose requests are sampled; `recorded` ends the second, and returns what was written, oldest first."""

    def __init__(self, folder: Path, *roads: Road, each_second: int = 20, share: float = 0.0) -> None:
        self.path = folder / "requests.sqlite"
        canary = roads[1] if share else None
        lineup = Lineup(roads[0], canary, share, loaded={road.version.number: road for road in roads})
        self.app = App(Front(lineup, Guard(tokens=[])))
        self.sampling = self.app.front.sampling = Sampling(self.path, each_second=each_second)

    def post(self, path: str, content: Any, **headers: str) -> httpx.Response:
        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                if isinstance(content, bytes):
                    return await client.post(path, content=content, headers=headers)
                return await client.post(path, json=content, headers=headers)

        return asyncio.run(exchange())

    def predict(self, inputs: Any, **more: Any) -> httpx.Response:
        return self.post("/predict", {"inputs": inputs, **more})

    def recorded(self) -> list[Recorded]:
        self.sampling.start()
        self.sampling.close()
        return recent(self.path, 1 << 20)[::-1]


@pytest.fixture
def sampled(version_folder: Path, tmp_path: Path) -> Sampled:
    return Sampled(tmp_path, Road(ServedModel.load(version_folder)))


def plain(request: Recorded) -> dict[str, Any]:
    """What is the same, whichever way a request came."""
    return request._replace(id="", at_s=0.0, seconds=0.0)._asdict()


def binary(inputs: Any) -> tuple[bytes, dict[str, str]]:
    """A request of the Open Inference Protocol, with the rows as bytes."""
    data = np.asarray(inputs, dtype="<f8").tobytes()
    tensor = {"name": "inputs", "shape": [2, 4], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": name} for name in BOTH]}).encode()
    return head + data, {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}


def test_every_protocol_leaves_the_same_record(sampled: Sampled) -> None:
    tensor = {"name": "inputs", "shape": [2, 4], "datatype": "FP64", "data": INPUTS}
    outputs = [{"name": name} for name in BOTH]
    answers = [
        sampled.predict(INPUTS, outputs=BOTH),
        sampled.post("/v2/models/iris/infer", {"inputs": [tensor], "outputs": outputs}),
        sampled.post("/v2/models/iris/infer", binary(INPUTS)[0], **binary(INPUTS)[1]),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    found = sampled.recorded()
    assert [request.id for request in found] == [answer.headers["x-request-id"] for answer in answers]
    first = answers[0].json()
    assert found[0].inputs == INPUTS
    assert found[0].outputs == {name: first[name] for name in BOTH}
    assert found[0].confidence == pytest.approx([max(row) for row in first["probabilities"]], abs=1e-6)
    assert (found[0].version, found[0].status, found[0].rows, found[0].kept) == (1, 200, 2, (0, 1))
    assert [plain(request) for request in found[1:]] == [plain(found[0])] * 2


def test_the_protocols_without_probabilities_leave_the_same_record(sampled: Sampled) -> None:
    answers = [
        sampled.predict(INPUTS),
        sampled.post("/v1/models/iris:predict", {"instances": INPUTS}),
        sampled.post("/invocations", {"inputs": INPUTS}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    found = sampled.recorded()
    assert len(found) == 3
    assert found[0].outputs["predictions"] == answers[0].json()["predictions"]
    assert [plain(request) for request in found[1:]] == [plain(found[0])] * 2


def test_probabilities_that_were_not_asked_for_are_kept_where_they_cost_no_run(
    version_folder: Path, sampled: Sampled
) -> None:
    answer = sampled.predict(INPUTS).json()
    assert set(answer) == {"predictions", "id", "version"}
    (found,) = sampled.recorded()
    onnx = ServedModel.load(version_folder).version.format == "onnx"
    assert set(found.outputs) == (set(BOTH) if onnx else {"predictions"})
    assert len(found.confidence) == (2 if onnx else 0)


def test_over_grpc_it_is_the_same(serve: Callable[..., Port], tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path / "iris", classifier, X)
    over_http = Sampled(tmp_path, Road(ServedModel.load(tmp_path / "iris")))
    over_http.predict(INPUTS, outputs=BOTH)
    port = serve(tmp_path / "iris")
    sampling = Sampling(tmp_path / "grpc.sqlite", each_second=20)
    port.on_loop(lambda: setattr(port.front, "sampling", sampling))
    given = triton.InferInput("inputs", [2, 4], "FP64")
    given.set_data_from_numpy(np.asarray(INPUTS))
    bad = triton.InferInput("inputs", [2, 3], "FP64")
    bad.set_data_from_numpy(np.zeros((2, 3)))
    with triton.InferenceServerClient(port.address) as client:
        answer = client.infer("iris", [given], headers=dict(BEARER))
        with pytest.raises(triton.InferenceServerException):
            client.infer("iris", [bad], headers=dict(BEARER))
    sampling.start()
    sampling.close()
    (found,) = recent(tmp_path / "grpc.sqlite", 10)
    assert found.id == answer.get_response().id
    assert plain(found) == plain(over_http.recorded()[0])


@pytest.fixture
def serve() -> Iterator[Callable[..., Port]]:
    ports: list[Port] = []

    def start(*folders: Path) -> Port:
        ports.append(Port(folders, None))
        return ports[-1]

    yield start
    for port in ports:
        port.stop()


def test_who_answered_is_the_version(tmp_path: Path, classifier: Any) -> None:
    for number in (1, 2):
        write_version(tmp_path / str(number), classifier, X, number=number)
    roads = [Road(ServedModel.load(tmp_path / str(number))) for number in (1, 2)]
    sampled = Sampled(tmp_path, *roads, share=0.5)
    told = [sampled.predict(INPUTS[:1]).json()["version"] for _ in range(20)]
    assert [request.version for request in sampled.recorded()] == told
    assert set(told) == {1, 2}


def test_what_was_refused_is_not_recorded(sampled: Sampled) -> None:
    assert sampled.predict([[1.0]]).status_code == 422
    assert sampled.recorded() == []


def test_of_many_rows_some_are_kept_evenly(sampled: Sampled) -> None:
    answer = sampled.predict(X.tolist()).json()
    (found,) = sampled.recorded()
    assert found.rows == 150
    assert len(found.kept) == 64
    assert set(np.diff(found.kept)) == {2, 3}
    assert found.inputs == X[list(found.kept)].tolist()
    assert found.outputs["predictions"] == [answer["predictions"][row] for row in found.kept]


def test_of_a_second_each_request_is_as_likely_kept(tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path / "iris", classifier, X)
    road = Road(ServedModel.load(tmp_path / "iris"))
    sampling = Sampling(tmp_path / "requests.sqlite", each_second=5)
    batch = road.served.decode(INPUTS)
    seen: Counter[int] = Counter()
    begun = 0
    for _ in range(2000):
        sampling._most = 5  # nothing is left of the burst
        for i in range(50):
            sampling.left -= 1
            if sampling.left < 0:
                begun += 1
                sampling.begin(road, ["predictions"])
                sampling.answered(str(i), road, 0.0, batch, {})
        seen.update(int(taken.id) for taken in sampling._taken)
        sampling._taken.clear()
        sampling.tick()
    assert seen.total() == 2000 * 5
    assert begun < 2000 * 20
    expected = 2000 * 5 / 50
    assert sum((seen[i] - expected) ** 2 / expected for i in range(50)) < 90  # chi² with 49 degrees: 1 in 3000
    road.close()


def test_each_second_has_its_own_share_and_a_burst_after_quiet_ones(version_folder: Path, tmp_path: Path) -> None:
    sampled = Sampled(tmp_path, Road(ServedModel.load(version_folder)), each_second=2)
    for asked in (25, 4, 4):
        for _ in range(asked):
            sampled.predict(INPUTS)
        sampled.sampling.tick()
    assert len(sampled.recorded()) == 2 * BURST + 2 + 2


def failing(tmp_path: Path) -> Sampled:
    def preprocess(x: Any) -> Any:
        if (x == 666).any():
            raise ValueError("this row")
        return x

    class Even:
        def predict(self, x: Any) -> Any:
            return x[:, 0] % 2 == 0

        predict_proba = predict

    write_version(tmp_path / "failing", Even(), X, format="native", code={"preprocess": preprocess})
    return Sampled(tmp_path, Road(ServedModel.load(tmp_path / "failing")))


def test_requests_that_failed_are_kept_with_what_was_sent(tmp_path: Path) -> None:
    sampled = failing(tmp_path)
    bad = [[666.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]
    answer = sampled.predict(bad)
    assert answer.status_code == 500
    large = b'{"inputs": [[666, 2, 3, 4]]' + b" " * BODY_BYTES + b"}"
    assert sampled.post("/predict", large, **{"content-type": "application/json"}).status_code == 500
    data, headers = binary(bad)
    assert sampled.post("/v2/models/iris/infer", data, **headers).status_code == 500
    found = sampled.recorded()
    assert found[0].id == answer.json()["id"]
    assert (found[0].status, found[0].inputs, found[0].outputs) == (500, bad, {})
    assert json.loads(found[0].body) == {"inputs": bad}
    assert found[0].error.endswith("ValueError: this row")
    assert found[1].body == ""
    assert found[1].inputs == bad[:1]
    assert found[2].body.startswith("data:application/octet-stream;base64,")


def test_a_storm_of_failures_leaves_a_few_of_each_second(tmp_path: Path) -> None:
    sampled = failing(tmp_path)
    for _ in range(FAILED_EACH_SECOND + 3):
        sampled.predict([[666.0, 2.0, 3.0, 4.0]])
    sampled.sampling.tick()
    sampled.predict([[666.0, 2.0, 3.0, 4.0]])
    assert [request.status for request in sampled.recorded()] == [500] * (FAILED_EACH_SECOND + 1)


def test_joined_requests_are_recorded_each_by_itself(bench: Bench) -> None:
    async def test() -> None:
        lane, model = bench.sum(gated=True)
        assert model.gate is not None
        first = lane.run(rows(lane, [1, 1, 1, 1]), P)
        assert await asyncio.to_thread(model.entered.wait, 20.0)
        others = [lane.run(rows(lane, [n] * 4), P, ("probabilities",) if n == 3 else ()) for n in (2, 3, 4)]
        model.gate.set()
        answers = await asyncio.gather(*[first, *others])  # type: ignore[list-item]
        assert [answer["predictions"].tolist() for answer in answers] == [[4.0], [8.0], [12.0], [16.0]]
        assert [sorted(answer) for answer in answers] == [["predictions"]] * 2 + [BOTH] + [["predictions"]]
        assert answers[2]["probabilities"].tolist() == [[12.0, 12.0]]
        assert model.seen == [1, 3]

    run(test)


def test_a_streamed_answer_is_kept_as_one(tmp_path: Path) -> None:
    with Served(tmp_path / "version") as served:
        sampling = Sampling(tmp_path / "requests.sqlite", each_second=20)
        served.front.sampling = sampling
        whole = json.loads(served.ask(body(3), {"content-type": "application/json"}).read())
        assert b"event: end" in served.ask(body(3)).read()
        served.ended()
        served.ended()
        sampling.start()
        sampling.close()
    one_piece, streamed = recent(tmp_path / "requests.sqlite", 10)[::-1]
    assert whole["predictions"] == ["item 1", "item 2", "item 3"]
    assert one_piece.outputs == {"predictions": [whole["predictions"]]}
    assert plain(streamed) == plain(one_piece)


def version(signature: Signature, *outputs: Output) -> Any:
    """As much of a version as a record needs."""

    class Version:
        number = 3

    found: Any = Version()
    found.signature, found.outputs = signature, outputs or (Output(name="predictions", container="list"),)
    return found


def taken(signature: Signature, inputs: Any, predictions: Any, **how: Any) -> Recorded:
    batch = decode(signature, inputs)
    record = version(signature, *how.pop("described", ()))
    outputs = {"predictions": predictions, **how}
    return Taken("a", 0.0, record, 200, 0.0, batch.rows, None, batch, outputs).recorded()


TABLE = pd.DataFrame(
    {
        "x": [1.5, np.nan],
        "n": pd.array([1, None], dtype="Int64"),
        "t": pd.to_datetime(["2026-01-02", None]),
        "c": ["a", None],
        "b": [True, False],
    }
)
COLUMNS = (
    Column(name="x", dtype="float64", nullable=True),
    Column(name="n", dtype="Int64", nullable=True),
    Column(name="t", dtype="datetime64[ns]", nullable=True),
    Column(name="c", dtype="str", nullable=True),
    Column(name="b", dtype="bool"),
)
CONTAINERS: list[tuple[Signature, Any]] = [
    (Signature(container="dataframe", columns=COLUMNS), TABLE),
    (
        Signature(
            container="dict", columns=(Column(name="a", dtype="float32", shape=(2,)), Column(name="b", dtype="int64"))
        ),
        {"a": np.array([[1, 2], [3, 4]], "float32"), "b": np.array([1, 2])},
    ),
    (Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(4,)),)), X[:2]),
    (
        Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(2,), nullable=True),)),
        np.array([[1.0, np.nan], [np.nan, 2.0]]),
    ),
    (Signature(container="list", columns=(Column(name="inputs", dtype="str"),)), ["good", "é\n"]),
    (Signature(container="list", columns=(Column(name="inputs", dtype="int64", shape=(-1,)),)), [[1, 2], [3]]),
]


@pytest.mark.parametrize(("signature", "container"), CONTAINERS, ids=lambda value: getattr(value, "container", ""))
def test_what_is_recorded_of_any_container_may_be_sent_again(signature: Signature, container: Any) -> None:
    found = taken(signature, to_request(container), [1, 2])
    assert found.outputs == {"predictions": [1, 2]}
    again = taken(signature, found.inputs, [1, 2])
    assert again.inputs == found.inputs
    before, after = decode(signature, to_request(container)), decode(signature, found.inputs)
    for name, values in before.columns.items():
        assert to_request(values) == to_request(after.columns[name])


ARRAY = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(1,)),))


@pytest.mark.parametrize(
    ("predictions", "container", "wanted"),
    [
        (np.array([1.0, np.nan]), "ndarray", [1.0, None]),
        (np.array([np.inf, -np.inf]), "ndarray", [None, None]),
        (pd.Series(["a", None]), "series", ["a", None]),
        (pd.DataFrame({"a": [1, 2]}), "dataframe", [{"a": 1}, {"a": 2}]),
        (["a", {"b": [1]}], "list", ["a", {"b": [1]}]),
        ([None, object()], "list", None),
    ],
)
def test_predictions_of_any_container_are_kept(predictions: Any, container: Any, wanted: Any) -> None:
    described = [Output(name="predictions", container=container)]
    found = taken(ARRAY, [[1.0], [2.0]], predictions, described=described)
    assert found.outputs == ({} if wanted is None else {"predictions": wanted})
    assert found.inputs == [[1.0], [2.0]]


def test_one_answer_for_all_rows_is_kept_for_one_row_alone() -> None:
    described = [Output(name="predictions", container="json", per_row=False)]
    assert taken(ARRAY, [[1.0]], {"total": 1}, described=described).outputs == {"predictions": [{"total": 1}]}
    assert taken(ARRAY, [[1.0], [2.0]], {"total": 3}, described=described).outputs == {}


def test_of_wide_rows_fewer_are_kept_and_of_too_wide_ones_none() -> None:
    def of(width: int, count: int) -> Recorded:
        signature = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(width,)),))
        return taken(signature, np.random.default_rng(1).random((count, width)).tolist(), list(range(count)))

    wide, too_wide = of(800, 10), of(20_000, 3)
    assert 1 <= len(wide.kept) < 10
    assert 0.3 * INPUT_BYTES < len(json.dumps(wide.inputs, separators=(",", ":"))) <= INPUT_BYTES
    assert wide.outputs["predictions"] == list(wide.kept)
    assert too_wide.inputs is None
    assert too_wide.kept == (0, 1, 2)
    files = Signature(container="list", columns=(Column(name="inputs", dtype="bytes"),))
    assert taken(files, ["aGVsbG8="], [1]).inputs is None


def test_probabilities_of_many_classes_leave_the_confidence_alone() -> None:
    described = [Output(name=name, container="ndarray", dtype="float64") for name in BOTH]
    probabilities = np.full((2, 10_000), 1e-5)
    probabilities[:, 7] = 0.9
    found = taken(ARRAY, [[1.0], [2.0]], np.array([7, 7]), described=described, probabilities=probabilities)
    assert found.confidence == (0.9, 0.9)
    assert found.outputs == {"predictions": [7, 7]}


def test_a_full_disk_costs_records_and_no_answer(sampled: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_module, "KEPT_BACK", 3)
    writing, before = sampled.sampling._writing, resource.getrlimit(resource.RLIMIT_FSIZE)
    sampled.predict(INPUTS)
    sampled.sampling.tick()
    assert writing.write(sampled.sampling._encoded())
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, before[1]))
    try:
        waiting: list[Recorded] = []
        for _ in range(40):
            assert sampled.predict(X.tolist()).status_code == 200
            sampled.sampling.tick()
            waiting += sampled.sampling._encoded()
            if writing.write(waiting):
                waiting = []
        assert waiting
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writing.write(waiting)
    writing.close()
    assert len(recent(sampled.path, 100)) == 41


def test_what_cannot_be_written_is_counted(sampled: Sampled) -> None:
    sampled.path.mkdir()
    sampled.predict(INPUTS)
    assert sampled.sampling.dropped == 0
    sampled.sampling.start()
    sampled.sampling.close()
    assert sampled.sampling.dropped == 1


def test_a_file_that_was_deleted_is_made_again(sampled: Sampled) -> None:
    writing = sampled.sampling._writing
    for number in range(2):
        sampled.predict(INPUTS)
        sampled.sampling.tick()
        assert writing.write(sampled.sampling._encoded())
        assert len(recent(sampled.path, 10)) == 1
        if number == 0:
            for file in sampled.path.parent.glob("requests.sqlite*"):
                file.unlink()
    writing.close()


def test_the_file_stays_within_its_limits(sampled: Sampled) -> None:
    settings.set_option("record_bytes", 200_000)
    try:
        sampled.sampling._writing = writing = type(sampled.sampling._writing)(sampled.path)
        for _ in range(60):
            sampled.predict(X.tolist())
            sampled.sampling.tick()
            assert writing.write(sampled.sampling._encoded())
        writing.close()
    finally:
        settings.reset()
    assert 10 < len(recent(sampled.path, 100)) < 60
    assert sampled.path.stat().st_size < 300_000


def test_several_workers_write_one_file(sampled: Sampled) -> None:
    road = sampled.app.front.lineup.champion
    batch = road.served.decode(INPUTS)
    workers = [Sampling(sampled.path, each_second=20) for _ in range(3)]
    for number, one in enumerate(workers):
        one.start()
        for i in range(10):
            one.answered(f"{number}-{i}", road, 0.0, batch, {})
            one.tick()
    for one in workers:
        one.close()
    assert sum(one.dropped for one in workers) == 0
    assert {request.id for request in recent(sampled.path, 100)} == {f"{n}-{i}" for n in range(3) for i in range(10)}


def test_where_none_are_wanted_none_are_kept(tmp_path: Path) -> None:
    order: Any = SimpleNamespace(requests=str(tmp_path / "requests.sqlite"))
    try:
        found = worker._sampling(order)
        assert isinstance(found, Sampling)
        settings.set_option("record_requests", 0)
        assert worker._sampling(order) is None
    finally:
        settings.reset()
