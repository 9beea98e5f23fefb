"""Events of AWS Lambda that stand for HTTP requests, as requests; and answers in the form that each source reads.

Four sources: API Gateway's REST API (payload 1.0), its HTTP API and function URLs (2.0), and the Application Load
Balancer. An event that is none of these, and has `inputs`, is what `/predict` takes.

Source: docs.aws.amazon.com, "Lambda proxy integrations in API Gateway", "Working with AWS Lambda proxy integrations for
HTTP APIs", "Invoking Lambda functions with Lambda function URLs", "Using Lambda functions as targets".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from autodeploy_magic.errors import InvalidInputs

__all__ = ["Answered", "Asked", "asked"]

_TEXT = ("text/", "application/json", "application/problem+json", "application/openmetrics-text", "application/xml")
_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "te", "trailer", "expect"}
)
"""Between two neighbours only; and the body's length is that of the body."""


@dataclass(frozen=True)
class Answered:
    """What the server answered."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Asked:
    """A request, and `word`, which puts its answer into the form that the event's source reads."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    word: Callable[[Answered], Any]


def asked(event: Any) -> Asked:
    """The request that an event stands for. Raises `InvalidInputs` for an event of another kind."""
    if not isinstance(event, dict):
        raise _unknown()
    context = event.get("requestContext")
    context = context if isinstance(context, dict) else {}
    if isinstance(context.get("http"), dict):
        return _second(event, context)
    if isinstance(event.get("httpMethod"), str):
        return _first(event, balanced="elb" in context)
    if "inputs" in event:
        body = msgspec.json.encode(event)
        return Asked("POST", "/predict", [("content-type", "application/json")], body, _value)
    raise _unknown()


def _second(event: dict[str, Any], context: dict[str, Any]) -> Asked:
    """Payload 2.0: an HTTP API, or a function URL. A stage that has a name stands before the path."""
    path, stage = str(event.get("rawPath") or "/"), str(context.get("stage") or "$default")
    if stage != "$default" and (path == f"/{stage}" or path.startswith(f"/{stage}/")):
        path = path.removeprefix(f"/{stage}") or "/"
    headers = [(str(name), str(value)) for name, value in _mapping(event, "headers").items()]
    cookies = event.get("cookies")
    if cookies:
        headers.append(("cookie", "; ".join(map(str, cookies))))
    query = str(event.get("rawQueryString") or "")
    return Asked(
        str(context["http"].get("method", "GET")), _target(path, query), _sent(headers), _body(event), _word_second
    )


def _first(event: dict[str, Any], *, balanced: bool) -> Asked:
    """Payload 1.0 of a REST API, or a load balancer's, which leaves the query as it was sent."""
    several = isinstance(event.get("multiValueHeaders"), dict)
    headers = _pairs(event, "multiValueHeaders", "headers")
    parameters = _pairs(event, "multiValueQueryStringParameters", "queryStringParameters")
    query = "&".join(f"{name}={value}" for name, value in parameters) if balanced else urlencode(parameters)
    word = _word_balanced(several=several) if balanced else _word_first
    path = str(event.get("path") or "/")
    return Asked(event["httpMethod"], _target(path, query), _sent(headers), _body(event), word)


def _target(path: str, query: str) -> str:
    # REST APIs decode the path; what is already encoded stays so.
    path = quote(path, safe="/%:@!$&'()*+,;=-._~")
    query = quote(query, safe="/?%:@!$&'()*+,;=-._~[]")
    return f"{path}?{query}" if query else path


def _pairs(event: dict[str, Any], several: str, single: str) -> list[tuple[str, str]]:
    """Names with their values: those that come several times, where the event has them, else each once."""
    many = _mapping(event, several)
    if many:
        return [(str(name), str(value)) for name, values in many.items() for value in _listed(values)]
    return [(str(name), str(value)) for name, value in _mapping(event, single).items()]


def _listed(values: Any) -> Iterable[Any]:
    return values if isinstance(values, list) else [values]


def _mapping(event: dict[str, Any], name: str) -> Mapping[str, Any]:
    found = event.get(name)
    return found if isinstance(found, dict) else {}


def _sent(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers as they may be sent on; a value that HTTP cannot say is no header of a client."""
    found = []
    for name, value in headers:
        if name.lower() in _HOP:
            continue
        if not name.isascii() or any(ord(character) < 32 for character in name + value):
            raise InvalidInputs("the event has a header that HTTP cannot say", fix="send it without control characters")
        found.append((name.lower(), value.encode("utf-8").decode("latin-1")))
    return found


def _body(event: dict[str, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8") if isinstance(body, str) else msgspec.json.encode(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidInputs(
            "the event's body is not base64", why=str(error), fix="encode it, or leave isBase64Encoded out"
        ) from error


def _unknown() -> InvalidInputs:
    return InvalidInputs(
        "the event is not a request",
        why="it comes neither from API Gateway, a function URL nor a load balancer",
        fix='invoke the function through one of these, or with {"inputs": [row, …]}',
    )


def _worded(answer: Answered) -> dict[str, Any]:
    """What all sources read: the status, and the body as text, or in base64."""
    kind = next((value for name, value in answer.headers if name.lower() == "content-type"), "")
    if kind.lower().startswith(_TEXT):
        try:
            return {"statusCode": answer.status, "body": answer.body.decode("utf-8"), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # it calls itself a text, and is none
    body = base64.b64encode(answer.body).decode("ascii")
    return {"statusCode": answer.status, "body": body, "isBase64Encoded": bool(answer.body)}


def _many(answer: Answered) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in answer.headers:
        if name.lower() not in _HOP:
            found.setdefault(name.lower(), []).append(value)
    return found


def _joined(answer: Answered) -> dict[str, str]:
    return {name: ", ".join(values) for name, values in _many(answer).items()}


def _word_second(answer: Answered) -> dict[str, Any]:
    headers = _many(answer)
    cookies = headers.pop("set-cookie", [])
    single = {name: ", ".join(values) for name, values in headers.items()}
    return {**_worded(answer), "headers": single, **({"cookies": cookies} if cookies else {})}


def _word_first(answer: Answered) -> dict[str, Any]:
    return {**_worded(answer), "multiValueHeaders": _many(answer)}


def _word_balanced(*, several: bool) -> Callable[[Answered], dict[str, Any]]:
    """A load balancer reads headers in the form that it is set to, and the status in words too."""

    def word(answer: Answered) -> dict[str, Any]:
        phrase = HTTPStatus(answer.status).phrase if answer.status in {status.value for status in HTTPStatus} else ""
        headers: dict[str, Any] = {"multiValueHeaders": _many(answer)} if several else {"headers": _joined(answer)}
        return {**_worded(answer), "statusDescription": f"{answer.status} {phrase}".strip(), **headers}

    return word


def _value(answer: Answered) -> Any:
    """The JSON that was answered, for who invokes the function itself. Raises `InvalidInputs` where it was refused."""
    value = msgspec.json.decode(answer.body)
    if answer.status != 200:
        raise InvalidInputs(
            str(value.get("message", f"HTTP {answer.status}")),
            why=str(value.get("why", "")),
            fix=str(value.get("fix", "")),
        )
    return value
