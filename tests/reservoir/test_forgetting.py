"""What is deleted is gone: from the tables, from the file, and from its log; while others write."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
from recordings import Record, recorded

from autodeploy_magic.reservoir import Label, Recorded, add_labels, exported, forget, kept, recent
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert, trim

SECRET = "the-secret-of-somebody"


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def secret(request: str, at_s: float = 1000.0) -> Recorded:
    return recorded(request, at_s=at_s, inputs={"age": [1.0, 2.0], "city": [f"{SECRET}-{request}", "x"]})


def test_nothing_is_left_of_it(path: Path, record: Record) -> None:
    assert forget(path) == (0, 0)
    record([secret(f"r{i}") for i in range(300)])
    add_labels(path, [Label("r1", 0, SECRET), Label("nobody", 0, SECRET)], 2000.0)
    assert SECRET.encode() in on_disk(path)
    assert forget(path) == (300, 2)
    assert SECRET.encode() not in on_disk(path)
    assert kept(path)[:3] == (0, 0, 0)
    record([secret("later")])
    assert [request.id for request in recent(path, 10)] == ["later"]


def test_what_older_deletions_left_in_the_file_goes_too(path: Path, record: Record) -> None:
    record([request for i in range(200) for request in (secret(f"old{i}", 0.0), recorded(f"new{i}", at_s=5000.0))])
    connection = open_for_writing(path)
    connection.execute("PRAGMA secure_delete = OFF")  # as SQLite is built in some systems
    trim(connection, 5000.0, keep_s=100.0, most_bytes=1 << 30)
    connection.close()
    assert SECRET.encode() in on_disk(path)  # a row that SQLite deletes stays in the file
    assert forget(path, 10.0) == (0, 0)
    assert SECRET.encode() not in on_disk(path)
    assert kept(path).requests == 200


def test_only_what_is_older(path: Path, record: Record) -> None:
    record([secret("old", at_s=100.0), recorded("new", at_s=5000.0)])
    add_labels(path, [Label("old", 0, "a"), Label("new", 0, "b"), Label("nobody", 0, "c")], 200.0)
    assert forget(path, 1000.0) == (1, 2)  # the label of nobody's request came before, too
    assert [request.id for request in recent(path, 10)] == ["new"]
    assert kept(path).labels == 1
    assert SECRET.encode() not in on_disk(path)


def test_workers_write_meanwhile(path: Path, record: Record) -> None:
    record([secret(f"r{i}") for i in range(2000)])
    ending, written = threading.Event(), []

    def work() -> None:
        connection = open_for_writing(path)
        while not ending.is_set():
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                insert(connection, [recorded(f"w{len(written)}")])
            written.append(1)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        requests, _ = forget(path)
    finally:
        ending.set()
        worker.join(timeout=30)
    assert requests >= 2000
    assert SECRET.encode() not in on_disk(path)
    assert requests + kept(path).requests == 2000 + len(written)


def test_an_export_has_all_there_is(path: Path, record: Record) -> None:
    failed = recorded("bad", status=500, outputs={}, inputs=None, error="it failed", body="{}")
    record([recorded("a", rows=4, kept=(0, 2)), failed])
    add_labels(path, [Label("a", 2, "yes"), Label("a", 1, "no"), Label("nobody", 3, 12)], 3000.0)
    lines = list(exported(path))
    assert [line["id"] for line in lines] == ["a", "bad", "nobody"]
    first, second, alone = lines
    assert first["time"] == "1970-01-01T00:16:40.000+00:00"
    assert first["rows"] == [0, 2]
    assert first["inputs"] == {"age": [0.0, 2.0], "city": ["c0", "c2"]}
    assert first["outputs"] == {"predictions": ["yes", "yes"]}
    assert first["labels"] == [None, "yes"]
    assert (second["inputs"], second["error"], second["body"]) == (None, "it failed", "{}")
    assert (alone["rows"], alone["labels"]) == ([3], [12])
    assert msgspec.json.decode(msgspec.json.encode(lines)) == lines
    assert list(exported(path.with_name("none.sqlite"))) == []
