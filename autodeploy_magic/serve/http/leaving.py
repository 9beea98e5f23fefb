"""The end of a listening socket that nobody else holds: who has been let in by the kernel is answered.

Closing such a socket resets the connections that wait in it. So nobody new is let in first (Linux can be told to
ignore the packet that asks for a connection; whoever sends one tries again, and finds the port closed), and then the
server accepts as before until nobody waits any more.

Source: socket(7) and net/core/filter.c of Linux, SO_ATTACH_FILTER; RFC 9293, section 3.1, for the place of the flags.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence

__all__ = ["empty"]

_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("HBBI")
_IGNORE_SYN = b"".join(
    _INSTRUCTION.pack(*instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte with TCP's flags
        (0x54, 0, 0, 0x12),  # keep SYN and ACK
        (0x15, 0, 1, 0x02),  # where it is SYN alone,
        (0x06, 0, 0, 0),  # take nothing of the packet,
        (0x06, 0, 0, 0xFFFFFFFF),  # else all
    )
)

HANDSHAKE_S = 0.02
"""For connections that are half made; nearly all are whole at once."""
LOOK_S = 0.002
MOST_S = 2.0


async def empty(sockets: Sequence[socket.socket]) -> None:
    """Let nobody new in, and return when the server of each has accepted who waits; after `MOST_S` in any case."""
    if not sockets:
        return
    poll = select.poll()
    for each in sockets:
        _ignore_new(each)
        poll.register(each, select.POLLIN)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MOST_S):
            await asyncio.sleep(HANDSHAKE_S)
            while poll.poll(0):  # noqa: ASYNC110 - the kernel tells nobody when a queue has become empty
                await asyncio.sleep(LOOK_S)


def _ignore_new(listening: socket.socket) -> None:
    """Where the system cannot do that, those who come in the very last moment find their connection reset."""
    if sys.platform != "linux":
        return
    instructions = ctypes.create_string_buffer(_IGNORE_SYN, len(_IGNORE_SYN))
    program = struct.pack("HP", len(_IGNORE_SYN) // _INSTRUCTION.size, ctypes.addressof(instructions))
    with contextlib.suppress(OSError):  # a sandbox that knows no filters
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
