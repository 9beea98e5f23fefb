"""Reading: what is new since last time, one request, the newest, and rows without a label."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from recordings import SIGNATURE, Record, recorded

from autodeploy_magic.reservoir import Label, Reader, add_labels, one, recent, recent_labelled, unlabelled


def news(reader: Reader) -> tuple[list[str], list[tuple[str, int, object]]]:
    requests, labelled = reader.news()
    return [request.id for request in requests], [(each.request, each.row, each.label) for each in labelled]


def test_a_record_is_read_as_it_was_written(path: Path, record: Record) -> None:
    whole = recorded("a", inputs=None, outputs={"predictions": [None, [1, "x"]], "probabilities": [[0.5], [0.5]]})
    part = recorded("b", rows=200, kept=(3, 7), version=2)
    failed = recorded("c", status=500, outputs={}, confidence=(), error="it failed", body='{"inputs": [1]}')
    record([whole, part, failed])
    assert recent(path, 10) == [failed, part, whole]
    assert recent(path, 1) == [failed]
    assert recent(path, 10, version=2) == [part]
    assert recent(path, 10, failed=True) == [failed]
    assert one(path, "b") == part
    assert one(path, "none") is None


def test_nothing_is_there_before_the_first_request(path: Path) -> None:
    assert recent(path, 10) == unlabelled(path, SIGNATURE, 10) == recent_labelled(path, SIGNATURE, 10) == []
    assert one(path, "a") is None
    path.touch()
    assert recent(path, 10) == []
    assert Reader(path, SIGNATURE).news() == ([], [])


def test_what_is_recorded_and_labelled_is_news_once(path: Path, record: Record) -> None:
    record([recorded("old")])
    add_labels(path, [Label("old", 0, "yes")], 1.0)
    reader = Reader(path, SIGNATURE)
    assert news(reader) == ([], [])
    record([recorded("a"), recorded("b")])
    assert news(reader) == (["a", "b"], [])
    assert news(reader) == ([], [])
    add_labels(path, [Label("b", 1, 1), Label("old", 1, 2), Label("x", 0, 3)], 2.0)
    assert news(reader) == ([], [("b", 1, 1), ("old", 1, 2)])
    add_labels(path, [Label("b", 1, 1), Label("old", 0, "no")], 3.0)
    assert news(reader) == ([], [("old", 0, "no")])
    assert news(reader) == ([], [])
    reader.close()


def test_a_label_that_came_before_its_request_is_news_with_it(path: Path, record: Record) -> None:
    reader = Reader(path, SIGNATURE)
    assert news(reader) == ([], [])
    add_labels(path, [Label("a", 0, "yes")], 1.0)
    assert news(reader) == ([], [])
    record([recorded("a"), recorded("b")])
    add_labels(path, [Label("b", 0, "no")], 2.0)
    assert news(reader) == (["a", "b"], [("a", 0, "yes"), ("b", 0, "no")])
    assert news(reader) == ([], [])
    reader.close()


def test_of_much_news_the_newest_is_told(path: Path, record: Record) -> None:
    reader = Reader(path, SIGNATURE)
    reader.news()
    record([recorded(f"r{i}") for i in range(20)])
    add_labels(path, [Label(f"r{i}", 0, i) for i in range(20)], 1.0)
    requests, labelled = reader.news(most=3)
    assert [request.id for request in requests] == ["r17", "r18", "r19"]
    assert [each.label for each in labelled] == [17, 18, 19]
    assert reader.news() == ([], [])
    reader.close()


def test_a_file_that_was_made_again_is_new_as_a_whole(path: Path, record: Record) -> None:
    record([recorded("a"), recorded("b")])
    reader = Reader(path, SIGNATURE)
    assert news(reader) == ([], [])
    for file in path.parent.glob("requests.sqlite*"):
        file.unlink()
    assert news(reader) == ([], [])
    record([recorded("c")])
    add_labels(path, [Label("c", 0, 1)], 1.0)
    assert news(reader) == (["c"], [("c", 0, 1)])
    reader.close()


def test_a_file_that_cannot_be_read_raises_and_is_read_again_once_it_can(path: Path, record: Record) -> None:
    reader = Reader(path, SIGNATURE)
    assert news(reader) == ([], [])
    path.write_bytes(b"no database, for sure" * 100)
    with pytest.raises(sqlite3.Error):
        reader.news()
    path.unlink()
    record([recorded("a")])
    assert news(reader) == (["a"], [])
    reader.close()


def test_rows_without_a_label_come_with_the_least_confident_first(path: Path, record: Record) -> None:
    record([recorded("a", rows=3), recorded("sure", rows=1, confidence=(0.99,)), recorded("bad", status=500)])
    add_labels(path, [Label("a", 1, "x")], 1.0)
    found = unlabelled(path, SIGNATURE, 10)
    assert [(row.request, row.row, row.confidence) for row in found] == [
        ("a", 2, 0.8),
        ("sure", 0, 0.99),
        ("a", 0, 1.0),
    ]
    assert found[0].inputs == {"age": 2.0, "city": "c2"}
    assert found[0].prediction == "yes"
    assert [row.request for row in unlabelled(path, SIGNATURE, 1)] == ["a"]


def test_without_confidences_the_newest_come_first(path: Path, record: Record) -> None:
    record([recorded(name, rows=1, at_s=at_s, confidence=()) for at_s, name in enumerate("abc")])
    assert [row.request for row in unlabelled(path, SIGNATURE, 10)] == ["c", "b", "a"]
    assert [row.request for row in unlabelled(path, SIGNATURE, 10, since_s=1.0)] == ["c", "b"]
    assert unlabelled(path, SIGNATURE, 10)[0].confidence is None


def test_labelled_rows_are_told_by_version_the_newest_label_first(path: Path, record: Record) -> None:
    record([recorded("a"), recorded("b", version=2)])
    add_labels(path, [Label("b", 0, 1), Label("a", 0, 2), Label("b", 1, 3)], 1.0)
    assert [each.label for each in recent_labelled(path, SIGNATURE, 10)] == [3, 2, 1]
    assert [each.label for each in recent_labelled(path, SIGNATURE, 10, version=2)] == [3, 1]
    assert [each.label for each in recent_labelled(path, SIGNATURE, 1)] == [3]


def test_a_reader_holds_up_no_writer(path: Path, record: Record) -> None:
    record([recorded("a")])
    reader = Reader(path, SIGNATURE)
    reader.news()
    with closing(sqlite3.connect(path, timeout=0.0)) as connection:
        connection.execute("DELETE FROM requests")
        connection.commit()
    assert reader.news() == ([], [])
    reader.close()
