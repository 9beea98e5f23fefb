"""A bare ASGI function under uvicorn (uvloop, httptools): it checks nothing and records nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import uvicorn

from serving.peers import PORT
from serving.peers.session import predictor


class Body(msgspec.Struct):
    inputs: list[list[float]]


decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode
predict = predictor()


async def app(scope: Any, receive: Any, send: Any) -> None:
    del scope
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    answer = encode({"predictions": predict(decode(body).inputs)})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="warning",
    )
