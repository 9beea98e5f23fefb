"""gRPC's own health checking: ready until the drain begins. Open, as the health routes of the HTTP port are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from autodeploy_magic.errors import NotFound
from autodeploy_magic.serve.grpc.calls import Call, Method, parse
from autodeploy_magic.serve.grpc.messages import Message, rpcs
from autodeploy_magic.serve.http.front import Front

__all__ = ["Health"]

_RPCS = rpcs("grpc.health.v1.Health")
_Response = _RPCS["Check"].gives
_KNOWN = ("", "inference.GRPCInferenceService")


class Health:
    """`draining` is set when the drain begins: those who watch are told, and their calls end."""

    def __init__(self, front: Front, draining: asyncio.Event) -> None:
        self._front = front
        self._draining = draining

    def methods(self) -> Sequence[Method]:
        """What it answers."""
        return [
            Method(_RPCS["Check"], unary=self._check, open=True),
            Method(_RPCS["Watch"], stream=self._watch, open=True),
        ]

    async def _check(self, request: Message, _: Call) -> bytes:
        if request.service not in _KNOWN:
            raise NotFound(f"there is no service {request.service!r} here", fix=f"ask for {_KNOWN[1]!r}, or for none")
        return self._status()

    async def _watch(self, call: Call) -> None:
        body = await call.receive()
        known = parse(_RPCS["Watch"], body or b"").service in _KNOWN
        await call.send(self._status() if known else _status("SERVICE_UNKNOWN"))
        if not self._draining.is_set():
            await self._draining.wait()
            if known:
                await call.send(self._status())

    def _status(self) -> bytes:
        return _status("NOT_SERVING" if self._front.draining or self._draining.is_set() else "SERVING")


def _status(name: str) -> bytes:
    body: bytes = _Response(status=name).SerializeToString()
    return body
