"""What a deployment has measured, as text for Prometheus: the same whichever worker is asked.

It is read from `metrics.sqlite`, where all workers write, and which outlives them. What BentoML and the person's own
code count with prometheus_client lies in a folder for each worker; it follows with the worker as a label.

Source: prometheus.io/docs/instrumenting/exposition_formats (0.0.4), the OpenMetrics specification 1.0, and
prometheus.io/docs/practices/naming.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic import __version__
from autodeploy_magic.contracts import Version, WorkerState
from autodeploy_magic.metrics.counters import Counted, Counters, counters
from autodeploy_magic.metrics.histogram import upper_s

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.core import HistogramMetricFamily

__all__ = ["Exposition"]

FRESH_S = 0.5
"""How long a page that was made is given to others that ask. Who asks the workers in turn, and not more often, never
sees a count go back."""
PREFIX = "autodeploy_"
LATENCIES_S = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class _Runtime(msgspec.Struct, frozen=True):
    """What of `runtime.json` tells how many workers there are."""

    generation: int
    workers: tuple[WorkerState, ...] = ()


class Exposition:
    """Makes the pages of one worker's deployment. Nothing is known of what has no file or folder.

    `metrics` is the file that workers write, `runtime` the supervisor's of the workers that it has seen, and `clients`
    the folder of what prometheus_client keeps, with one in it for each worker. `loaded` are the versions that are
    loaded here. `recording` says whether workers write at all.
    """

    def __init__(
        self,
        deployment: str,
        loaded: Callable[[], Iterable[Version]],
        *,
        metrics: Path | None = None,
        runtime: Path | None = None,
        clients: Path | None = None,
        recording: bool = True,
    ) -> None:
        self._deployment = deployment
        self._loaded = loaded
        self._metrics = metrics
        self._runtime = runtime
        self._clients = clients
        self._recording = recording
        self._pages: dict[bool, asyncio.Future[bytes]] = {}
        self._since = -FRESH_S

    async def page(self, *, openmetrics: bool) -> bytes:
        """All of it in Prometheus' own format, or in that of OpenMetrics. Raises `sqlite3.Error` or `OSError`."""
        now = time.monotonic()
        if now - self._since >= FRESH_S:
            self._since = now
            self._pages = {}
        page = self._pages.get(openmetrics)
        if page is None:
            versions = sorted(self._loaded(), key=lambda version: version.number)
            page = asyncio.ensure_future(asyncio.to_thread(self._text, versions, openmetrics=openmetrics))
            self._pages[openmetrics] = page
        return await asyncio.shield(page)  # who goes away must not take it from others

    def _text(self, loaded: Sequence[Version], *, openmetrics: bool) -> bytes:
        # Imported after the worker has named its folder in the environment: what BentoML counts is kept there.
        from prometheus_client import generate_latest
        from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

        write = generate_openmetrics if openmetrics else generate_latest
        text: bytes = write(_Families([*self._ours(loaded), *self._theirs()]))
        return text

    def _ours(self, loaded: Sequence[Version]) -> Iterator[Metric]:
        found = counters(self._metrics) if self._metrics is not None else None
        ours = _Ours(self._deployment)
        yield ours.build(loaded)
        if found is not None:
            numbers = [version.number for version in loaded]
            yield from ours.versions({**dict.fromkeys(numbers, Counted()), **found.versions})
            if self._recording:
                yield from ours.load(numbers, found)
            yield from ours.processes(found)
        runtime = _read_runtime(self._runtime) if self._runtime is not None else None
        if runtime is not None:
            yield from ours.workers(runtime)

    def _theirs(self) -> list[Metric]:
        """What was counted with prometheus_client in each worker, as one family for all of them."""
        merged: dict[str, Metric] = {}
        for folder in sorted(self._clients.iterdir()) if self._clients is not None and self._clients.is_dir() else ():
            for metric in _of_worker(folder):
                if metric.name.startswith(PREFIX):
                    continue  # a family has one place on a page
                samples = sorted(metric.samples, key=_place)
                samples = [each._replace(labels={**each.labels, "worker": folder.name}) for each in samples]
                if metric.name not in merged:
                    merged[metric.name] = metric
                    metric.samples = samples
                elif merged[metric.name].type == metric.type:
                    merged[metric.name].samples += samples
        return [merged[name] for name in sorted(merged)]


