"""A conversation with one worker over its control socket: orders, each answered by a line; see `serve.control`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from autodeploy_magic.errors import from_payload
from autodeploy_magic.serve.lineup.orders import Order

__all__ = ["Talk"]


class Talk:
    """A conversation with one worker's control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def begin(cls, control: Path) -> Talk:
        reader, writer = await asyncio.open_unix_connection(control)
        await reader.readline()  # who it is
        return cls(reader, writer)

    def say(self, order: Order) -> None:
        self._writer.write(msgspec.json.encode(order) + b"\n")

    async def answer(self) -> None:
        """Raises what the worker raised, or `ConnectionError` where it has gone."""
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("it ended the conversation")
        answer = msgspec.json.decode(line)
        if "error" in answer:
            raise from_payload(answer["error"])

    def close(self) -> None:
        self._writer.close()
