"""One server in each file, as its own documentation would have it written, with one worker.

Run as `python -m serving.peers.NAME` in the environment that `registry.PEERS` names, with BENCH_PORT, BENCH_MODEL (a
file) and BENCH_THREADS (onnxruntime's; 0 for its own choice) set, in an empty folder that is the server's to write in.
"""

from __future__ import annotations

import os

__all__ = ["MODEL", "PORT", "THREADS"]

MODEL = os.environ.get("BENCH_MODEL", "")
PORT = int(os.environ.get("BENCH_PORT", "0"))
THREADS = int(os.environ.get("BENCH_THREADS", "1"))
