"""What the watch costs: ten real deployments at a hundred requests a second each, as a share of one core.

The watch is one thread of the supervisor: it reads what workers wrote, looks for every fault, keeps quality and drift,
and alerts. Requests are rows of the sample, sent by a process of its own; 20 of each second are recorded. Beside it
stands what the whole supervisor took: observing, probing workers and recovery are in it, too.

Run: python benchmarks/watching.py [deployments] [seconds] [requests a second]
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
from serving import processes
from serving.models import IRIS, iris
from serving.ours import Ours, background, deployed
from serving.report import at_most, run, show
from state import temporary_home

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

SHARE = 0.02
SETTLE_S = 30.0
"""Drift has its reference, and quality its first figures."""

CLIENT = """
import asyncio, json, sys, time
targets, rate, rows = json.loads(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])

async def send(host, port, token, number):
    reader, writer = await asyncio.open_connection(host, port)
    due = time.monotonic() + number / 1000
    turn = number
    while True:
        body = json.dumps({"inputs": [rows[turn % len(rows)]]}).encode()
        head = f"POST /predict HTTP/1.1\\r\\nhost: {host}:{port}\\r\\nauthorization: Bearer {token}\\r\\n"
        head += f"content-type: application/json\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\\r\\n\\r\\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0])
        await reader.readexactly(length)
        turn, due = turn + 7, due + 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))

async def main():
    print("ready", flush=True)
    await asyncio.gather(*(send(*target, number) for number, target in enumerate(targets)))

asyncio.run(main())
"""


def main(deployments: int = 10, seconds: float = 60.0, rate: float = 100.0) -> int:
    """Deploy, send, and print what watching took."""
    with temporary_home(), contextlib.ExitStack() as stack:
        model = iris()
        ours = [stack.enter_context(deployed(f"watched-{i:02d}", model, IRIS[0])) for i in range(deployments)]
        supervisor, call = background()[0], connect(Store())
        with clients(ours, rate):
            time.sleep(SETTLE_S)
            before, whole, started = watched_s(call.ping()), processes.cpu_seconds([supervisor]), time.perf_counter()
            time.sleep(seconds)
            elapsed = time.perf_counter() - started
            share = (watched_s(call.ping()) - before) / elapsed
            process = (processes.cpu_seconds([supervisor])[supervisor] - whole[supervisor]) / elapsed
        faults = {name: why for one in ours for name, why in call.health(one.name).faults.items()}
    if faults:
        raise SystemExit(f"parts of the watch failed: {faults}")
    print(f"{deployments} deployments at {rate:g} requests a second each, for {seconds:g} s")
    print(f"  the watch: {share:.2%} of a core, {share / deployments * 1e6:.0f} µs a deployment and second")
    print(f"  the whole supervisor: {process:.2%} of a core")
    target = at_most(f"watching {deployments} deployments at {rate:g} requests/s", share, SHARE, "{:.2%} of a core")
    return show([target], f"python benchmarks/watching.py {deployments} {seconds:g} {rate:g}")


def watched_s(told: dict[str, float]) -> float:
    """CPU seconds of the watch so far."""
    return float(told["watch_cpu_s"])


@contextlib.contextmanager
def clients(ours: list[Ours], rate: float) -> Iterator[None]:
    """One process that sends to all of them at that rate."""
    targets = [("127.0.0.1", one.port, str(one.handle.token)) for one in ours]
    rows = IRIS[0].tolist()
    arguments = [msgspec.json.encode(targets).decode(), str(rate), msgspec.json.encode(rows).decode()]
    with subprocess.Popen([sys.executable, "-c", CLIENT, *arguments], stdout=subprocess.PIPE) as client:
        try:
            assert client.stdout is not None
            client.stdout.readline()
            yield
            if client.poll() is not None:
                raise SystemExit("the client has ended: a request was not answered 200")
        finally:
            client.kill()


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:4])))