class _Families:
    """Families that are made, in the place of prometheus_client's registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Ours:
    """The families of one deployment, each with its name as a label."""

    def __init__(self, deployment: str) -> None:
        from prometheus_client import core

        self._core = core
        self._deployment = deployment

    def build(self, loaded: Iterable[Version]) -> Metric:
        about = "The versions that are loaded, and the release that serves them."
        family = self._core.InfoMetricFamily(f"{PREFIX}build", about, labels=["deployment", "version"])
        for version in loaded:
            value = {"format": version.format, "framework": version.framework, "model": version.model_type}
            family.add_metric([self._deployment, str(version.number)], {**value, "release": __version__})
        return family

    def versions(self, versions: dict[int, Counted]) -> Iterator[Metric]:
        """What only grows, also when workers are replaced, and when what it was added up from is deleted."""
        requests = self._counter("requests", "Requests that were answered, by HTTP status.", "version", "code")
        for number, counted in versions.items():
            for status, count in sorted((counted.answers or {200: 0}).items()):
                requests.add_metric([self._deployment, str(number), str(status)], count)
        yield requests
        yield self._latencies(versions)
        if any(counted.firsts for counted in versions.values()):
            yield self._firsts(versions)
        for name, about, read in _COUNTERS:
            counter = self._counter(name, about, "version")
            for number, counted in versions.items():
                counter.add_metric([self._deployment, str(number)], read(counted))
            yield counter
        yield self._batches(versions)
        last = self._gauge("last_answer_timestamp_seconds", "When a request was last answered with success.", "version")
        for number, counted in versions.items():
            if counted.last is not None:
                last.add_metric([self._deployment, str(number)], counted.last)
        yield last

    def load(self, loaded: Sequence[int], found: Counters) -> Iterator[Metric]:
        for name, about, values in (
            ("requests_in_flight", "Most requests under way at once in one of the last 5 seconds.", found.in_flight),
            ("requests_waiting", "Most requests that waited at once in one of the last 5 seconds.", found.waiting),
        ):
            gauge = self._gauge(name, about, "version")
            for number in sorted({*loaded, *values}):
                gauge.add_metric([self._deployment, str(number)], values.get(number, 0))
            yield gauge

    def processes(self, found: Counters) -> Iterator[Metric]:
        """What the processes take: nothing where nobody has looked of late, and no zeros for what is down."""
        if found.cpu_s is not None:
            cpu = self._counter("process_cpu_seconds", "CPU time of all processes, user and system, while watched.")
            cpu.add_metric([self._deployment], found.cpu_s)
            yield cpu
        row = found.resources
        if row is None:
            return
        for name, about, value, needs_process in (
            ("processes", "Processes of the deployment.", row.processes, False),
            ("process_memory_bytes", "Memory of all processes, shared pages counted once.", row.memory_bytes, True),
            ("process_resident_memory_bytes", "Resident memory of all processes, added up.", row.rss_bytes, True),
            ("process_threads", "Threads of all processes.", row.threads, True),
            ("process_open_fds", "Open files and sockets of all processes.", row.files, True),
            ("gpu_utilization_ratio", "What the processes use of one GPU, 0 to 1.", row.gpu_share, True),
            ("gpu_memory_bytes", "Memory of GPUs that the processes use.", row.gpu_memory_bytes, True),
            ("disk_bytes", "What the deployment's folder takes of the disk.", row.disk_bytes, False),
            ("disk_free_bytes", "What is free on the disk that holds it.", row.disk_free_bytes, False),
        ):
            if value is not None and value >= 0 and (row.processes or not needs_process):
                gauge = self._gauge(name, about)
                gauge.add_metric([self._deployment], value)
                yield gauge

    def workers(self, runtime: _Runtime) -> Iterator[Metric]:
        up = [worker for worker in runtime.workers if _is_up(worker)]
        ready = [worker for worker in up if worker.ready and worker.generation == runtime.generation]
        for name, about, count in (
            ("workers_up", "Worker processes that run, those on their way out included.", len(up)),
            ("workers_ready", "Worker processes that take requests.", len(ready)),
        ):
            gauge = self._gauge(name, about)
            gauge.add_metric([self._deployment], count)
            yield gauge

    def _latencies(self, versions: dict[int, Counted]) -> HistogramMetricFamily:
        about = (
            "Time from a request's last byte to its answer. Latencies are recorded in steps of 2 %: a bucket counts "
            "what is certainly within its bound."
        )
        family = self._histogram("request_duration_seconds", about)
        for number, counted in versions.items():
            uppers = {upper_s(index): count for index, count in counted.latencies.items()}
            family.add_metric([self._deployment, str(number)], _buckets(uppers, LATENCIES_S), counted.latency_s)
        return family

    def _firsts(self, versions: dict[int, Counted]) -> HistogramMetricFamily:
        about = "Time from a request's last byte to the first item of an answer that is streamed."
        family = self._histogram("request_first_item_seconds", about)
        for number, counted in versions.items():
            if counted.firsts:
                uppers = {upper_s(index): count for index, count in counted.firsts.items()}
                family.add_metric([self._deployment, str(number)], _buckets(uppers, LATENCIES_S), counted.first_s)
        return family

    def _batches(self, versions: dict[int, Counted]) -> HistogramMetricFamily:
        family = self._histogram("batch_rows", "Rows of one run of the model.")
        for number, counted in versions.items():
            rows = sum(rows * count for rows, count in counted.runs.items())
            family.add_metric([self._deployment, str(number)], _buckets(counted.runs, BATCHES), rows)
        return family

    def _counter(self, name: str, about: str, *labels: str) -> Any:
        return self._core.CounterMetricFamily(PREFIX + name, about, labels=["deployment", *labels], unit=_unit(name))

    def _gauge(self, name: str, about: str, *labels: str) -> Any:
        return self._core.GaugeMetricFamily(PREFIX + name, about, labels=["deployment", *labels], unit=_unit(name))

    def _histogram(self, name: str, about: str) -> HistogramMetricFamily:
        labels = ["deployment", "version"]
        return self._core.HistogramMetricFamily(PREFIX + name, about, labels=labels, unit=_unit(name))


_COUNTERS: tuple[tuple[str, str, Callable[[Counted], float]], ...] = (
    ("request_rows", "Rows that were answered with success.", lambda counted: counted.rows),
    ("request_bytes", "Bytes of the bodies of requests.", lambda counted: counted.bytes_in),
    ("response_bytes", "Bytes of the bodies of answers.", lambda counted: counted.bytes_out),
    ("queue_seconds", "Time that requests waited for the model.", lambda counted: counted.queue_s),
    ("model_run_seconds", "Time that the model ran.", lambda counted: counted.run_s),
    ("model_executions", "Runs of the model, each of one request or of several.", lambda counted: counted.executions),
    ("dropped", "Answers that were given and are missing from all other counts.", lambda counted: counted.dropped),
)
_UNITS = ("seconds", "bytes", "ratio", "rows")


def _unit(name: str) -> str:
    """The unit that a name ends with, as OpenMetrics wants it told."""
    last = name.rpartition("_")[2]
    return last if last in _UNITS else ""


def _buckets(counts: dict[float, int] | dict[int, int], bounds: Sequence[float]) -> list[tuple[str, float]]:
    """Cumulative counts of what is at most each bound, as prometheus_client takes them."""
    from prometheus_client.utils import floatToGoString

    within = [0] * (len(bounds) + 1)
    for value, count in counts.items():
        within[next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds))] += count
    names = [floatToGoString(bound) for bound in (*bounds, float("inf"))]  # type: ignore[no-untyped-call]
    return list(zip(names, accumulate(within), strict=True))


def _of_worker(folder: Path) -> list[Metric]:
    """What prometheus_client keeps of one worker; nothing of one that ends just now."""
    from prometheus_client.multiprocess import MultiProcessCollector

    files = sorted(str(file) for file in folder.glob("*.db"))
    try:
        return list(MultiProcessCollector.merge(files)) if files else []  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        return []


def _place(sample: Any) -> tuple[list[tuple[str, str]], int, float]:
    """The order of a family's samples: a histogram's together, its buckets first."""
    labels = sorted((name, value) for name, value in sample.labels.items() if name != "le")
    kind = next((i for i, end in enumerate(("_bucket", "_count", "_sum")) if sample.name.endswith(end)), 3)
    return labels, kind, float(sample.labels.get("le", 0.0))


def _read_runtime(file: Path) -> _Runtime | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Runtime)
    except (OSError, msgspec.DecodeError):
        return None


def _is_up(worker: WorkerState) -> bool:
    import psutil

    try:
        process = psutil.Process(worker.pid)
        same = abs(process.create_time() - worker.create_time) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
