"""The floor for a picture: the raw bytes of a float32 tensor in, the raw bytes of the answer out, read by
`np.frombuffer` in an asyncio.Protocol with httptools. It checks nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import uvloop

from serving.peers import PORT
from serving.peers.tensor import predictor

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n%b"
predict = predictor()


class Connection(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.write = transport.write
        self.parts: list[bytes] = []
        self.feed = httptools.HttpRequestParser(self).feed_data

    def data_received(self, data: bytes) -> None:
        self.feed(data)

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)

    def on_message_complete(self) -> None:
        answer = predict(b"".join(self.parts))
        self.parts.clear()
        self.write(HEAD % (len(answer), answer))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", PORT)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
