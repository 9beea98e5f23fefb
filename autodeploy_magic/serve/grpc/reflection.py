"""gRPC's own reflection: tools such as grpcurl read here what the services and their messages are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodeploy_magic.serve.grpc.calls import Call, Method, parse
from autodeploy_magic.serve.grpc.messages import FILES, rpcs
from autodeploy_magic.serve.grpc.status import Status

__all__ = ["Reflection"]

_RPC = rpcs("grpc.reflection.v1.ServerReflection")["ServerReflectionInfo"]


class Reflection:
    """Tells of `services`. The older v1alpha has the same messages under another name."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._by_name = {file.name: file.SerializeToString() for file in FILES}
        self._by_symbol = {symbol: file.name for file in FILES for symbol in _symbols(file)}

    def methods(self) -> Sequence[Method]:
        """What it answers."""
        older = _RPC._replace(path=_RPC.path.replace(".v1.", ".v1alpha."))
        return [Method(_RPC, stream=self._info), Method(older, stream=self._info)]

    async def _info(self, call: Call) -> None:
        while (body := await call.receive()) is not None:
            request = parse(_RPC, body)
            answer = _RPC.gives(valid_host=request.host, original_request=request, **self._answer(request))
            await call.send(answer.SerializeToString())

    def _answer(self, request: Any) -> dict[str, Any]:
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            return {"list_services_response": {"service": [{"name": name} for name in self._services]}}
        name = request.file_by_filename
        if asked == "file_containing_symbol":
            name = self._by_symbol.get(request.file_containing_symbol, "")
        if name in self._by_name:
            return {"file_descriptor_response": {"file_descriptor_proto": [self._by_name[name]]}}
        return {"error_response": {"error_code": int(Status.NOT_FOUND), "error_message": "there is none"}}


def _symbols(file: Any) -> list[str]:
    """The full names of a file's services, methods, messages and enums."""
    found = [f"{file.package}.{each.name}" for each in (*file.service, *file.enum_type)]
    found += [f"{file.package}.{service.name}.{method.name}" for service in file.service for method in service.method]
    waiting = [(file.package, each) for each in file.message_type]
    while waiting:
        outer, each = waiting.pop()
        name = f"{outer}.{each.name}"
        found += [name, *(f"{name}.{kind.name}" for kind in each.enum_type)]
        waiting += [(name, inner) for inner in each.nested_type]
    return found
