"""A bare ASGI function under uvicorn (uvloop, httptools) that reads a picture's float32 bytes by `np.frombuffer`."""

from __future__ import annotations

from typing import Any

import uvicorn

from serving.peers import PORT
from serving.peers.tensor import predictor

predict = predictor()


async def app(scope: Any, receive: Any, send: Any) -> None:
    del scope
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message["body"])
        more = message.get("more_body", False)
    answer = predict(b"".join(parts))
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(answer)).encode())]
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
