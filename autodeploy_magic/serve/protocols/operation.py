"""What a route's entry in `/docs.json` is made of: each protocol describes its own operations with these.

A `Schema` is JSON Schema 2020-12, which OpenAPI 3.1 has; a `Named` one in it is written once, among the document's
components, and referred to everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autodeploy_magic.serve.protocols import JSON

__all__ = [
    "BYTES",
    "TEXT",
    "TRUTH",
    "WHOLE",
    "Answered",
    "Content",
    "Named",
    "Operation",
    "Parameter",
    "Schema",
    "json",
    "list_of",
    "object_of",
]

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Named:
    """A schema with a name in the document. Two of one name have to be the same."""

    name: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Content:
    """A body of one media type. `schema` None is for bytes that no JSON Schema describes. `examples` are by a name."""

    schema: Schema | Named | None
    examples: Mapping[str, Any] = field(default_factory=dict)


BYTES = Content(None)
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Answered:
    """What comes with a status: in words, and its body by media type. `headers` are names with what they say."""

    description: str
    body: Mapping[str, Content] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that a request may carry beside its path and its body."""

    name: str
    where: Literal["header", "query"]
    description: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """A route in the document.

    `id` is unique among all operations. `paths` are the paths that the route's pattern stands for, with {name} for the
    deployment's name and {version} for a version's number; none where it is one literal path. `problem` is how the
    protocol words a refusal; `refusals` are the statuses of those that a request's own contents can cause, besides what
    holds for all (`serve.protocols.docs`).
    """

    id: str
    tag: str
    summary: str
    answers: Mapping[int, Answered]
    problem: Named
    body: Mapping[str, Content] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    refusals: frozenset[int] = frozenset()
    parameters: tuple[Parameter, ...] = ()
    needs_body: bool = True
    description: str = ""


def json(description: str, schema: Schema | Named, example: Any = None) -> Answered:
    """An answer in JSON."""
    return Answered(description, {JSON: Content(schema, {} if example is None else {"sample": example})})


def object_of(
    required: Mapping[str, Schema | Named],
    optional: Mapping[str, Schema | Named] | None = None,
    *,
    closed: bool = False,
) -> Schema:
    """An object with these properties; where it is `closed`, with no others."""
    found: dict[str, Any] = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        found["required"] = list(required)
    return {**found, "additionalProperties": False} if closed else found


def list_of(item: Schema | Named) -> Schema:
    """A list of any length."""
    return {"type": "array", "items": item}
