"""What is drawn says what is true, reads without HTML, and never lets a value become markup."""

from __future__ import annotations

import html.parser
from typing import Any

import pytest
from records import make_status, make_version

from autodeploy_magic.calling.snippets import Snippets
from autodeploy_magic.contracts import Difference, WorkerState
from autodeploy_magic.notebook.html import Markup, element
from autodeploy_magic.notebook.result import Card, Outcome, Plan, ShownStatus
from autodeploy_magic.notebook.text import ago_text, seconds_text, size_text, value_text
from autodeploy_magic.notebook.views import (
    Answer,
    Check,
    Checks,
    Deployments,
    Link,
    Log,
    Removed,
    ShownDifference,
    Versions,
    View,
    to_json,
)

EVIL = "<script>alert('x')</script>\"&"
SNIPPETS = Snippets(curl=f"curl {EVIL}", python=f"print({EVIL})", javascript=f"fetch({EVIL})")
WORKER = WorkerState(pid=4321, create_time=0.0, boot_id="b", generation=2, version=1, ready=True)


def difference(differing: int = 2, **changes: Any) -> ShownDifference:
    examples = tuple({"row": i, "old": EVIL, "new": "b"} for i in range(min(differing, 1)))
    return ShownDifference.of(Difference(old=1, new=2, rows=150, differing=differing, examples=examples, **changes))


def pictures() -> list[View]:
    versions = Versions([make_version(1, reason=EVIL), make_version(2)])
    versions.name, versions.serving = "iris", 2
    status = make_status(reason=EVIL, workers=(WORKER,))
    outcome = Outcome(version=1, previous=0, fresh=True, first_answer_s=0.0034, difference=difference())
    return [
        Card(status, make_version(reason=EVIL), SNIPPETS, outcome),
        Card(make_status(state="stopped"), make_version(format="native", level="amber"), SNIPPETS),
        Plan("iris", make_version(reason=EVIL), fresh=True, serving=None, url=""),
        ShownStatus.of(status),
        Deployments([status]),
        Deployments(),
        versions,
        difference(),
        Answer("iris", [EVIL], [EVIL], 1, 0.002, as_verified=True),
        Log(EVIL),
        Link(f"http://127.0.0.1:1/{EVIL}"),
        Removed(EVIL),
        Checks([Check("fail", EVIL, EVIL), Check("warn", "a"), Check("ok", "b")]),
    ]


class Balance(html.parser.HTMLParser):
    """Follows the tags: what is open, and whether a script was."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("picture", pictures(), ids=lambda picture: type(picture).__name__)
def test_every_picture_is_whole_html_without_foreign_markup_and_has_a_text(picture: View) -> None:
    bundle = picture._repr_mimebundle_()
    parser = Balance()
    parser.feed(bundle["text/html"])
    assert parser.open == []
    assert "script" not in parser.seen
    assert bundle["text/plain"].strip()
    assert "<div" not in bundle["text/plain"]
    assert 'role="group"' in bundle["text/html"]
    assert "http-equiv" not in bundle["text/html"]


def test_an_element_escapes_text_and_attributes() -> None:
    assert element("b", "a<b>", title='"&') == '<b title="&quot;&amp;">a&lt;b&gt;</b>'
    assert element("b", Markup("<i></i>"), aria_label="x") == '<b aria-label="x"><i></i></b>'


def test_the_card_tells_what_a_person_asks_first() -> None:
    outcome = Outcome(version=1, previous=2, fresh=True, first_answer_s=0.0034, difference=difference())
    card = Card(make_status(workers=(WORKER,)), make_version(), SNIPPETS, outcome)
    for text in (card.text(), str(card.html())):
        for fact in ("iris", "v1", "http://127.0.0.1:4321", "onnx", "the fastest", "3.4 ms", "100%", "2.0 kB", "1e-07"):
            assert fact in text, fact
        assert "answers 2 of 150 rows of the sample differently from v1" in text
        assert "%deploy rollback iris" in text
        assert "curl" in text


def test_the_trust_badge_is_green_or_amber_with_its_reason() -> None:
    green = str(Card(make_status(), make_version(), SNIPPETS).html())
    amber = str(Card(make_status(), make_version(format="native", level="amber"), SNIPPETS).html())
    assert '<span class="tag ok" title="green because of its kind">onnx</span>' in green
    assert '<span class="tag warn" title="amber because of its kind">native</span>' in amber


def test_unchanged_content_is_said() -> None:
    outcome = Outcome(version=1, previous=None, fresh=False, first_answer_s=0.001)
    card = Card(make_status(), make_version(), SNIPPETS, outcome)
    assert "nothing was built" in card.text()
    assert "nothing was built" in card.html()


def test_a_stopped_deployment_offers_its_start() -> None:
    card = Card(make_status(state="stopped"), make_version(), SNIPPETS)
    assert "%deploy start iris" in card.text()
    assert "stopped" in card.html()


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (difference(0), "v2 answers all 150 rows of the sample as v1 does"),
        (difference(3), "v2 answers 3 of 150 rows of the sample differently from v1"),
        (difference(0, comparable=False, reason="other columns"), "v2 cannot be compared with v1: other columns"),
    ],
)
def test_a_difference_in_one_sentence(shown: ShownDifference, told: str) -> None:
    assert shown.text().startswith(told)
    assert told in shown.html()


def test_doctor_s_verdict_counts() -> None:
    assert Checks([Check("ok", "a")]).verdict == "1 checks, all well"
    assert Checks([Check("fail", "a"), Check("warn", "b")]).verdict == "2 checks: 1 failed, 1 to look at"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (2e-5, "0.02 ms"), (0.0034, "3.4 ms"), (0.123, "0.12 s"), (12.4, "12 s"), (65, "1 min 5 s")],
)
def test_seconds(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(431, "431 B"), (1500, "1.5 kB"), (83_000, "83 kB"), (3.4e6, "3.4 MB"), (2e9, "2.0 GB")]
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


def test_times_ago_and_long_values() -> None:
    import time

    assert ago_text(time.time() - 3700) == "1 h"
    assert value_text("a" * 400).endswith("…")
    assert value_text({"a": None}) == '{"a": null}'


def test_a_log_and_a_link_read_as_text_in_a_plain_terminal() -> None:
    from IPython.lib.pretty import pretty

    assert pretty(Log("one\ntwo")) == "one\ntwo"
    assert pretty(Link("http://127.0.0.1:1/")) == "http://127.0.0.1:1/"


def test_answers_are_json_for_programs() -> None:
    assert to_json(Checks([Check("ok", "a")])) == [{"state": "ok", "what": "a", "fix": ""}]
    assert to_json(Log("line")) == "line"
    assert to_json(difference(0))["rows"] == 150
    assert to_json(Deployments([make_status()]))[0]["name"] == "iris"
