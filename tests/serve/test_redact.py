"""What a person does not want kept is in no record: columns, answers, bodies, and values that errors quote."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from versions import X, write_version

from autodeploy_magic import settings
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Column, Signature, encode
from autodeploy_magic.reservoir import Recorded, columns_of, hidden_columns, named, names_of, recent
from autodeploy_magic.reservoir.hidden import DROPPED
from autodeploy_magic.serve import worker
from autodeploy_magic.serve.http.app import App
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.redact import KEY_FILE, Redaction, brief
from autodeploy_magic.serve.road import Lineup, Road
from autodeploy_magic.serve.sampling import Sampling

SSN = "123-45-6789"
PEOPLE = pd.DataFrame(
    {
        "ssn": [SSN if i == 0 else f"{i:03d}-00-0000" for i in range(40)],
        "email": [f"p{i % 5}@example.org" for i in range(40)],
        "age": np.linspace(20, 70, 40),
    }
)
ONE = {"ssn": SSN, "email": "p1@example.org", "age": 30.5}


@pytest.fixture(autouse=True)
def clean() -> Any:
    yield
    settings.reset()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "v1"
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["ssn", "email"]), ("passthrough", ["age"])
    )
    model = make_pipeline(encoder, LogisticRegression(max_iter=500)).fit(PEOPLE, PEOPLE["age"] > 45)
    version = write_version(folder, model, PEOPLE, format="native")  # type: ignore[arg-type]
    framed = msgspec.structs.replace(version, signature=read_sample(PEOPLE).signature)
    (folder / "version.json").write_bytes(encode(framed))
    return folder


class Asked:
    """A version whose requests are recorded as the settings say; `recorded` are those, oldest first."""

    def __init__(self, folder: Path, path: Path, **chosen: Any) -> None:
        for name, value in chosen.items():
            settings.set_option(name, value)
        self.path = path
        self.app = App(Front(Lineup(Road(ServedModel.load(folder))), Guard(tokens=[])))
        self.sampling = self.app.front.sampling = worker._sampling(SimpleNamespace(requests=str(path)))

    def post(self, path: str, content: Any, **headers: str) -> httpx.Response:
        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.post(path, json=content, headers=headers)

        return asyncio.run(exchange())

    def recorded(self) -> list[Recorded]:
        assert self.sampling is not None
        self.sampling.start()
        self.sampling.close()
        return recent(self.path, 1 << 20)[::-1]


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_dropped_and_hashed_columns_never_reach_the_disk_whichever_protocol(people: Path, tmp_path: Path) -> None:
    asked = Asked(people, tmp_path / "requests.sqlite", record_drop="ssn", record_hash="email")
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64" if name == "age" else "BYTES", "data": [value]}
        for name, value in ONE.items()
    ]
    answers = [
        asked.post("/predict", {"inputs": [ONE]}),
        asked.post("/predict", {"inputs": {name: [value] for name, value in ONE.items()}}),
        asked.post("/v1/models/iris:predict", {"instances": [ONE]}),
        asked.post("/invocations", {"dataframe_records": [ONE]}),
        asked.post("/v2/models/iris/infer", {"inputs": tensors}),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    found = asked.recorded()
    assert len(found) == len(answers)
    inputs = found[0].inputs
    assert set(inputs) == {"email", "age"}
    assert inputs["age"] == [30.5]
    assert inputs["email"][0].startswith("hmac:")
    assert all(request.inputs == inputs for request in found)
    assert all(request.outputs for request in found)
    assert SSN.encode() not in on_disk(asked.path)
    assert b"p1@example" not in on_disk(asked.path)
    signature = ServedModel.load(people).version.signature
    assert hidden_columns(signature, inputs) == ("ssn", "email")
    assert columns_of(signature, inputs) == {"age": [30.5]}


def test_equal_values_stay_equal_and_another_deployment_has_other_hashes(people: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        asked = Asked(people, tmp_path / name / "requests.sqlite", record_hash="email")
        asked.post("/predict", {"inputs": [ONE, {**ONE, "email": "p2@example.org"}, ONE]})
        (request,) = asked.recorded()
        texts.append(request.inputs["email"])
        assert stat.S_IMODE((tmp_path / name / KEY_FILE).stat().st_mode) == 0o600
        again = Redaction.from_settings(asked.path)
        assert again is not None
        assert again._hashed(ONE["email"]) == texts[-1][0]  # workers of one deployment share the key
    first, second = texts
    assert first[0] == first[2] != first[1]
    assert not set(first) & set(second)


def test_of_arrays_columns_are_named_by_position(tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path / "v1", classifier, X)
    asked = Asked(tmp_path / "v1", tmp_path / "requests.sqlite", record_drop="0", record_hash="x[2]")
    assert asked.post("/predict", {"inputs": X[:2].tolist()}).status_code == 200
    (request,) = asked.recorded()
    signature = ServedModel.load(tmp_path / "v1").version.signature
    assert [row[0] for row in request.inputs] == [DROPPED] * 2
    assert all(row[2].startswith("hmac:") for row in request.inputs)
    assert [row[1] for row in request.inputs] == X[:2, 1].tolist()
    assert hidden_columns(signature, request.inputs) == ("0", "2")
    assert set(columns_of(signature, request.inputs)) == {"1", "3"}


def test_what_failed_quotes_nothing(tmp_path: Path, classifier: Any) -> None:
    def predict(model: Any, x: Any) -> Any:
        if x[0, 0] == 51.625:
            raise ValueError(f"cannot make sense of {x.tolist()}")
        return model.predict(x)

    write_version(tmp_path / "v1", classifier, X, code={"predict": predict}, format="native")
    secret = [[51.625, 3.5, 1.4, 0.2]]
    for chosen, quoted in (({}, True), ({"record_drop": "0"}, False), ({"record_hash": "0"}, False)):
        path = tmp_path / f"{'-'.join(chosen)}.sqlite"
        settings.reset()
        asked = Asked(tmp_path / "v1", path, **chosen)
        assert asked.post("/predict", {"inputs": secret}).status_code == 500
        (request,) = asked.recorded()
        assert (b"51.625" in on_disk(path)) is quoted
        assert request.error.startswith("the model failed on these inputs: ValueError")
        assert bool(request.body) is quoted


def test_inputs_alone_leave_no_answers(tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path / "v1", classifier, X)
    asked = Asked(tmp_path / "v1", tmp_path / "requests.sqlite", record="inputs")
    asked.post("/predict", {"inputs": X[:2].tolist()})
    (request,) = asked.recorded()
    assert request.inputs == X[:2].tolist()
    assert request.outputs == {}
    assert request.confidence == ()


@pytest.mark.parametrize("chosen", [{"record": "off"}, {"record_share": 0.0}, {"record_requests": 0}])
def test_off_is_off(chosen: dict[str, Any], tmp_path: Path) -> None:
    for name, value in chosen.items():
        settings.set_option(name, value)
    assert worker._sampling(SimpleNamespace(requests=str(tmp_path / "requests.sqlite"))) is None


def test_whole_records_cost_nothing_more(tmp_path: Path) -> None:
    sampling = worker._sampling(SimpleNamespace(requests=str(tmp_path / "requests.sqlite")))
    assert sampling is not None
    assert sampling._redaction is None
    assert not (tmp_path / KEY_FILE).exists()


def test_a_share_of_all_is_kept_by_chance(tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path / "v1", classifier, X)
    road = Road(ServedModel.load(tmp_path / "v1"))
    batch = road.served.decode(X[:1].tolist())
    sampling = Sampling(tmp_path / "requests.sqlite", each_second=20, share=0.25)
    counts: Counter[int] = Counter()
    for second in range(400):
        for place in range(10):
            sampling.answered(f"{second}-{place}", road, 0.001, batch, {})
        sampling.tick()
        counts.update(int(taken.id.partition("-")[2]) for taken in sampling._queue)
        sampling._queue.clear()
    assert 850 < sum(counts.values()) < 1150  # 1000 ± 5 standard deviations
    assert min(counts.values()) > 50  # none of the places is left out


def test_a_key_that_cannot_be_had_records_nothing_and_serves_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / KEY_FILE).mkdir()
    settings.set_option("record_hash", "email")
    assert worker._sampling(SimpleNamespace(requests=str(tmp_path / "requests.sqlite"))) is None
    assert "nothing is recorded" in caplog.text


def test_texts_gaps_and_everything_dropped() -> None:
    texts = Signature(container="list", columns=(Column(name="inputs", dtype="str"),))
    table = Signature(container="dataframe", columns=(Column(name="a", dtype="str"), Column(name="b", dtype="float64")))
    request = Recorded("r", 0.0, 1, 200, 0.0, 2, (0, 1), ["x", "y"], {})
    assert Redaction(drop=frozenset({"text"})).cleaned(request, texts).inputs is None
    hashed = Redaction(hash=frozenset({"text"}), key=b"k").cleaned(request, texts).inputs
    assert hidden_columns(texts, hashed) == ("text",)
    gaps = request._replace(inputs={"a": [None, "y"], "b": [1.0, None]})
    found = Redaction(hash=frozenset({"a"}), key=b"k").cleaned(gaps, table).inputs
    assert found["b"] == [1.0, None]
    assert all(text.startswith("hmac:") for text in found["a"])  # whether one was missing is not told either
    assert Redaction(drop=frozenset({"a", "b"})).cleaned(gaps, table).inputs is None
    records = [{"a": "x", "b": 1.0}]
    assert hidden_columns(table, records) == ()
    assert hidden_columns(table, [["x", 1.0]]) == ()
    assert hidden_columns(table, None) == ()
    assert names_of(texts) == ("text",)


def test_names_and_errors_are_read_as_they_are_written() -> None:
    assert named("ssn, name,x[3]") == ("ssn", "name", "3")
    assert named('"last, first",age') == ("last, first", "age")
    assert named("") == ()
    assert brief("the model failed on these inputs: ValueError: '123' is\nodd: very") == (
        "the model failed on these inputs: ValueError"
    )
    assert brief("the request was not answered within 30 s") == "the request was not answered within 30 s"


def test_what_reads_such_rows_does_not_stumble(people: Path, tmp_path: Path) -> None:
    from autodeploy_magic.notebook.drills import sent
    from autodeploy_magic.operate.detect.gathering import Inputs
    from autodeploy_magic.reservoir import unlabelled

    asked = Asked(people, tmp_path / "requests.sqlite", record_drop="ssn", record_hash="email")
    asked.post("/predict", {"inputs": [ONE]})
    (request,) = asked.recorded()
    version = ServedModel.load(people).version
    found = sent(version, request)
    assert found.hidden == ("ssn", "email")
    assert found.inputs["age"] == [30.5]
    (row,) = unlabelled(asked.path, version.signature, 10)
    assert row.inputs == {"age": 30.5}
    (batch,) = Inputs(version.signature).add([request] * 100, 0.0)
    assert set(batch.columns) == {"age"}
    with sqlite3.connect(asked.path) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (1,)
