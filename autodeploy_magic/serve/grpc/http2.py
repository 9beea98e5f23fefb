"""h2's connection with the limits that it lacks, and what we tell clients of ours.

h2 waits for a whole frame before it finds that it is too long, and for a whole head before it looks at its size; it
remembers every closed stream. The windows bound what a client may send that nobody has asked for yet.
"""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FrameTooLargeError
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, Frame

__all__ = ["CONNECTION_WINDOW", "FRAME_BYTES", "HEAD_BYTES", "STREAMS", "STREAM_WINDOW", "Http2"]

STREAMS = 100
"""Calls at once on a connection."""
STREAM_WINDOW = 512 * 1024
CONNECTION_WINDOW = 4 * 1024 * 1024
FRAME_BYTES = 64 * 1024
"""Fewer and larger frames of data than HTTP/2's 16 KiB: each costs as much as its bytes."""
HEAD_BYTES = 64 * 1024
"""As on the HTTP port."""

_CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    # What is needed of a request's headers is checked here; the rest goes nowhere.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class Http2(H2Connection):
    """The server's side of a connection."""

    MAX_CLOSED_STREAMS = 1024
    """Of 65,536: a connection that lives long would hold megabytes of them."""

    def __init__(self) -> None:
        super().__init__(_CONFIG)
        self.incoming_buffer = _Frames(server=True)
        # A client may send larger frames as soon as it has read that it may; h2 believes it one read too late.
        self.max_inbound_frame_size = FRAME_BYTES

    def greet(self) -> None:
        """Prepare the server's preface."""
        self.initiate_connection()
        self.update_settings(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES,
            }
        )
        self.increment_flow_control_window(CONNECTION_WINDOW - self.inbound_flow_control_window)


class _Frames(FrameBuffer):
    def __next__(self) -> Frame:
        head = self._data[:4]
        if len(head) == 4:
            size, kind = int.from_bytes(head[:3], "big"), head[3]
            if kind != DataFrame.type:
                size += sum(len(frame.data) for frame in self._headers_buffer)
            if size > (FRAME_BYTES if kind == DataFrame.type else HEAD_BYTES):
                raise FrameTooLargeError(f"a frame of {size} bytes")
        return super().__next__()
