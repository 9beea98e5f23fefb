"""tritonclient, which is NVIDIA's: the Open Inference Protocol with Triton's extensions, in JSON and binary."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from deployed import MAX_ROWS, PEOPLE, TEXTS, Deployed
from tritonclient.utils import InferenceServerException, np_to_triton_dtype
from versions import X
from world import World, until


@pytest.fixture
def client(iris: Deployed) -> Iterator[triton.InferenceServerClient]:
    found = triton.InferenceServerClient(iris.address)
    yield found
    found.close()


def tensor(name: str, values: np.ndarray[Any, Any], *, binary: bool = True) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    found.set_data_from_numpy(values, binary_data=binary)
    return found


def labels(answer: triton.InferResult) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else v for v in answer.as_numpy("predictions").tolist()]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer(client: triton.InferenceServerClient, iris: Deployed, binary_in: bool, binary_out: bool) -> None:
    given = tensor("inputs", X, binary=binary_in)
    wanted = [triton.InferRequestedOutput(n, binary_data=binary_out) for n in ("probabilities", "predictions")]
    answer = client.infer("iris", [given], outputs=wanted, request_id="mine", headers=iris.headers)
    assert labels(answer) == iris.model.predict(X).tolist()
    np.testing.assert_allclose(answer.as_numpy("probabilities"), iris.model.predict_proba(X), atol=1e-5)
    assert answer.get_response()["id"] == "mine"
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["probabilities", "predictions"]


def test_health_and_metadata(client: triton.InferenceServerClient, iris: Deployed) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris", headers=iris.headers)
    assert client.is_model_ready("iris", "1", headers=iris.headers)
    assert not client.is_model_ready("iris", "99", headers=iris.headers)
    server = client.get_server_metadata(headers=iris.headers)
    assert set(server["extensions"]) == {
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "statistics",
    }
    metadata = client.get_model_metadata("iris", headers=iris.headers)
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "inputs", "datatype": "FP64", "shape": [-1, 4]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in metadata["outputs"]] == [
        ("predictions", "BYTES", [-1]),
        ("probabilities", "FP64", [-1, 3]),
    ]
    config = client.get_model_config("iris", headers=iris.headers)
    assert config["input"] == [{"name": "inputs", "data_type": "TYPE_FP64", "dims": [4]}]
    assert config["max_batch_size"] == MAX_ROWS
    assert config["version_policy"] == {"specific": {"versions": [1]}}


def test_a_table_is_a_tensor_for_each_column(people: Deployed) -> None:
    """Built from the metadata alone, as a client does that knows nothing else."""
    client = triton.InferenceServerClient(people.address)
    rows = PEOPLE[PEOPLE.city.notna() & PEOPLE.visits.notna()][:20]
    described = client.get_model_metadata("people", headers=people.headers)["inputs"]
    dtypes = {"BYTES": object, "INT16": np.int16}
    given = []
    for one in described:
        values = rows[one["name"]]
        if one["name"] == "since":
            values = values.dt.strftime("%Y-%m-%dT%H:%M:%S")
        array = values.to_numpy(dtypes.get(one["datatype"])).reshape(-1, *one["shape"][1:])
        given.append(tensor(one["name"], array))
        assert given[-1].datatype() == one["datatype"]
    answer = client.infer("people", given, headers=people.headers)
    assert labels(answer) == people.model.predict(rows).tolist()
    client.close()


@pytest.mark.parametrize("binary", [True, False])
def test_texts(mood: Deployed, binary: bool) -> None:
    client = triton.InferenceServerClient(mood.address)
    answer = client.infer("mood", [tensor("inputs", np.array(TEXTS, object), binary=binary)], headers=mood.headers)
    assert answer.as_numpy("predictions").tolist() == mood.model.predict(TEXTS).tolist()
    client.close()


def test_what_is_refused(client: triton.InferenceServerClient, iris: Deployed) -> None:
    given = [tensor("inputs", X[:2])]
    with pytest.raises(InferenceServerException, match="classification, an extension"):
        client.infer(
            "iris", given, outputs=[triton.InferRequestedOutput("predictions", class_count=2)], headers=iris.headers
        )
    with pytest.raises(InferenceServerException, match="'logits', which this model does not give"):
        client.infer("iris", given, outputs=[triton.InferRequestedOutput("logits")], headers=iris.headers)
    shared = triton.InferInput("inputs", [2, 4], "FP64")
    shared.set_shared_memory("region", 64)
    with pytest.raises(InferenceServerException, match="shared memory"):
        client.infer("iris", [shared], headers=iris.headers)
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        client.infer("other", given, headers=iris.headers)
    with pytest.raises(InferenceServerException, match="bearer token"):
        client.infer("iris", given)
    with pytest.raises(InferenceServerException, match="version 99 of iris is not loaded"):
        client.infer("iris", given, model_version="99", headers=iris.headers)


def test_statistics_count_all_workers(world: World) -> None:
    world.serve(world.version("counted"), "counted", workers=2)
    counted = Deployed(world, "counted", None)
    client = triton.InferenceServerClient(counted.address)

    def stats(version: str = "1") -> dict[str, Any]:
        found = client.get_inference_statistics("counted", version, headers=counted.headers)["model_stats"]
        assert [(one["name"], one["version"]) for one in found] == [("counted", "1")]
        return dict(found[0])

    def counts(found: dict[str, Any]) -> list[int]:
        return [found.get("inference_stats", {}).get(kind, {}).get("count", 0) for kind in ("success", "fail")]

    assert stats() == {"name": "counted", "version": "1"}  # nothing is known yet, and nothing is said
    for _ in range(16):  # connections fall to either worker
        one = triton.InferenceServerClient(counted.address)
        one.infer("counted", [tensor("inputs", X[:3])], headers=counted.headers)
        with pytest.raises(InferenceServerException):
            one.infer("counted", [tensor("inputs", X[:3, :2])], headers=counted.headers)
        one.close()
    until(lambda: counts(stats()) == [16, 16])
    found = stats()
    assert found["inference_count"] == 48
    assert found == stats("")
    kinds = found["inference_stats"]
    assert {kind: value["count"] for kind, value in kinds.items()} == {
        "success": 16,
        "fail": 16,
        "queue": 16,
        "compute_infer": 16,
    }  # and none of compute_input and compute_output, which nobody measures
    assert 0 < kinds["compute_infer"]["ns"] < kinds["success"]["ns"]
    assert kinds["fail"]["ns"] > 0
    assert found["execution_count"] == 16
    assert found["batch_stats"] == [{"batch_size": 3, "compute_infer": {"count": 16}}]
    assert time.time() - found["last_inference"] / 1000 < 60
    assert client.get_inference_statistics(headers=counted.headers)["model_stats"] == [found]
    with closing(sqlite3.connect(world.store.metrics_file("counted"))) as metrics:
        assert metrics.execute("SELECT count(DISTINCT worker) FROM rollups").fetchone() == (2,)
    client.close()


def test_versions_are_loaded_and_unloaded(client: triton.InferenceServerClient, iris: Deployed) -> None:
    def states() -> dict[str, str]:
        index = client.get_model_repository_index(headers=iris.headers)
        assert {one["name"] for one in index} == {"iris"}
        return {one["version"]: one["state"] for one in index}

    def version_of(number: str = "") -> str:
        answer = client.infer("iris", [tensor("inputs", X[:1])], model_version=number, headers=iris.headers)
        return str(answer.get_response()["model_version"])

    def load(policy: str) -> None:
        client.load_model("iris", config=f'{{"version_policy": {policy}}}', headers=iris.headers)

    assert states() == {"1": "READY", "2": "UNAVAILABLE", "3": "UNAVAILABLE"}
    load('{"specific": {"versions": ["2"]}}')
    until(lambda: states() == {"1": "READY", "2": "READY", "3": "UNAVAILABLE"})
    assert (version_of("2"), version_of("1"), version_of()) == ("2", "1", "1")
    assert client.get_model_metadata("iris", headers=iris.headers)["versions"] == ["1", "2"]
    assert client.is_model_ready("iris", "2", headers=iris.headers)
    load('{"latest": {"num_versions": 1}}')
    until(lambda: states() == {"1": "READY", "2": "UNAVAILABLE", "3": "READY"})
    load('{"all": {}}')
    until(lambda: set(states().values()) == {"READY"})
    assert (version_of("2"), version_of("3")) == ("2", "3")
    client.load_model("iris", headers=iris.headers)  # nothing to change
    assert set(states().values()) == {"READY"}
    config = client.get_model_config("iris", headers=iris.headers)
    assert config["version_policy"] == {"specific": {"versions": [1, 2, 3]}}
    client.unload_model("iris", headers=iris.headers)
    until(lambda: states() == {"1": "READY", "2": "UNAVAILABLE", "3": "UNAVAILABLE"})
    assert version_of() == "1"
    with pytest.raises(InferenceServerException, match="no version loaded but the one that it serves") as refused:
        client.unload_model("iris", headers=iris.headers)
    assert refused.value.status() == "400"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"version_policy": {"specific": {"versions": [99]}}}', "99"),
        ('{"version_policy": {"specific": {"versions": []}}}', "names no versions"),
        ('{"version_policy": {"specific": {"versions": ["x"]}}}', "not a version's number"),
        ('{"version_policy": {"newest": {}}}', "names no versions"),
        ('{"version_policy": 3}', "not one of specific, latest, all"),
        ('{"max_batch_size": 1}', "'max_batch_size'"),
        ("[", "not JSON"),
    ],
)
def test_what_cannot_be_loaded(client: triton.InferenceServerClient, iris: Deployed, config: str, words: str) -> None:
    with pytest.raises(InferenceServerException, match=words):
        client.load_model("iris", config=config, headers=iris.headers)
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        client.load_model("other", headers=iris.headers)
    with pytest.raises(InferenceServerException, match="files are what was built"):
        client.load_model("iris", config="{}", files={"file:1/model.onnx": b"x"}, headers=iris.headers)
