"""A running worker learns of a rotation from the state folder alone."""

from __future__ import annotations

import math
import stat
import threading
from pathlib import Path

import pytest

from autodeploy_magic.errors import StartFailed, Unauthorized, UnreadableRecord
from autodeploy_magic.serve.http import tokens as module
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.http.tokens import Tokens
from autodeploy_magic.store import Store, old_tokens_file, read_tokens, write_atomic


class Clock:
    """`time`, as far as tokens ask it; it goes on when it is told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from autodeploy_magic import store

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(store, "time", clock)
    return clock


def watched(store: Store) -> tuple[Guard, Tokens]:
    store.token("iris")
    guard, tokens = Guard(tokens=()), Tokens(store.token_file("iris"))
    tokens.keep(guard)
    return guard, tokens


def passes(guard: Guard, token: str) -> bool:
    try:
        guard.authorize({b"authorization": f"Bearer {token}".encode()})
    except Unauthorized:
        return False
    return True


# --- what the store keeps


def test_a_rotation_ends_the_old_token_at_once(store: Store) -> None:
    old = store.token("iris")
    new = store.rotate_token("iris")
    assert new != old
    assert store.token("iris") == new
    assert store.tokens("iris") == {new: math.inf}


def test_an_old_token_is_good_for_its_grace(store: Store, clock: Clock) -> None:
    first = store.token("iris")
    second = store.rotate_token("iris", grace_s=60)
    clock.now += 40
    third = store.rotate_token("iris", grace_s=60)
    end = 1_000_000.0 + 60
    assert store.tokens("iris") == {third: math.inf, first: end, second: clock.now + 60}
    assert next(iter(store.tokens("iris"))) == third
    clock.now = end
    assert set(store.tokens("iris")) == {second, third}


def test_a_shorter_grace_shortens_those_before_it(store: Store, clock: Clock) -> None:
    first = store.token("iris")
    second = store.rotate_token("iris", grace_s=3600)
    third = store.rotate_token("iris", grace_s=5)
    assert store.tokens("iris") == {third: math.inf, first: clock.now + 5, second: clock.now + 5}
    fourth = store.rotate_token("iris")
    assert set(store.tokens("iris")) == {fourth}


def test_tokens_are_their_owner_s_alone(store: Store) -> None:
    store.rotate_token("iris", grace_s=60)
    file = store.token_file("iris")
    locks = list((store.home / "deployments").glob(".*.lock"))
    assert locks
    for path in (file, old_tokens_file(file), *locks):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rotations_at_once_leave_each_other_s_token_in_its_grace(store: Store) -> None:
    given = [store.token("iris")]

    def rotate() -> None:
        given.append(store.rotate_token("iris", grace_s=60))

    threads = [threading.Thread(target=rotate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(store.tokens("iris")) == set(given)
    assert len(set(given)) == 7


def test_an_empty_file_is_no_token(store: Store) -> None:
    store.token("iris")
    store.token_file("iris").write_bytes(b"")
    assert read_tokens(store.token_file("iris")) == {}
    assert len(store.token("iris")) >= 43


# --- what a worker makes of it


def test_a_new_token_is_good_at_the_first_request_that_brings_it(store: Store, clock: Clock) -> None:
    guard, _ = watched(store)
    old = store.token("iris")
    new = store.rotate_token("iris")
    assert passes(guard, new)
    assert not passes(guard, old)


def test_the_tick_ends_an_old_token(store: Store, clock: Clock) -> None:
    guard, tokens = watched(store)
    old = store.token("iris")
    new = store.rotate_token("iris", grace_s=30)
    tokens.tick()
    assert guard.tokens == (new, old)
    clock.now += 30
    tokens.tick()
    assert guard.tokens == (new,)
    assert not passes(guard, old)


def test_a_worker_that_starts_within_the_grace_knows_the_old_token(store: Store) -> None:
    old = store.token("iris")
    new = store.rotate_token("iris", grace_s=600)
    guard, _ = watched(store)
    assert passes(guard, old)
    assert passes(guard, new)


def test_a_flood_of_wrong_tokens_is_no_flood_of_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, _ = watched(store)
    reads: list[Path] = []

    def counted(file: Path) -> dict[str, float]:
        reads.append(file)
        return read_tokens(file)

    monkeypatch.setattr(module, "read_tokens", counted)
    for _ in range(1000):
        assert not passes(guard, "wrong")
    assert reads == []
    new = store.rotate_token("iris")
    assert passes(guard, new)
    assert len(reads) == 1


def test_tokens_rotated_one_after_the_other_are_each_good_at_once(store: Store) -> None:
    guard, _ = watched(store)
    for _ in range(5):
        assert not passes(guard, "wrong"), "somebody knocks in between"
        assert passes(guard, store.rotate_token("iris", grace_s=60))


def test_what_cannot_be_read_changes_nothing(store: Store, clock: Clock) -> None:
    guard, tokens = watched(store)
    token = store.token("iris")
    file = store.token_file("iris")
    write_atomic(old_tokens_file(file), b"{")
    tokens.tick()
    assert guard.tokens == (token,)
    old_tokens_file(file).unlink()
    file.unlink()
    tokens.tick()
    assert guard.tokens == (token,)
    file.write_bytes(b"")
    tokens.tick()
    assert guard.tokens == (token,), "an empty file must not open the deployment"


def test_no_worker_starts_without_a_token(store: Store) -> None:
    store.token("iris")
    file = store.token_file("iris")
    write_atomic(old_tokens_file(file), b"{")
    with pytest.raises(UnreadableRecord):
        Tokens(file)
    old_tokens_file(file).unlink()
    file.write_bytes(b"\n")
    with pytest.raises(StartFailed, match="cannot be read"):
        Tokens(file)
    file.unlink()
    with pytest.raises(StartFailed, match="cannot be read"):
        Tokens(file)
