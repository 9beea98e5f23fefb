"""The floor: an asyncio.Protocol on uvloop with httptools, msgspec and onnxruntime, and nothing else.

It reads any path, checks nothing and records nothing. Less than this a Python server that answers JSON cannot do.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import msgspec
import uvloop

from serving.peers import PORT
from serving.peers.session import predictor

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Body(msgspec.Struct):
    inputs: list[list[float]]


decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode
predict = predictor()


class Connection(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.write = transport.write
        self.body = b""
        self.feed = httptools.HttpRequestParser(self).feed_data

    def data_received(self, data: bytes) -> None:
        self.feed(data)

    def on_body(self, data: bytes) -> None:
        self.body = self.body + data if self.body else data

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        answer = encode({"predictions": predict(decode(body).inputs)})
        self.write(HEAD % (len(answer), answer))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", PORT)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
