"""An RSGI function under Granian: its own HTTP server in Rust, one worker, uvloop."""

from __future__ import annotations

from typing import Any

import msgspec

from serving.peers import PORT
from serving.peers.session import predictor


class Body(msgspec.Struct):
    inputs: list[list[float]]


decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode
predict = predictor()


async def app(scope: Any, protocol: Any) -> None:
    del scope
    answer = encode({"predictions": predict(decode(await protocol()).inputs)})
    protocol.response_bytes(200, [("content-type", "application/json")], answer)


if __name__ == "__main__":
    from granian import Granian  # type: ignore[import-not-found,unused-ignore]

    Granian(
        "serving.peers.granian:app", address="127.0.0.1", port=PORT, interface="rsgi", workers=1, loop="uvloop"
    ).serve()
