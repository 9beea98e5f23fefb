"""What a second worker brings for a model that costs about 5 ms: throughput of two workers beside that of one.

The clients take what they need of the same cores, which is little at this pace. Beside ours stands the floor with the
same model, with one thread and with onnxruntime's own choice of threads, which is one for each core.

Run: python benchmarks/workers.py [--rounds N] [--seconds S]
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from serving import cores, processes
from serving.clients import Clients, clients
from serving.environments import cache_folder
from serving.job import Job
from serving.models import ENCODER, answers, encoder, tokens
from serving.ours import Ours, deployed, rows
from serving.report import at_least, options_of, run, show, table
from serving.rounds import interleave
from serving.servers import Server, exchange_of, peer
from state import temporary_home

TWO_WORKERS = 1.8
CONNECTIONS = 8


def main() -> int:
    """Print the table and what became of the target."""
    options = options_of(__doc__, rounds=4, seconds=3.0, peers=False)
    where = cores.ANYWHERE
    print(f"{ENCODER}; one row as JSON, {CONNECTIONS} keep-alive connections; {os.cpu_count()} cores, {where.words}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(temporary_home())
        load = stack.enter_context(clients(where.client))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-workers-"))
        file = encoder(Path(folder) / "encoder.onnx")
        x = tokens(16)
        one, found = x[:1].tolist(), answers(file, x[:1])
        ours = [
            stack.enter_context(deployed(f"encoder-{count}", str(file), x, where=where, workers=count))
            for count in (1, 2)
        ]
        servers = [
            ours[0].server("ours, one worker", rows(ours[0], one, found), name="one"),
            ours[1].server("ours, two workers", rows(ours[1], one, found), name="two"),
        ]
        exchange = exchange_of("floor", one, found)
        for threads, variant in ((1, "1 thread"), (0, "default threads")):
            floor = peer("floor", file, exchange, load, where, cache_folder(), threads=threads, variant=variant)
            servers.append(stack.enter_context(floor))
        results = interleave(load, servers, rounds=options.rounds, seconds=options.seconds, connections=CONNECTIONS)
        shares = [spread_of(load, ours[1], results["two"].server) for _ in range(options.rounds)]
    print(table(list(results.values())))
    print(f"  how {CONNECTIONS} connections fell on the two workers: {', '.join(shares)}")
    gain = results["two"].ratio(results["one"], lambda figures: figures.rate)
    target = at_least("a 5 ms model: requests/s of two workers to one, on two cores", gain, TWO_WORKERS)
    return show([target], "python benchmarks/workers.py")


def spread_of(load: Clients, ours: Ours, server: Server) -> str:
    """Connect once more, and tell how many of the connections each worker holds: a worker without any is idle."""
    load.start(Job(port=server.port, exchanges=server.exchanges, keep_alive=CONNECTIONS, seconds=10.0))
    held = sorted(processes.connections(pid, load.pid, ours.port) for pid in ours.workers())
    load.stop()
    return " + ".join(map(str, held))


if __name__ == "__main__":
    run(main)
