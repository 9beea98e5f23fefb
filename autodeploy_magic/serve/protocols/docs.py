"""`GET /docs.json`: everything that this port answers, as an OpenAPI 3.1 document of the version that serves.

Each protocol describes its own operations; here they become one document, with what holds for all of them: the token,
the limits, the refusals that do not depend on what a request says.

Source: spec.openapis.org/oas/v3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.owner import token
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route, model_card
from autodeploy_magic.serve.protocols.operation import Answered, Content, Named, Operation, json
from autodeploy_magic.serve.protocols.refusals import IN_FULL, in_full
from autodeploy_magic.serve.road import Road

__all__ = ["Docs"]

_WORDS = {
    401: "The bearer token is missing or wrong.",
    403: "Without a token, a page of another origin may not ask.",
    404: "There is no model of that name, or no such version of it is loaded.",
    406: "The client takes none of the forms that the answer can have.",
    413: "The body has more bytes, or more rows, than this deployment takes.",
    415: "The body is of a content type, or compressed in a way, that is not read here.",
    421: "The request names a host that this deployment is not known by.",
    422: "The body does not fit: the message names the field, and what to send instead.",
    429: "As many requests as may are waiting already.",
    431: "The request's head is too large; the connection is closed.",
    500: "The model, or the owner's code around it, failed on these rows.",
    503: "The version is on its way out, or what was asked for cannot be had now.",
    504: "The request was not answered in time.",
}
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "Seconds until there is likely to be room."},
}
_ALWAYS = frozenset({421, 431})
_BODY = frozenset({413, 415})
_MODEL = frozenset({422, 429, 500, 503, 504})


class Docs:
    """Reads the other protocols of its road."""

    def __init__(self, road: Road) -> None:
        self._road = road

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/docs.json", self._answer, operation=self._operation)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    def _operation(self) -> Operation:
        answer = json("An OpenAPI 3.1 document.", {"type": "object", "required": ["openapi", "paths"]})
        return Operation("docs", "about", "This document", {200: answer}, IN_FULL)

    async def _answer(self, request: Request) -> Answer:
        known = await model_card.known(self._road)
        # Who got here without a token was not asked for one.
        document = _Document(self._road, known.ready, asks=b"authorization" in request.headers)
        return Answer(msgspec.json.encode(document.made()))


class _Document:
    """One document in the making. Its components are the schemas that have a name, and the refusals."""

    def __init__(self, road: Road, versions: Sequence[int], *, asks: bool) -> None:
        self._road = road
        self._asks = asks
        self._components: dict[str, Any] = {}
        self._responses: dict[str, Any] = {}
        self._parameters: dict[str, Any] = {
            "name": {"type": "string", "enum": [road.version.deployment]},
            "version": {"type": "integer", "enum": list(versions) or [road.version.number]},
        }

    def made(self) -> dict[str, Any]:
        version = self._road.version
        paths: dict[str, dict[str, Any]] = {}
        for route, operation in _described(self._road):
            for i, path in enumerate(operation.paths or (route.path,)):
                unique = operation.id if i == 0 else f"{operation.id}_of_version"
                paths.setdefault(path, {})[route.method.lower()] = self._operation(route, operation, path, unique)
        found: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": {
                "title": version.deployment,
                "version": str(version.number),
                "description": f"{version.model_type} as {version.format}, served by autodeploy_magic.",
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": self._components, "responses": self._responses},
        }
        if self._asks:
            said = f"The deployment's own token; its owner finds it in {token()}."
            schemes = {"token": {"type": "http", "scheme": "bearer", "description": said}}
            found["components"]["securitySchemes"] = schemes
            found["security"] = [{"token": []}]
        return found

    def _operation(self, route: Route, operation: Operation, path: str, unique: str) -> dict[str, Any]:
        found: dict[str, Any] = {"operationId": unique, "tags": [operation.tag], "summary": operation.summary}
        if operation.description:
            found["description"] = operation.description
        if route.open and self._asks:
            found["security"] = []
        parameters = [*self._path_parameters(path), *_parameters(operation)]
        if parameters:
            found["parameters"] = parameters
        if operation.body:
            found["requestBody"] = {"required": operation.needs_body, "content": self._contents(operation.body)}
        answers = self._refusals(route, operation)
        answers |= {status: self._response(answered) for status, answered in operation.answers.items()}
        found["responses"] = {str(status): answers[status] for status in sorted(answers)}
        return found

    def _refusals(self, route: Route, operation: Operation) -> dict[int, Any]:
        """References to refusals, which are as many as there are ways to word them."""
        statuses = _ALWAYS | operation.refusals
        if not route.open:
            statuses |= {401 if self._asks else 403}
        if route.method == "POST":
            statuses |= _BODY
        if route.recorded:
            statuses |= _MODEL
        return {status: self._refusal(status, operation.problem) for status in statuses}

    def _refusal(self, status: int, problem: Named) -> dict[str, str]:
        if status == 421:
            problem = IN_FULL  # said before the path is looked at
        name = f"{problem.name}{status}"
        if name not in self._responses:
            body = {JSON: Content(problem)} if status != 431 else {}
            self._responses[name] = self._response(Answered(_WORDS[status], body, _HEADERS.get(status, {})))
        return {"$ref": f"#/components/responses/{name}"}

    def _response(self, answered: Answered) -> dict[str, Any]:
        found: dict[str, Any] = {"description": answered.description}
        if answered.headers:
            found["headers"] = {
                name: {"description": said, "schema": {"type": "string"}} for name, said in answered.headers.items()
            }
        if answered.body:
            found["content"] = self._contents(answered.body)
        return found

    def _contents(self, contents: Mapping[str, Content]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for media_type, content in contents.items():
            entry = found[media_type] = {}
            if content.schema is not None:
                entry["schema"] = self._schema(content.schema)
            if content.examples:
                entry["examples"] = {name: {"value": value} for name, value in content.examples.items()}
        return found

    def _schema(self, schema: Any) -> Any:
        """A schema whose named parts have become references."""
        if isinstance(schema, Named):
            if schema.name not in self._components:
                self._components[schema.name] = {}  # its place, should it hold itself
                self._components[schema.name] = self._schema(schema.schema)
            return {"$ref": f"#/components/schemas/{schema.name}"}
        if isinstance(schema, Mapping):
            return {key: self._schema(value) for key, value in schema.items()}
        if isinstance(schema, list | tuple):
            return [self._schema(item) for item in schema]
        return schema

    def _path_parameters(self, path: str) -> Iterator[dict[str, Any]]:
        for name, schema in self._parameters.items():
            if f"{{{name}}}" in path:
                yield {"name": name, "in": "path", "required": True, "schema": schema}


def _described(road: Road) -> Iterator[tuple[Route, Operation]]:
    for routes in road.routes.values():
        for route, _ in routes.values():
            if route.operation is not None:
                yield route, route.operation()


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for parameter in operation.parameters:
        found: dict[str, Any] = {"name": parameter.name, "in": parameter.where, "required": False}
        if parameter.schema.get("type") == "array":
            found["explode"] = False  # one parameter, with commas between
        yield {**found, "description": parameter.description, "schema": parameter.schema}
