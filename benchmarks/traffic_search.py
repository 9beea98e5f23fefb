"""The search for the best layout against an exhaustive grid, on three recorded traces: steady, bursty, mixed batches.

Replaying a grid of 168 layouts for real would take hours. So grid and search are both evaluated on a simulated queue,
whose service times are measured here, of a real ONNX model: by threads, spinning and size, each in a fresh process.
What the search sees is off by some percent each time, as a replay is; the layout that it ends with is judged by the
simulation itself. Traces are written into the files that workers write, and read back as a re-tune reads them.

With --real, the true search runs end to end beside a real deployment: real workers, real replays, TPE in jobs.

Run: python benchmarks/traffic_search.py [--seeds 5] [--real] [--seconds 300]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from serving.ours import Ours, deployed
from serving.report import Target, at_most, grid, run, show
from sklearn.neural_network import MLPClassifier
from state import temporary_home

from autodeploy_magic.metrics import INSERT, Rollup
from autodeploy_magic.metrics import open_for_writing as open_metrics
from autodeploy_magic.operate.retune.replaying import main as replay
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.operate.retune.search.layouts import Space, key_of, seeds, title
from autodeploy_magic.operate.retune.search.queueing import ServiceTable, simulated
from autodeploy_magic.operate.retune.search.search import LayoutSearch, Outcome, suggest
from autodeploy_magic.operate.retune.trace import Arrival, Trace, recorded_trace
from autodeploy_magic.reservoir.records import Recorded
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert
from autodeploy_magic.retuning import Layout
from autodeploy_magic.serve.runtime.cores import usable_cores
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.retune.layout_search import layout_of, search_layouts
from autodeploy_magic.supervisor.retune.trials import Trials
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

CORES = 2
SPACE = Space(
    workers=(1, 2, 3, 4),
    settings={
        "threads": (1.0, 2.0),
        "spinning": (0.0, 1.0),
        "batch_rows": (0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
        "max_queue": (64.0, 256.0),
    },
)
"""168 layouts: with one thread nothing spins."""
TODAY = Layout(workers=1, settings={"threads": 2.0, "spinning": 0.0, "batch_rows": 256.0, "max_queue": 256.0})
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NOISE = 0.03
"""Of what the search sees: a replay that is repeated differs by some percent."""
SECONDS = 75
MOST = 2_500
"""Requests of the search slice that are simulated: a grid of them takes half a minute."""
WAITS_S = (0.0, 0.001, 0.002, 0.005)
FEATURES = 64


def network() -> tuple[Any, Any]:
    """A network whose rows take some milliseconds: its weights are nearly those it began with."""
    x = np.random.default_rng(0).standard_normal((512, FEATURES)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPClassifier((4096, 2048, 2048, 1024), max_iter=1, random_state=0).fit(x[:64], x[:64, 0] > 0)
    return model, x


def measured(file: Path) -> ServiceTable:
    """How long runs take, each kind in a process of its own: threads that spin would be there for the next, too."""
    times: dict[tuple[int, bool], Sequence[tuple[int, float]]] = {}
    for threads, spinning in ((1, False), (2, False), (2, True)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            times[threads, spinning] = pool.submit(_times, str(file), threads, spinning).result(timeout=120)
    return ServiceTable(times)


def _times(file: str, threads: int, spinning: bool) -> list[tuple[int, float]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = []
    for rows in SIZES:
        x = np.zeros((rows, FEATURES), np.float32)
        seconds: list[float] = []
        until = time.perf_counter() + 0.6
        while len(seconds) < 5 or time.perf_counter() < until:
            start = time.perf_counter()
            session.run(None, {name: x})
            seconds.append(time.perf_counter() - start)
        found.append((rows, min(seconds)))  # what else the machine does only adds to it
    return found


def traffic(table: ServiceTable) -> dict[str, list[Arrival]]:
    """Three kinds of traffic, as heavy as makes layouts matter on this machine."""
    chance = random.Random(0)
    one_s, some_s = table.seconds(1), table.seconds(64)
    mean_s = 0.75 * one_s + 0.2 * table.seconds(16) + 0.05 * some_s
    return {
        "steady": _poisson(chance, lambda _: 1.1 / one_s, lambda: 1),
        "bursty": _poisson(chance, lambda at_s: (3.0 if at_s % 5 < 1 else 0.3) / one_s, lambda: 1),
        "mixed batch": _poisson(
            chance, lambda _: 0.8 / mean_s, lambda: chance.choices((1, 16, 64), (0.75, 0.2, 0.05))[0]
        ),
    }


def _poisson(chance: random.Random, rate: Callable[[float], float], rows: Callable[[], int]) -> list[Arrival]:
    at_s, found = 0.0, []
    while at_s < SECONDS:
        at_s += chance.expovariate(rate(at_s))
        found.append(Arrival(at_s, rows()))
    return found


def recorded(arrivals: Sequence[Arrival], folder: Path) -> Trace:
    """Write arrivals as workers do, 20 of each second at most, and all of them counted; read the trace of it."""
    start = int(time.time()) - 2 * SECONDS
    chance = random.Random(1)
    by_second: dict[int, list[Arrival]] = {}
    for one in arrivals:
        by_second.setdefault(int(one.at_s), []).append(one)
    kept = [one for each in by_second.values() for one in chance.sample(each, min(len(each), 20))]
    requests = open_for_writing(folder / "requests.sqlite")
    with requests:
        requests.execute("BEGIN")
        insert(
            requests,
            [
                Recorded(str(i), start + one.at_s, 1, 200, 0.0, one.rows, tuple(range(one.rows)), None, {})
                for i, one in enumerate(kept)
            ],
        )
    requests.close()
    metrics = open_metrics(folder / "metrics.sqlite")
    with metrics:
        for second, each in by_second.items():
            row: dict[str, Any] = dict.fromkeys(Rollup._fields, 0)
            row |= {"second": start + second, "version": 1, "latency": "{}", "batches": "{}"}
            row |= {"requests": len(each), "statuses": f'{{"200":{len(each)}}}'}
            metrics.execute(INSERT, Rollup(**row))
    metrics.close()
    return recorded_trace(folder / "requests.sqlite", folder / "metrics.sqlite", time.time())


def found_by(arrivals: Sequence[Arrival], table: ServiceTable, seed: int) -> tuple[Layout, int, float]:
    """The layout that a search ends with, after how many trials, and how long TPE took."""
    noise = random.Random(seed)

    async def scenario() -> tuple[Layout, int, float]:
        search = LayoutSearch(SPACE, seeds(SPACE, CORES, TODAY), suggest, seed=seed)
        spent_s = 0.0
        while True:
            started = time.perf_counter()
            layout = await search.next()
            spent_s += time.perf_counter() - started
            if layout is None:
                break
            seen = simulated(arrivals, layout, table, CORES)
            search.tell(layout, msgspec.structs.replace(seen, p95_s=seen.p95_s * noise.lognormvariate(0.0, NOISE)))
        assert search.best is not None
        return search.best, len(search.tried), spent_s

    return asyncio.run(scenario())


def simulation(count: int) -> list[Target]:
    """The grid and the searches, trace by trace."""
    model, x = network()
    with tempfile.TemporaryDirectory() as name:
        from skl2onnx import to_onnx

        file = Path(name) / "model.onnx"
        file.write_bytes(to_onnx(model, x[:1], options={"zipmap": False}).SerializeToString())
        table = measured(file)
        print("seconds of a run, measured:")
        print(
            grid(
                ["threads", *(f"{rows} rows" for rows in SIZES)],
                (
                    [f"{threads}{', spinning' if spins else ''}", *(f"{seconds * 1000:.2f} ms" for _, seconds in times)]
                    for (threads, spins), times in table.times.items()
                ),
            )
        )
        targets = []
        for kind, arrivals in traffic(table).items():
            folder = Path(name) / kind
            folder.mkdir()
            trace = recorded(arrivals, folder)
            targets += _compared(kind, trace.search[:MOST], table, count)
    return targets


def _compared(kind: str, arrivals: Sequence[Arrival], table: ServiceTable, count: int) -> list[Target]:
    costs = {key_of(one): simulated(arrivals, one, table, CORES).cost_s for one in SPACE.layouts()}
    by_key = {key_of(one): one for one in SPACE.layouts()}
    best = min(costs, key=lambda key: costs[key])
    results = [found_by(arrivals, table, seed) for seed in range(count)]
    ratios = [costs[key_of(layout)] / costs[best] for layout, _, _ in results]
    rng = random.Random(0)
    rand = [min(rng.sample(list(costs.values()), 30)) / costs[best] for _ in range(200)]
    rate = len(arrivals) / arrivals[-1].at_s
    print(f"\n{kind}: {len(arrivals)} requests, {rate:.0f} a second, rows {_mix(arrivals)}; {len(costs)} layouts")
    print(f"  best of the grid   {costs[best] * 1000:8.1f} ms   {title(by_key[best])}")
    print(f"  as it is run today {costs[key_of(TODAY)] * 1000:8.1f} ms   {title(TODAY)}")
    print(f"  found              {costs[key_of(results[0][0])] * 1000:8.1f} ms   {title(results[0][0])}")
    print(f"  of {count} seeds: {', '.join(f'{ratio:.2f}' for ratio in ratios)} × the best", end="")
    print(f" (30 at random: {statistics.median(rand):.2f}, 90th percentile {statistics.quantiles(rand, n=10)[-1]:.2f})")
    waits = [simulated(arrivals, by_key[best], table, CORES, wait_s=wait_s).p95_s for wait_s in WAITS_S]
    words = (f"{wait_s * 1000:g} ms → {p95_s * 1000:.1f}" for wait_s, p95_s in zip(WAITS_S, waits, strict=True))
    print(f"  p95 with a wait for more requests to join: {', '.join(words)}")
    return [
        at_most(
            f"{kind}: p95 of what was found, worst of {count} seeds, against the best of the grid", max(ratios), 1.1
        ),
        at_most(f"{kind}: trials", max(trials for _, trials, _ in results), 30, "{:.0f}"),
    ]


def _mix(arrivals: Sequence[Arrival]) -> str:
    counts = Counter(one.rows for one in arrivals)
    return ", ".join(f"{rows}: {count / len(arrivals):.0%}" for rows, count in sorted(counts.items()))


def real(seconds: float) -> list[Target]:
    """Deploy, send traffic, read its trace, search with real workers, and print what came of it."""
    model, x = network()
    with temporary_home(), tempfile.TemporaryDirectory() as name, deployed("net", model, x) as ours:
        store, data = Store(), Path(name)
        version = store.version("net", ours.handle.version)
        desired = store.desired("net")
        assert desired is not None
        Rows(version.signature, x.tolist(), len(x)).write(data / "calibration.json.gz")
        chosen = next(one for one in version.candidates if one.format == version.format)
        print(f"\n{version.format}, one row {1000 * (chosen.one_row_s or 0):.2f} ms", end=", ")
        print(f"{chosen.batch_rows} rows {1000 * (chosen.batch_s or 0):.2f} ms, {usable_cores()} cores")
        _ask(ours, data, rate=min(0.5 / (chosen.one_row_s or 0.01), 300.0))
        trace = recorded_trace(store.requests_file("net"), store.metrics_file("net"), time.time())
        trace.write(data / "trace.json")
        print(f"trace: {trace.requests} requests, {trace.rate:.0f} a second, arrivals drawn: {trace.sampled}")
        log = store.home / "zygotes.log"

        async def scenario() -> tuple[list[Any], list[float], float]:
            zygotes = Zygotes(log)
            try:
                trials = Trials(store, zygotes)
                again = []
                async with trials.running(desired, version, layout_of(desired)) as trial:
                    for _ in range(6):
                        outcome = await trials.replay(trial, trace.confirm[:150], data / "calibration.json.gz", 60.0)
                        again.append(outcome.p95_s)
                started = time.monotonic()
                found = await search_layouts(trials, desired, version, data, seconds, 0, print)
                return found, again, time.monotonic() - started
            finally:
                zygotes.close()

        found, again, spent_s = asyncio.run(scenario())
        spread = statistics.stdev(again) / statistics.mean(again)
        print(f"the same layout again and again: p95 {', '.join(f'{p95_s * 1000:.1f}' for p95_s in again)} ms", end="")
        print(f", standard deviation {spread:.0%}")
        for one in found:
            print(f"  {one.state:8}  {one.title:70}  {one.reason}  {one.note}")
    best = next((one for one in found if one.state == "passed"), found[0])
    ratio = best.figures.p95_s / found[0].figures.p95_s
    print(f"best against today's: {best.title}: {ratio:.2f} × its p95; {spent_s:.0f} s")
    return [
        at_most("p95 of the layout that was chosen, against today's, real replays", ratio, 1.0),
        at_most("seconds of the search", spent_s, seconds * 1.1, "{:.0f}"),
    ]


def _ask(ours: Ours, data: Path, rate: float) -> None:
    """Real traffic for a minute, so that it is recorded by workers."""
    chance, at_s, arrivals = random.Random(2), 0.0, []
    while at_s < 45:
        at_s += chance.expovariate(rate * (2.0 if at_s % 6 < 1.5 else 0.6))
        arrivals.append([at_s, chance.choices((1, 8), (0.9, 0.1))[0]])
    spec = {
        "url": ours.handle.url,
        "token": ours.handle.token,
        "trace": arrivals,
        "rows": str(data / "calibration.json.gz"),
        "signature": msgspec.to_builtins(Store().version("net", ours.handle.version).signature),
        "limit_s": 5.0,
        "within_s": 60.0,
    }
    outcome = msgspec.convert(replay(spec), Outcome)
    print(f"asked {outcome.requests} times, {outcome.failed} failed {outcome.worst}, p95 {outcome.p95_s * 1000:.1f} ms")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the real search")
    options = parser.parse_args(arguments)
    targets = real(options.seconds) if options.real else simulation(options.seeds)
    return show(targets, f"python benchmarks/traffic_search.py {' '.join(arguments)}".strip())


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
