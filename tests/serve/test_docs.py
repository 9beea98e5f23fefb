"""The document of a version: whole, and as exact as what reads the requests. Clients try it in tests/clients."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator
from schemathesis.openapi import from_dict
from versions import X, write_version

from autodeploy_magic.contracts import Column, Output, Signature
from autodeploy_magic.errors import BodyTooLarge, InvalidInputs
from autodeploy_magic.serve.http.app import make_app
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import examples, schemas
from autodeploy_magic.serve.protocols.operation import Named
from autodeploy_magic.serve.road import Road
from autodeploy_magic.wire import decode, restore, to_plain


def plain(schema: Any) -> Any:
    """A schema with its named parts in their places."""
    if isinstance(schema, Named):
        return plain(schema.schema)
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items()}
    return [plain(item) for item in schema] if isinstance(schema, list | tuple) else schema


def fetch(served: ServedModel, token: str | None = "a-token-of-the-test") -> dict[str, Any]:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app=make_app(served, token=token))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/docs.json", headers=headers)

    found: dict[str, Any] = asyncio.run(exchange()).json()
    return found


def test_every_route_is_in_it_and_every_path_leads_to_its_route(version_folder: Path) -> None:
    served = ServedModel.load(version_folder)
    road = Road(served)
    document = fetch(served)
    from_dict(document).validate()
    described: set[tuple[str, str]] = set()
    for path, methods in document["paths"].items():
        found = road.find(path.replace("{name}", "iris").replace("{version}", "1"))
        assert found is not None, path
        for method, operation in methods.items():
            route, _ = road.routes[found[0]][method.upper()]
            described.add((method.upper(), found[0]))
            if route.recorded:
                assert set(operation["requestBody"]["content"]) == route.content_types - {""}, path
            assert ("401" in operation["responses"]) is not route.open, path
    routes = {(method, path) for path, methods in road.routes.items() for method in methods}
    assert routes - described == {("GET", "/v2/")}  # which is /v2 once more
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    road.close()


def test_its_schemas_are_schemas_and_its_examples_fit_them(version_folder: Path) -> None:
    document = fetch(ServedModel.load(version_folder))
    seen = 0
    for methods in document["paths"].values():
        for operation in methods.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (content for body in bodies for content in body.get("content", {}).values()):
                if "schema" not in content:
                    continue
                schema = {**content["schema"], "components": document["components"]}
                Draft202012Validator.check_schema(schema)
                for example in content.get("examples", {}).values():
                    Draft202012Validator(schema).validate(example["value"])
                    seen += 1
    assert seen > 10


def test_a_large_row_is_no_example(version_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = ServedModel.load(version_folder)
    assert "examples" in str(fetch(served))
    monkeypatch.setattr(examples, "MOST_BYTES", 20)
    document = fetch(served)
    from_dict(document).validate()
    assert "examples" not in str({path: document["paths"][path]["post"] for path in ("/predict", "/invocations")})


def test_no_token_is_asked_for_where_none_is(version_folder: Path) -> None:
    served = ServedModel.load(version_folder)
    assert fetch(served)["security"] == [{"token": []}]
    document = fetch(served, token=None)
    assert "security" not in document
    assert "401" not in document["paths"]["/predict"]["post"]["responses"]


NUMBERS = [1, -1.5, 0, 3.0, 10**30, 1e300, -1e39, 3.4e38, None, "1", [], {}]
TEXTS = ["a", "b", "", "é", None, 1, True, ["a"]]
DATES = [
    "2026-01-31",
    "2026-01-31T12:30:00",
    "2026-01-31T12:30:00.123456Z",
    "2024-02-29",
    "2026-02-29",
    "2026-04-31",
    "2026-13-01",
    "1677-01-01",
    "2263-01-01",
    "2026-01-31T12:30:00+02:00",
    "2026-01-31T24:00:00",
    "today",
    "",
    None,
    20260131,
]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        *[(Column(name="x", dtype=dtype, nullable=nullable), NUMBERS)
          for dtype in ("float64", "float32", "float16", "int64", "int8", "uint16", "Int32", "UInt8", "Float64")
          for nullable in ([True] if dtype[0].isupper() else [True, False] if dtype[0] == "f" else [False])],
        (Column(name="x", dtype="bool"), [True, False, None, 0, 1, "true"]),
        (Column(name="x", dtype="str"), TEXTS),
        (Column(name="x", dtype="str", nullable=True), TEXTS),
        (Column(name="x", dtype="str", categories=("a", "b")), TEXTS),
        (Column(name="x", dtype="str", known=("a",), categories=("a", "b"), nullable=True), TEXTS),
        (Column(name="x", dtype="object"), [*TEXTS, {"a": 1}]),
        (Column(name="x", dtype="object", nullable=True), TEXTS),
        (Column(name="x", dtype="datetime64[ns]"), DATES),
        (Column(name="x", dtype="datetime64[us]", nullable=True), [d for d in DATES if "-01-01" not in str(d)]),
        (Column(name="x", dtype="timedelta64[ns]"), ["1 days 06:00:00", "86400000000000", "-3", "soon", "", None, 5]),
    ],
    ids=lambda value: value.dtype if isinstance(value, Column) else "",
)  # fmt: skip
def test_a_value_fits_the_schema_where_it_is_read(column: Column, values: list[Any]) -> None:
    validator = Draft202012Validator(plain(schemas.record(Signature(container="dataframe", columns=(column,)))))
    for value in values:
        assert validator.is_valid({"x": value}) == reads(column, value), value


def reads(column: Column, value: Any) -> bool:
    try:
        decode(Signature(container="dataframe", columns=(column,)), [{"x": value}])
    except InvalidInputs:
        return False
    return True


TABLE = Signature(
    container="dataframe", columns=(Column(name="a", dtype="float64"), Column(name="b", dtype="str", nullable=True))
)
PICTURES = Signature(container="ndarray", columns=(Column(name="inputs", dtype="uint8", shape=(2, 2)),))
RAGGED = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(-1, 2)),))
NAMED = Signature(
    container="dict", columns=(Column(name="a", dtype="float64"), Column(name="b", dtype="int64", shape=(2,)))
)
LISTED = Signature(container="list", columns=(Column(name="inputs", dtype="str"),))


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        (TABLE, [{"a": 1, "b": "x"}, {"b": None, "a": 2}]),
        (TABLE, [[1, "x"], [2, None]]),
        (TABLE, {"a": [1, 2], "b": ["x", None]}),
        (TABLE, [{"a": 1}]),
        (TABLE, [{"a": 1, "b": "x", "c": 1}]),
        (TABLE, [["x", 1]]),
        (TABLE, [[1, "x", 2]]),
        (TABLE, []),
        (TABLE, [[1, "x"]] * 6),
        (TABLE, {"a": [1]}),
        (TABLE, {"a": 1, "b": "x"}),
        (TABLE, "x"),
        (PICTURES, [[[0, 255], [1, 2]]]),
        (PICTURES, [[[0, 256], [1, 2]]]),
        (PICTURES, [[[0, 1, 2], [1, 2, 3]]]),
        (PICTURES, [[0, 1]]),
        (RAGGED, [[[1, 2]], [[3, 4]]]),
        (RAGGED, [[[1, 2], [3, 4], [5, 6]]]),
        (RAGGED, [[[1, 2, 3]]]),
        (NAMED, {"a": [1, 2], "b": [[1, 2], [3, 4]]}),
        (NAMED, [{"a": 1, "b": [1, 2]}]),
        (NAMED, {"a": [1], "b": [1]}),
        (LISTED, ["a", "b"]),
        (LISTED, [["a"]]),
        (LISTED, {"inputs": ["a"]}),
    ],
)
def test_rows_fit_the_schema_where_they_are_read(signature: Signature, inputs: Any) -> None:
    validator = Draft202012Validator(plain(schemas.inputs(signature, 5)))
    Draft202012Validator.check_schema(validator.schema)
    try:
        decode(signature, inputs, max_rows=5)
        read = True
    except (InvalidInputs, BodyTooLarge):
        read = False
    assert validator.is_valid(inputs) is read


@pytest.mark.parametrize(
    ("output", "answers"),
    [
        (Output(name="x", container="ndarray", dtype="float64"), [1.5, None]),
        (Output(name="x", container="ndarray", dtype="int64", shape=(2,)), [[1, 2], [3, 4]]),
        (Output(name="x", container="ndarray", dtype="<U5"), ["a", "b"]),
        (Output(name="x", container="ndarray", dtype="bool"), [True, False]),
        (Output(name="x", container="series", dtype="datetime64[ns]"), ["2026-01-01T00:00:00", None]),
        (Output(name="x", container="series", dtype="Int64"), [1, None]),
        (Output(name="x", container="dataframe", columns=("a", "b")), [{"a": 1, "b": "x"}]),
        (Output(name="x", container="ndarray", dtype="float64", shape=(), per_row=False), 1.5),
        (Output(name="x", container="json", per_row=False), {"a": [1]}),
        (Output(name="x", container="list", per_row=True), [{"a": 1}, 2]),
    ],
)
def test_an_answer_fits_the_schema_of_its_output(output: Output, answers: Any) -> None:
    validator = Draft202012Validator(plain(schemas.output(output)))
    assert validator.is_valid(to_plain(restore(output, answers)))
    assert not validator.is_valid("?") or output.container == "json"


def test_a_sample_whose_model_answers_no_row_by_row_has_no_example(tmp_path: Path, classifier: Any) -> None:
    def postprocess(y: Any) -> Any:
        return {"most": str(y[0])}

    write_version(tmp_path, classifier, X, code={"postprocess": postprocess})
    document = fetch(ServedModel.load(tmp_path))
    answer = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert "predictions" not in msgspec.json.encode(answer.get("examples", {})).decode()
