"""gRPC's bytes within a stream."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from grpcport import framed
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic.errors import BodyTooLarge, InvalidInputs, UnsupportedContent
from autodeploy_magic.serve.grpc.framing import Inbox, check_encoding, timeout_s
from autodeploy_magic.serve.grpc.framing import framed as ours

LIMIT = 200_000


@given(
    messages=st.lists(st.binary(max_size=300) | st.just(b"x" * 70_000), max_size=8),
    cuts=st.lists(st.integers(1, 70_000), max_size=40),
)
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    left = b"".join(ours(message) for message in messages)
    inbox = Inbox(LIMIT)
    found = []
    for size in [*cuts, len(left)]:
        inbox.feed(left[:size])
        left = left[size:]
        while (message := inbox.take()) is not None:
            found.append(message)
    assert found == messages
    assert len(inbox) == 0


def test_a_message_that_is_not_whole_waits() -> None:
    inbox = Inbox(LIMIT)
    inbox.feed(framed(b"abc")[:-1])
    assert inbox.take() is None
    assert len(inbox) == 7
    inbox.feed(b"c")
    assert inbox.take() == b"abc"


def test_a_message_is_refused_from_its_length_alone() -> None:
    inbox = Inbox(LIMIT)
    inbox.feed(b"\0" + (LIMIT + 1).to_bytes(4, "big"))
    with pytest.raises(BodyTooLarge, match="more than 200000 bytes"):
        inbox.take()


@pytest.mark.parametrize(
    ("encoding", "packed"), [(b"gzip", gzip.compress(b"abc")), (b"deflate", zlib.compress(b"abc"))]
)
def test_a_compressed_message_is_read(encoding: bytes, packed: bytes) -> None:
    inbox = Inbox(LIMIT, encoding)
    inbox.feed(framed(packed, b"\1") + framed(b"plain"))
    assert inbox.take() == b"abc"
    assert inbox.take() == b"plain"


def test_what_unpacks_to_more_than_the_limit_is_refused() -> None:
    inbox = Inbox(LIMIT, b"gzip")
    inbox.feed(framed(gzip.compress(bytes(100 * LIMIT)), b"\1"))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            inbox.take()
        assert tracemalloc.get_traced_memory()[1] < 10 * LIMIT  # and is not unpacked to find that out
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("message", "encoding"),
    [
        (framed(b"abc", b"\1"), b"gzip"),
        (framed(gzip.compress(b"abc" * 100)[:-4], b"\1"), b"gzip"),
        (framed(gzip.compress(b"abc"), b"\1"), b"identity"),
        (framed(b"abc", b"\2"), b"gzip"),
    ],
    ids=["not-gzip", "cut", "not-said", "unknown-flag"],
)
def test_what_is_not_compressed_as_it_says_is_refused(message: bytes, encoding: bytes) -> None:
    inbox = Inbox(LIMIT, encoding)
    inbox.feed(message)
    with pytest.raises(InvalidInputs):
        inbox.take()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"4m", 0.004), (b"5u", 5e-6), (b"99999999n", 0.099999999)],
)
def test_the_units_of_a_timeout(text: bytes, seconds: float) -> None:
    assert timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"1", b"m", b"-1m", b"1.5S", b"999999999S", b"1S ", b"1s"])
def test_what_is_no_timeout_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInputs):
        timeout_s(text)


def test_an_encoding_that_is_not_known_is_refused() -> None:
    assert check_encoding(b"gzip") == b"gzip"
    with pytest.raises(UnsupportedContent, match="zstd"):
        check_encoding(b"zstd")
