"""Records on their way from a replica to whoever keeps them: each once, none lost but those that are counted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from recordings import recorded

from autodeploy_magic.reservoir import Label
from autodeploy_magic.serve import mailbox, outbox
from autodeploy_magic.serve.mailbox import Mailbox
from autodeploy_magic.serve.outbox import LABEL, REQUEST, Outbox

MANY = 1_000_000


def bring(one: Outbox, box: Mailbox, replica: str = "a", most: int = MANY) -> int:
    """Bring until nothing moves any more; how often."""
    for count in range(1, 1000):
        if not one.bring(lambda epoch, items: box.push_items(replica, epoch, one.lost, items), most)[0]:
            return count
    raise AssertionError("it never ends")


def ids(answer: dict[str, Any]) -> list[str]:
    return [msgspec.json.decode(data)[0] for _, data in answer["items"]]


def waiting(one: Outbox) -> list[str]:
    return ids({"items": [(kind, data) for _, kind, data in one._items]})


def test_each_is_given_once_and_kept_until_it_is_written_down() -> None:
    one, other, box = Outbox(), Outbox(), Mailbox()
    one.write([recorded(f"a{i}") for i in range(5)])
    other.write([recorded("b0")])
    bring(one, box)
    bring(one, box)
    bring(other, box, "b")
    first = box.pull_items("", MANY, "")
    assert ids(first) == ["a0", "a1", "a2", "a3", "a4", "b0"]
    assert ids(box.pull_items("", MANY, "")) == ids(first)  # the answer was lost on the way
    bring(one, box)
    assert waiting(one) == ["a0", "a1", "a2", "a3", "a4"]  # nobody has said yet that they are written down
    one.write([recorded("a5")])
    bring(one, box)
    assert ids(box.pull_items(first["cursor"], MANY, "")) == ["a5"]
    bring(one, box)
    bring(other, box, "b")
    assert (waiting(one), waiting(other)) == (["a5"], [])


def test_so_many_bytes_at_once() -> None:
    one, box = Outbox(), Mailbox()
    one.write([recorded(f"r{i}", body="x" * 1000) for i in range(10)])
    assert bring(one, box, most=2500) > 5
    found, cursor = [], ""
    for _ in range(10):
        answer = box.pull_items(cursor, 3500, "")
        assert 1 <= len(answer["items"]) <= 3
        found += ids(answer)
        cursor = answer["cursor"]
        if len(found) == 10:
            break
    assert found == [f"r{i}" for i in range(10)]
    assert len(box.pull_items(cursor, 1, "")["items"]) == 0
    one.write([recorded("large", body="x" * 10_000)])
    bring(one, box)
    assert ids(box.pull_items(cursor, 1, "")) == ["large"]  # one at least


def test_what_a_mailbox_lost_with_its_node_is_brought_again() -> None:
    one, first, second = Outbox(), Mailbox(), Mailbox()
    one.write([recorded(f"r{i}") for i in range(3)])
    bring(one, first)
    cursor = first.pull_items("", 1, "")["cursor"]
    first.pull_items(cursor, MANY, "")  # of which only the first is known to be written down
    bring(one, first)
    one.write([recorded("r3")])
    bring(one, second)
    assert ids(second.pull_items(cursor, MANY, "")) == ["r1", "r2", "r3"]


def test_where_nobody_fetches_the_oldest_requests_are_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_BYTES", 12_000)
    monkeypatch.setattr(outbox, "MOST_LABEL_BYTES", 200)
    monkeypatch.setattr(mailbox, "ROOM_BYTES", 5_000)
    one, box = Outbox(), Mailbox()
    assert one.add([Label("r0", 0, "yes")], 1000.0)._asdict() == {"new": 1, "changed": 0, "same": 0, "unmatched": 1}
    for i in range(30):
        one.write([recorded(f"r{i}", body="x" * 800)])
        bring(one, box)
    assert box._items_bytes < 6_500
    assert 10 < one.lost < 25
    for _ in range(2):
        with pytest.raises(OSError, match="too many labels wait"):
            one.add([Label("r1", row, "no") for row in range(9)], 1000.0)
    found: list[str] = []
    kinds: list[str] = []
    cursor = ""
    while True:
        answer = box.pull_items(cursor, MANY, "")
        if not answer["items"]:
            break
        cursor = answer["cursor"]
        found += ids(answer)
        kinds += [kind for kind, _ in answer["items"]]
        box.pull_items(cursor, MANY, "")
        bring(one, box)
    assert answer["lost"] == {"a": one.lost}
    assert kinds.count(LABEL) == 1
    assert kinds.count(REQUEST) == 30 - one.lost
    assert found[-1] == "r29"
    assert one._bytes == {REQUEST: 0, LABEL: 0}


def test_what_only_a_lost_mailbox_had_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    one, box = Outbox(), Mailbox()
    one.write([recorded(f"r{i}", body="x" * 800) for i in range(4)])
    bring(one, box)
    monkeypatch.setattr(outbox, "MOST_BYTES", 2_500)
    one.write([recorded("r4", body="x" * 800)])
    assert (one.lost, waiting(one)) == (0, ["r3", "r4"])  # the mailbox has the others
    bring(one, box)
    cursor = box.pull_items("", 2_500, "")["cursor"]
    box.pull_items(cursor, MANY, "")  # two of them are written down
    bring(one, box)
    second = Mailbox()
    bring(one, second)
    assert (one.lost, ids(second.pull_items(cursor, MANY, ""))) == (1, ["r3", "r4"])


def test_what_cannot_be_told_is_counted() -> None:
    one = Outbox()
    one.write([recorded("huge", inputs=[object()]), recorded("fine")])
    assert (one.lost, waiting(one)) == (1, ["fine"])


def test_the_key_reaches_every_replica() -> None:
    one, box = Outbox(), Mailbox()
    assert one.bring(lambda epoch, items: box.push_items("a", epoch, 0, items), MANY)[1] == ""
    box.pull_items("", MANY, "abcd")
    for replica in ("a", "b"):
        assert (
            Outbox().bring(lambda epoch, items, name=replica: box.push_items(name, epoch, 0, items), MANY)[1] == "abcd"
        )
