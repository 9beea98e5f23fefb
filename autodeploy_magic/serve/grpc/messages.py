"""The messages and methods of the protocols here, made from `protos/` in a pool of their own.

protobuf's generated modules register in one pool for the whole process, where a second `inference.ModelInferRequest` is
an error, and every client library of this protocol brings one. So none are generated: the compiled descriptors are read
when this module is.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["FILES", "Message", "Rpc", "message", "rpcs"]

Message = Any
"""A protobuf message; the classes are made at run time, and have no types that a checker could read."""

FILES = FileDescriptorSet.FromString(files(__package__).joinpath("protos", "descriptors.binpb").read_bytes()).file
"""The compiled files of `protos/`."""

_POOL: Any = DescriptorPool()  # its types have no methods
for _file in FILES:
    _POOL.Add(_file)


class Rpc(NamedTuple):
    """A method of a service. `path` is what a request names; `takes` reads and `gives` writes a message."""

    path: str
    takes: type[Message]
    gives: type[Message]


def message(name: str) -> type[Message]:
    """The class of the message with the full name `name`."""
    found: type[Message] = GetMessageClass(_POOL.FindMessageTypeByName(name))
    return found


def rpcs(service: str) -> dict[str, Rpc]:
    """The methods of the service with the full name `service`, by their names."""
    descriptor = _POOL.FindServiceByName(service)
    return {
        method.name: Rpc(
            f"/{service}/{method.name}",
            message(method.input_type.full_name),
            message(method.output_type.full_name),
        )
        for method in descriptor.methods
    }
