"""The error tree: what its docstring draws is what there is, and every error survives the wire."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodeploy_magic
from autodeploy_magic import errors
from autodeploy_magic.errors import AutodeployError, BodyTooLarge, InvalidInputs, RequestRefused, from_payload

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
DETAIL_NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True).filter(
    lambda name: name not in {"what", "why", "fix", "self"}
)


def all_errors(root: type[AutodeployError] = AutodeployError) -> list[type[AutodeployError]]:
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


def drawn_tree() -> dict[str, str | None]:
    """Read {name: parent} from the tree in the module's docstring."""
    parents: dict[str, str | None] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ((?:│   |    |├── |└── )*)([A-Z]\w+)", line)
        if not found:
            continue
        depth = len(found[1]) // 4
        while stack and stack[-1][0] >= depth:
            stack.pop()
        parents[found[2]] = stack[-1][1] if stack else None
        stack.append((depth, found[2]))
    return parents


def test_the_docstring_draws_the_tree_that_is_there() -> None:
    real = {
        kind.__name__: None if kind is AutodeployError else kind.__bases__[0].__name__
        for kind in all_errors()
        if kind.__module__ == errors.__name__
    }
    assert drawn_tree() == real


def test_the_docstring_gives_the_http_status_of_every_refusal() -> None:
    drawn = dict(re.findall(r"([A-Z]\w+)\s+(\d{3})$", errors.__doc__ or "", flags=re.MULTILINE))
    real = {kind.__name__: str(kind.status) for kind in all_errors(RequestRefused)[1:]}
    assert drawn == real


def test_every_error_of_the_package_lives_in_the_tree() -> None:
    for module in pkgutil.walk_packages(autodeploy_magic.__path__, "autodeploy_magic."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    strangers = [kind for kind in all_errors() if kind.__module__ != errors.__name__]
    assert strangers == []
    assert {kind.__name__ for kind in all_errors()} <= set(errors.__all__)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_crosses_the_wire_whole(kind: type[AutodeployError]) -> None:
    sent = kind("iris has no version 7", why="it has: 1, 2", fix="`%deploy versions iris`", number=7, known=[1, 2])
    got = from_payload(json.loads(json.dumps(sent.to_payload())))
    assert type(got) is kind
    assert (got.what, got.why, got.fix, got.details) == (sent.what, sent.why, sent.fix, sent.details)
    assert str(got) == str(sent)


@given(what=st.text(), why=st.text(), fix=st.text(), details=st.dictionaries(DETAIL_NAMES, JSON, max_size=3))
def test_any_text_and_any_details_cross_the_wire(what: str, why: str, fix: str, details: dict[str, object]) -> None:
    got = from_payload(json.loads(json.dumps(InvalidInputs(what, why=why, fix=fix, **details).to_payload())))
    assert (got.what, got.why, got.fix, got.details) == (what, why, fix, details)


def test_an_error_of_a_newer_release_is_still_an_error_with_its_message() -> None:
    got = from_payload({"error": "FromTheFuture", "what": "w", "why": "y", "fix": "f", "details": {"a": 1}})
    assert type(got) is AutodeployError
    assert (got.what, got.why, got.fix, got.details) == ("w", "y", "f", {"a": 1})


@pytest.mark.parametrize(
    "payload", [{}, {"error": None}, {"error": "InvalidInputs", "details": None}, {"details": [1]}]
)
def test_a_damaged_payload_becomes_an_error_and_raises_none(payload: dict[str, object]) -> None:
    assert from_payload(payload).what == "unknown error"


@pytest.mark.parametrize("name", ["what", "why", "fix", "self"])
def test_details_that_collide_with_the_message_do_not_break_the_reader(name: str) -> None:
    got = from_payload({"error": "InvalidInputs", "what": "w", "details": {name: "x"}})
    assert got.what == "w"


def test_the_message_shows_what_why_and_fix_in_that_order_and_no_empty_line() -> None:
    assert str(BodyTooLarge("too large", why="20 MB", fix="send less")) == "too large\nwhy: 20 MB\nfix: send less"
    assert str(BodyTooLarge("too large")) == "too large"
    assert str(BodyTooLarge("too large", fix="send less")) == "too large\nfix: send less"


def test_a_refusal_names_its_field() -> None:
    assert InvalidInputs("bad", field="petal length").field == "petal length"
    assert InvalidInputs("bad").field is None
