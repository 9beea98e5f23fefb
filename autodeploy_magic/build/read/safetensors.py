"""safetensors files: weights alone, which are put into the module that the person names."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from autodeploy_magic.build.read.given import Given, size_text
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["SafetensorsReader", "reader"]


class SafetensorsReader:
    """The file begins with the length of a JSON header that lists the tensors."""

    title = "a safetensors file"

    def recognises(self, given: Given) -> bool:
        return not given.is_folder and given.head[8:10] == b'{"' and 2 <= _header_bytes(given) <= 100_000_000

    def read(self, given: Given) -> Any:
        tensors = _tensors(given)
        from autodeploy_magic.build.read.torch import filled

        need("safetensors", f"reading {given.name}")
        loading = need("safetensors.torch", f"reading {given.name}")
        if given.into is None:
            raise bare_weights(given, list(tensors))
        return filled(given, loading.load_file(given.path))


def bare_weights(given: Given, names: list[str]) -> BadInput:
    """The error for weights without the module that they go into."""
    return BadInput(
        f"{given.name} holds weights alone ({len(names)}: {', '.join(names[:4])}{', …' if len(names) > 4 else ''})",
        why="a model is weights and what is done with them, which is Python code",
        fix="make the module in the notebook and name it: --model net (deploy(net, …, file=path)); it is not changed",
    )


def _header_bytes(given: Given) -> int:
    return int(struct.unpack("<Q", given.head[:8])[0]) if len(given.head) >= 8 else 0


def _tensors(given: Given) -> dict[str, Any]:
    """The header's entries. Raises `BadInput` where the file is cut off."""
    length = _header_bytes(given)
    with given.path.open("rb") as stream:
        stream.seek(8)
        text = stream.read(length)
    try:
        header: dict[str, Any] = msgspec.json.decode(text)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadInput(
            f"{given.name} is a damaged safetensors file",
            why=f"its header cannot be read: {error}",
            fix="fetch it again",
        ) from error
    if 8 + length + end > given.size_bytes:
        raise BadInput(
            f"{given.name} is a safetensors file that is cut off",
            why=f"its header speaks of {size_text(8 + length + end)}, and it has {size_text(given.size_bytes)}",
            fix="fetch or save it again",
        )
    return tensors


reader = SafetensorsReader()
