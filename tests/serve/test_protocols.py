"""Each protocol as its own clients speak it, over real HTTP: same rows, same answers as the live object's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from versions import X

from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.http.app import make_app
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import tensors

TOKEN = "a-token-of-the-test"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Server(uvicorn.Server):
    """Tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


@pytest.fixture
def address(version_folder: Path) -> Iterator[str]:
    """HOST:PORT of a real server of the version."""
    server = Server(
        uvicorn.Config(make_app(ServedModel.load(version_folder), token=TOKEN), port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.up.wait(20)
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"{host}:{port}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", headers=dict(AUTH), timeout=20) as found:
        yield found


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_client(address: str, classifier: Any, binary_in: bool, binary_out: bool) -> None:
    client = triton.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris", headers=dict(AUTH))
    metadata = client.get_model_metadata("iris", headers=dict(AUTH))
    assert metadata["inputs"] == [{"name": "inputs", "datatype": "FP64", "shape": [-1, 4]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in metadata["outputs"]] == [
        ("predictions", "BYTES", [-1]),
        ("probabilities", "FP64", [-1, 3]),
    ]
    assert client.get_model_repository_index(headers=dict(AUTH))[0]["state"] == "READY"
    assert client.get_model_config("iris", headers=dict(AUTH))["input"][0]["data_type"] == "TYPE_FP64"
    given = triton.InferInput("inputs", [150, 4], "FP64")
    given.set_data_from_numpy(X, binary_data=binary_in)
    wanted = [triton.InferRequestedOutput(n, binary_data=binary_out) for n in ("predictions", "probabilities")]
    answer = client.infer("iris", [given], outputs=wanted, request_id="mine", headers=dict(AUTH))
    labels = [v.decode() if isinstance(v, bytes) else v for v in answer.as_numpy("predictions")]
    assert labels == classifier.predict(X).tolist()
    np.testing.assert_allclose(answer.as_numpy("probabilities"), classifier.predict_proba(X), atol=1e-5)
    assert answer.get_response()["id"] == "mine"
    client.close()


def test_v2_refuses_as_the_protocol_wants(client: httpx.Client) -> None:
    url = "/v2/models/iris/infer"
    rows = {"name": "inputs", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    assert client.post(url, json={"inputs": [rows]}).status_code == 200
    for change, words in [
        ({"datatype": "FP13"}, "datatype"),
        ({"shape": [2, 4]}, "4 values"),
        ({"shape": [1, -4]}, "shape"),
        ({"shape": [4]}, "shape"),
        ({"shape": [10**12, 10**12]}, "values"),
        ({"data": [1, 2, 3, "4"]}, "'4'"),
        ({"data": None}, "values"),
        ({"name": "x"}, "inputs"),
        ({"parameters": {"binary_data_size": 32}}, "binary_data_size"),
        ({"datatype": "BYTES", "data": ["1", "2", "3", "4"]}, "text"),
    ]:
        response = client.post(url, json={"inputs": [{**rows, **change}]})
        assert response.status_code == 422, (change, response.text)
        assert words in response.json()["error"], (change, response.text)
    assert client.post(url, json={"inputs": [rows, rows]}).status_code == 422
    assert client.post("/v2/models/other/infer", json={"inputs": [rows]}).status_code == 404
    assert client.get("/v2/models/iris/versions/9").status_code == 404
    too_long = client.post(
        url, content=b"{}", headers={"Inference-Header-Content-Length": "9", "content-type": "application/json"}
    )
    assert too_long.status_code == 422
    assert client.get("/v2/models/iris", headers={"Authorization": "Bearer no"}).json()["error"]


def test_a_version_alone_loads_no_others(client: httpx.Client) -> None:
    """A server of one version, with nobody to ask for others: it says so, and knows nothing that it would have to."""
    assert client.post("/v2/repository/models/iris/load").json() == {"name": "iris", "load": True}
    policy = {"parameters": {"config": '{"version_policy": {"all": {}}}'}}
    for path, body in (("load", policy), ("unload", {})):
        refused = client.post(f"/v2/repository/models/iris/{path}", json=body)
        assert (refused.status_code, "one version alone" in refused.json()["error"]) == (503, True)
    assert "statistics" not in client.get("/v2").json()["extensions"]
    assert client.get("/v2/models/stats").json() == {"model_stats": [{"name": "iris", "version": "1"}]}
    index = [{"name": "iris", "version": "1", "state": "READY", "reason": ""}]
    assert client.post("/v2/repository/index", json={"ready": True}).json() == index


def test_tensorflow_serving_client(client: httpx.Client, classifier: Any) -> None:
    status = client.get("/v1/models/iris").json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert client.get("/v1/models/iris/metadata").json()["model_spec"]["name"] == "iris"
    for path in ("/v1/models/iris:predict", "/v1/models/iris/versions/1:predict"):
        rows = client.post(path, json={"signature_name": "serving_default", "instances": X[:5].tolist()})
        assert rows.json() == {"predictions": classifier.predict(X[:5]).tolist()}
    columns = client.post("/v1/models/iris:predict", json={"inputs": X[:5].tolist()})
    assert columns.json() == {"outputs": classifier.predict(X[:5]).tolist()}
    assert client.post("/v1/models/iris:predict", json={}).status_code == 422
    assert "Servable not found" in client.post("/v1/models/other:predict", json={"instances": [[1]]}).json()["error"]


def test_mlflow_and_sagemaker_clients(client: httpx.Client, classifier: Any) -> None:
    assert client.get("/ping", headers={"Authorization": ""}).status_code == 200
    wanted = {"predictions": classifier.predict(X[:3]).tolist()}
    rows = X[:3].tolist()
    for body in (
        {"dataframe_split": {"columns": list("abcd"), "data": rows}},
        {"columns": list("abcd"), "index": [0, 1, 2], "data": rows},
        {"instances": rows},
        {"inputs": rows, "params": {}},
    ):
        assert client.post("/invocations", json=body).json() == wanted
    text = "\n".join(",".join(map(str, row)) for row in rows)
    assert client.post("/invocations", content=text, headers={"content-type": "text/csv"}).json() == wanted
    bad = client.post("/invocations", content="1,2,x,4\n", headers={"content-type": "text/csv"})
    assert (bad.status_code, "inputs[0][2]" in bad.json()["message"]) == (422, True)
    assert client.post("/invocations", json={"instances": rows, "inputs": rows}).status_code == 422


@given(
    st.sampled_from([name for name in tensors.DATATYPES if name != "BYTES"]).flatmap(
        lambda name: hnp.arrays(
            tensors.DATATYPES[name], hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
        )
    )
)
def test_binary_tensors_come_back(values: np.ndarray[Any, Any]) -> None:
    datatype = tensors.datatype_of(str(values.dtype))
    data = tensors.to_binary(values)
    found = tensors.from_binary("x", datatype, values.shape, memoryview(data))
    np.testing.assert_array_equal(found, values)
    with pytest.raises(InvalidInputs):
        tensors.from_binary("x", datatype, values.shape, memoryview(data + b"\0"))
    if data:
        with pytest.raises(InvalidInputs):
            tensors.from_binary("x", datatype, values.shape, memoryview(data[:-1]))


@given(st.lists(st.text(max_size=20), max_size=8), st.binary(min_size=1, max_size=3))
def test_binary_texts_come_back(texts: list[str], rest: bytes) -> None:
    data = tensors.to_binary(np.array(texts, dtype=object))
    found = tensors.from_binary("x", "BYTES", [len(texts)], memoryview(data))
    assert [value.decode() for value in found.tolist()] == texts
    for wrong in (data + rest, data[:-1] if data else rest):
        with pytest.raises(InvalidInputs):
            tensors.from_binary("x", "BYTES", [len(texts)], memoryview(wrong))


def test_json_tensors_may_be_nested_or_flat() -> None:
    nested = tensors.from_json("x", "INT32", [2, 2], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(nested, tensors.from_json("x", "INT32", [2, 2], [1, 2, 3, 4]))
    with pytest.raises(InvalidInputs, match="INT32"):
        tensors.from_json("x", "INT32", [1], [2**31])
    with pytest.raises(InvalidInputs, match="INT32"):
        tensors.from_json("x", "INT32", [1], [True])
