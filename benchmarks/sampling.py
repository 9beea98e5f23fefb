"""What observing costs: 20 deployments of one worker each, sampled once a second, as a share of one core.

The workers are processes as a zygote forks them: about 60 MB, some threads, a tick each second. CPU is that of the
whole observing process: sampling, walking through folders, writing to 20 files; then with all of them watched, too.

Run: python benchmarks/sampling.py [deployments] [seconds]
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
from serving.report import at_most, run, show

from autodeploy_magic.metrics.resources import last_resources
from autodeploy_magic.operate.observe.observatory import Observatory, Subject

SHARE, EACH_US = 0.01, 500.0
SETTLE_S = 15.0  # the first reading of everything, and the first batch
FILES = 200  # of a deployment's folder: some versions and their Bentos
MB = 1e6

NURSERY = """
import asyncio, os, sys, threading
import msgspec, numpy, onnxruntime, uvicorn

async def serve():
    for _ in range(4):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    while True:
        await asyncio.sleep(1)

pids = []
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        own = bytearray(22 << 20)
        own[::4096] = b"x" * len(own[::4096])
        asyncio.run(serve())
    pids.append(pid)
print(msgspec.json.encode(pids).decode(), flush=True)
sys.stdin.read()
for pid in pids:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


def main(deployments: int = 20, seconds: float = 60.0) -> int:
    """Observe, and print what it took."""
    with workers(deployments) as pids, tempfile.TemporaryDirectory(prefix="bench-sampling-") as home:
        subjects = [subject(Path(home) / f"d{i:02d}", pid) for i, pid in enumerate(pids)]
        sizes = [psutil.Process(pid).memory_info().rss / MB for pid in pids]
        observatory = Observatory()
        try:
            observe(observatory, subjects, SETTLE_S)
            alone, longest = observe(observatory, subjects, seconds)
            watched, _ = observe(observatory, subjects, seconds, watched=True)
        finally:
            observatory.close().result()
        rows = [last_resources(one.file) for one in subjects]
    if not all(row is not None and row.processes == 1 and row.memory_bytes for row in rows):
        raise SystemExit("not every deployment was observed")
    print(f"{deployments} deployments of one worker, RSS {statistics.median(sizes):.0f} MB, for {seconds:g} s each")
    print(f"  process CPU: {alone:.3%} of a core; with all of them watched {watched:.3%}")
    each = alone / deployments * 1e6, watched / deployments * 1e6
    print(f"  a deployment and second: {each[0]:.0f} µs, watched {each[1]:.0f} µs")
    print(f"  the longest of the seconds took {longest * 1000:.1f} ms, in a thread of its own")
    what = f"observing {deployments} deployments"
    targets = [
        at_most(f"{what}: share of a core", alone, SHARE, "{:.2%}"),
        at_most(f"{what}: a deployment and second", each[0], EACH_US, "{:.0f} µs"),
    ]
    return show(targets, f"python benchmarks/sampling.py {deployments} {seconds:g}")


@contextlib.contextmanager
def workers(count: int) -> Iterator[list[int]]:
    """Processes like workers, forked from one that has imported what they need."""
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        try:
            yield msgspec.json.decode(nursery.stdout.readline(), type=list[int])
        finally:
            nursery.stdin.close()
            nursery.wait()


def subject(folder: Path, pid: int) -> Subject:
    """A deployment with a folder of `FILES` files."""
    for i in range(FILES):
        file = folder / "versions" / f"{i % 10:04d}" / f"{i}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1000)
    return Subject(folder.name, ((pid, psutil.Process(pid).create_time()),), folder, folder / "metrics.sqlite")


def observe(
    observatory: Observatory, subjects: list[Subject], seconds: float, *, watched: bool = False
) -> tuple[float, float]:
    """Observe once a second; CPU seconds of this process a second, and how long the longest observation took."""
    names = {subject.name for subject in subjects} if watched else set()
    longest, cpu, started = 0.0, time.process_time(), time.monotonic()
    for second in range(1, round(seconds) + 1):
        time.sleep(max(0.0, started + second - time.monotonic()))
        asked = time.monotonic()
        observatory.observe(time.time(), subjects, names).result()
        longest = max(longest, time.monotonic() - asked)
    return (time.process_time() - cpu) / (time.monotonic() - started), longest


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:3])))
