"""The space of layouts: workers × threads × rows of a batch × queue × spinning, where each makes a difference.

What makes none is no dimension: a model whose row takes less than `INLINE_S` is run in one thread whatever it is given,
and has nothing that spins; where a batch takes as long as its rows one by one, joining requests gains nothing. Whether
a run is made on the event loop or by a thread, a worker decides by how long it takes. For more requests to join it
never waits: a queue forms by itself where joining gains something (measured in `benchmarks/traffic_search.py`).

Rules of thumb: N workers with one thread each, not spinning, for throughput; one worker with N threads for a lone
client.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from autodeploy_magic.contracts import Record, Version
from autodeploy_magic.formats import format_of
from autodeploy_magic.retuning import Layout

__all__ = ["Space", "key_of", "normal", "seeds", "space_of", "title"]

LINEAR = 0.8
"""A batch that takes at least this part of its rows one by one is not worth making; requests are joined by the same
rule (`serve.lane.batching.PAYS`)."""
INLINE_S = 0.002
"""A row that takes less is run in one thread, on the event loop (`serve.lane.service_time.INLINE_S`)."""
BATCHES = (0, 16, 64, 256)
QUEUES = (32, 256)
MOST_WORKERS = 16


class Space(Record, frozen=True, kw_only=True):
    """What may be chosen: so many workers, and for each setting its values. A single value is no choice."""

    workers: tuple[int, ...]
    settings: dict[str, tuple[float, ...]] = msgspec.field(default_factory=dict)

    @property
    def dimensions(self) -> dict[str, tuple[float, ...]]:
        """All of it by name."""
        return {"workers": self.workers, **self.settings}

    def layouts(self) -> Iterator[Layout]:
        """Every layout, each once."""
        seen = set()
        for values in itertools.product(*self.dimensions.values()):
            layout = self.layout(dict(zip(self.dimensions, values, strict=True)))
            if key_of(layout) not in seen:
                seen.add(key_of(layout))
                yield layout

    def layout(self, chosen: Mapping[str, float]) -> Layout:
        """The layout of a value for each dimension."""
        rest = {name: float(value) for name, value in chosen.items() if name != "workers"}
        return normal(Layout(workers=int(chosen["workers"]), settings=rest))

    def chosen(self, layout: Layout) -> dict[str, float]:
        """For each dimension, the value nearest to the layout's."""
        has = {"workers": float(layout.workers), **layout.settings}
        return {
            name: min(values, key=lambda value: abs(value - has.get(name, values[0])))
            for name, values in self.dimensions.items()
        }


def space_of(version: Version, cores: int, today: Layout, *, memory_bytes: int = 0) -> Space:
    """The space for a version on a machine with so many processors.

    `today` is how it is run now, with all its settings. `memory_bytes` is what workers may take together, 0 where
    nobody knows: each holds the model, so there are no more than fit.
    """
    kept = (version.format, version.provider)
    measured = next((item for item in version.candidates if (item.format, item.provider) == kept), None)
    one_s = measured.one_row_s if measured is not None else None
    batch_s = measured.batch_s if measured is not None else None
    batch_rows = measured.batch_rows if measured is not None else 0
    most = min(MOST_WORKERS, 2 * cores)
    if memory_bytes:
        most = max(1, min(most, memory_bytes // max(1, _held(version))))
    counts = (1, 2, 4, 8, 16, cores, cores + 1, 2 * cores, today.workers)
    workers = {count for count in counts if 1 <= count <= most}
    settings: dict[str, tuple[float, ...]] = {}
    if cores > 1 and (one_s is None or one_s > INLINE_S or not _is_onnx(version)):
        settings["threads"] = tuple(sorted({1.0, *_halves(cores)}))
        if _is_onnx(version):
            settings["spinning"] = (0.0, 1.0)
    linear = bool(one_s and batch_s and batch_rows > 1 and batch_s >= LINEAR * one_s * batch_rows)
    if not linear and _joins(version):
        settings["batch_rows"] = tuple(sorted({*map(float, BATCHES), today.settings.get("batch_rows", 256.0)}))
    if one_s is None or one_s > INLINE_S:  # what is run at once never waits
        settings["max_queue"] = tuple(sorted({*map(float, QUEUES), today.settings.get("max_queue", 256.0)}))
    return Space(workers=tuple(sorted(workers | {min(today.workers, most)})), settings=settings)


def seeds(space: Space, cores: int, today: Layout) -> tuple[Layout, ...]:
    """The layouts that a search begins with: today's, and the rules of thumb; each once, today's first."""
    base = space.chosen(today)
    found: list[Layout] = [_today(space, cores, today)]

    def add(**values: float) -> None:
        wanted = {**base, **{name: value for name, value in values.items() if name in space.dimensions}}
        found.append(space.layout(space.chosen(Layout(workers=int(wanted.pop("workers")), settings=wanted))))

    add(workers=cores, threads=1.0, spinning=0.0)
    add(workers=1, threads=float(cores), spinning=0.0)
    add(workers=1, threads=1.0, spinning=0.0)
    return tuple({key_of(layout): layout for layout in found}.values())


def normal(layout: Layout) -> Layout:
    """The same layout with what makes no difference to it left at its usual value."""
    if layout.settings.get("threads") == 1.0 and layout.settings.get("spinning"):
        return Layout(workers=layout.workers, settings={**layout.settings, "spinning": 0.0})
    return layout


def key_of(layout: Layout) -> tuple[int, tuple[tuple[str, float], ...]]:
    """Equal for two layouts that are the same."""
    layout = normal(layout)
    return layout.workers, tuple(sorted((name, float(value)) for name, value in layout.settings.items()))


def title(layout: Layout) -> str:
    """How it stands in the table: "2 workers × 1 thread, no spinning, batches of 64"."""
    has = layout.settings
    text = _count(layout.workers, "worker")
    if "threads" in has:
        text += f" × {_count(int(has['threads']), 'thread')}" if has["threads"] else " × their share of threads"
    if "spinning" in has and has.get("threads", 2) != 1:
        text += ", spinning" if has["spinning"] else ", no spinning"
    if "batch_rows" in has:
        text += f", batches of {has['batch_rows']:g}" if has["batch_rows"] >= 2 else ", no batches"
    if "max_queue" in has:
        text += f", queue of {has['max_queue']:g}"
    return text


def _today(space: Space, cores: int, today: Layout) -> Layout:
    """Today's, with the settings that the space has; its threads as many as it really has."""
    rest = {name: today.settings.get(name, values[0]) for name, values in space.settings.items()}
    if rest.get("threads") == 0.0:
        rest["threads"] = float(max(1, cores // max(1, today.workers)))
    return normal(Layout(workers=today.workers, settings=rest))


def _halves(cores: int) -> Sequence[float]:
    found = []
    while cores > 1:
        found.append(float(cores))
        cores //= 2
    return found


def _held(version: Version) -> int:
    """Bytes that a worker takes, about: the model three times over, as onnxruntime may while it loads, and Python."""
    return 3 * version.size_bytes + 100 * 1024 * 1024


def _is_onnx(version: Version) -> bool:
    return format_of(version.format).runtime in ("onnx", "transformers-onnx")


def _joins(version: Version) -> bool:
    """Whether requests of it may be joined at all: each row is answered by itself, and none of the person's code."""
    return all(output.per_row and not output.streams for output in version.outputs) and not any(
        artifact.role == "code" for artifact in version.artifacts
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("s" if number != 1 else "")
