"""Every framework's models: what is exported, how close it comes, and how fast the kept format is beside the live one.

The models are those of tests/cases that have a row. Each is built as a deployment would build it; then the kept format
and the live one answer 1 row and 256 rows in fresh processes that take turns, each with one thread, and what is shown
is the median over the turns. A row is good where the kept format is nowhere slower than 0.95 times the live one, by the
clock or by the processor's time, and every label agrees.

Run: python benchmarks/matrix.py [NAME …] [--turns N] [--write | --check]
    NAME     a framework or a row; default all
    --write  put the table into the README, between its two marks
    --check  only compare the README's rows with those of the cases; nothing is measured
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.report import grid, run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"
HEAD = ("framework", "model", "exports", "parity", "1 row × native", "256 rows × native", "kept")
BATCH_ROWS = 256
AS_FAST = 0.95
BUDGET_S = 0.4
"""For each size in each turn, after one call that is not counted."""
MOST_CALLS = 2000


@dataclass(frozen=True)
class Times:
    """One size of one format: median seconds of a call by the clock, and mean seconds of the processor."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Ratio:
    """How many times as fast the kept format is as the live one; above 1 is faster."""

    wall: float
    cpu: float

    @property
    def is_kept_up(self) -> bool:
        """By one of the two: another process's load falsifies the clock, and a second thread the processor's time."""
        return max(self.wall, self.cpu) >= AS_FAST


@dataclass(frozen=True)
class Row:
    """One model. `one` and `batch` are None where the live object itself is kept: there is nothing to compare."""

    framework: str
    model: str
    exports: str
    max_difference: float | None
    agreement: float
    one: Ratio | None
    batch: Ratio | None
    kept: str

    @property
    def faults(self) -> list[str]:
        """What the row must not be."""
        found = [] if self.agreement == 1.0 else [f"only {self.agreement:.2%} of its answers agree"]
        sizes = {"1 row": self.one, f"{BATCH_ROWS} rows": self.batch}
        slow = {name: ratio for name, ratio in sizes.items() if ratio is not None and not ratio.is_kept_up}
        found += [f"{name}: {ratio.wall:.2f} × native, and {ratio.cpu:.2f} by CPU" for name, ratio in slow.items()]
        return found


def main() -> int:
    """Print the table; returns 1 where a row is not good, or where the README has other rows."""
    options = parsed()
    chosen = [case for case in all_cases() if not options.names or {case.framework, case.row} & set(options.names)]
    if not chosen:
        print(f"no row is called {options.names[0]!r}; there are: {', '.join(case.row for case in all_cases())}")
        return 2
    if options.check:
        return check(README.read_text("utf-8"), [(case.framework, case.row) for case in all_cases()])
    old = README.read_text("utf-8") if options.write else ""
    if options.write:
        replaced(old, "")  # before the minutes that follow: that it can be done
    rows = []
    for case in chosen:
        started = time.monotonic()
        rows.append(measured(case, options.turns))
        said = "; ".join(rows[-1].faults) or "good"
        print(f"{case.framework}: {case.row}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
    print("\n" + grid(HEAD, [cells(row) for row in rows]))
    if options.write:
        README.write_text(replaced(old, table_of(rows)), "utf-8")
    bad = [row for row in rows if row.faults]
    print(f"\n  {len(rows) - len(bad)} of {len(rows)} rows are good\n  command: python benchmarks/matrix.py")
    return int(bool(bad))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a framework or a row; default all")
    parser.add_argument("--turns", type=int, default=3, help="processes for each format")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--write", action="store_true", help="put the table into the README")
    ways.add_argument("--check", action="store_true", help="only compare the names of the rows")
    options = parser.parse_args()
    if options.write and options.names:
        parser.error("--write writes the whole table: leave the names out")
    return options


def all_cases() -> list[Any]:
    """The cases that have a row, in their order."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    return [case for case in importlib.import_module("cases").cases() if case.row]


# --- the table


def cells(row: Row) -> tuple[str, ...]:
    """A row as the table says it."""
    parity = "equal" if not row.max_difference else f"within {row.max_difference:.0e}"
    parity += "" if row.agreement == 1.0 else f", {row.agreement:.1%} agree"
    return (row.framework, row.model, row.exports, parity, times(row.one), times(row.batch), row.kept)


def times(ratio: Ratio | None) -> str:
    """How much faster, in as many digits as mean something."""
    if ratio is None:
        return "1"
    return f"{ratio.wall:.0f}" if ratio.wall >= 10 else f"{ratio.wall:.1f}" if ratio.wall >= 2 else f"{ratio.wall:.2f}"


def table_of(rows: Iterable[Row]) -> str:
    """The table in Markdown."""
    lines = [HEAD, tuple("---" for _ in HEAD), *map(cells, rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def replaced(text: str, table: str) -> str:
    """Return `text` with `table` between the two marks; exits where they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md has no place for the matrix: add the lines {BEGIN} and {END} where it goes")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def names_in(text: str) -> list[tuple[str, str]]:
    """The framework and the model of each row of the table in `text`."""
    replaced(text, "")
    table = text.partition(BEGIN)[2].partition(END)[0]
    lines = [line.strip().strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [(line[0].strip(), line[1].strip()) for line in lines[2:]]


def check(text: str, wanted: Sequence[tuple[str, str]]) -> int:
    """1, and what differs, where the README's rows are not those of the cases; figures may move."""
    found = names_in(text)
    if found == list(wanted):
        return 0
    absent = [f"{framework}: {model}" for framework, model in wanted if (framework, model) not in found]
    gone = [f"{framework}: {model}" for framework, model in found if (framework, model) not in wanted]
    words = [f"lacks {', '.join(absent)}" if absent else "", f"has no case for {', '.join(gone)}" if gone else ""]
    print(
        f"README.md: the matrix {' and '.join(filter(None, words)) or 'has another order'}; `make matrix` rewrites it"
    )
    return 1


# --- the figures


def measured(case: Any, turns: int) -> Row:
    """Build the model of a case and time it."""
    with tempfile.TemporaryDirectory(prefix="bench-matrix-") as home:
        folder = Path(home)
        version, live = built(case, folder)
        kept = next(row for row in version.candidates if row.format == version.format)
        one = batch = None
        if live is not None and live != version.format:
            one, batch = (ratio(*sizes) for sizes in timed(folder, version.format, live, turns))
        return Row(
            framework=case.framework,
            model=case.row,
            exports=exports_of(version.candidates, live),
            max_difference=kept.max_difference,
            agreement=kept.agreement or 0.0,
            one=one,
            batch=batch,
            kept=title(version.format),
        )


def built(case: Any, folder: Path) -> tuple[Any, str | None]:
    """Build a case in `folder`, both formats beside each other; return its version, and its live format if it has one.

    A build keeps the one that serves, and the live format is needed as well: so this takes its steps one by one.
    """
    from autodeploy_magic.build import BuildRequest, SubprocessRunner
    from autodeploy_magic.build.capture import capture
    from autodeploy_magic.build.stage import describe_version, write_folder
    from autodeploy_magic.build.trial import Trial
    from autodeploy_magic.build.verify import choose
    from autodeploy_magic.formats import format_of

    made = case.make()
    captured = capture(BuildRequest("matrix", made.model, made.sample, code=dict(made.code)), folder)
    trial = Trial(captured, 1, folder, SubprocessRunner(), {})
    verdicts = trial.rest(trial.first())
    winner, reason = choose(captured, verdicts)
    version = describe_version(captured, 1, verdicts, winner, reason, folder)
    live = version.format if format_of(version.format).live else live_format(captured, folder)
    write_folder(captured, 1, list(dict.fromkeys([version.format, *([live] if live else [])])), folder)
    return version, live


def live_format(captured: Any, folder: Path) -> str | None:
    """The first format that holds the live object itself, written where the build had no need of it."""
    from autodeploy_magic.errors import ExportFailed
    from autodeploy_magic.formats import format_of

    exporter, model = captured.exporter, captured.request.model
    formats = [f for f in captured.formats if format_of(f).live]
    for format in sorted(formats, key=lambda f: f in exporter.fallback):
        path = folder / format_of(format).place
        if path.exists():
            return str(format)
        if format != "native":
            with contextlib.suppress(ExportFailed):
                exporter.write(model, format, path, captured.fed, captured.sample.signature)
                return str(format)
    return None


def exports_of(candidates: Sequence[Any], live: str | None) -> str:
    """The formats that hold the model, the live object's last; a cross for those that answer otherwise than it does."""
    from autodeploy_magic.formats import format_of

    written = [row for row in candidates if not format_of(row.format).live and row.agreement is not None]
    names = [title(row.format) + ("" if row.passed else " ✗") for row in written]
    return ", ".join(dict.fromkeys([*names, *([title(live)] if live else [])]))


def title(format: str) -> str:
    """A format as people call it."""
    from autodeploy_magic.formats import format_of

    return format_of(format).title


def ratio(kept: Sequence[Times], live: Sequence[Times]) -> Ratio:
    """Medians over the turns of both."""
    median: Callable[[Iterable[float]], float] = statistics.median
    return Ratio(
        wall=median(t.wall_s for t in live) / median(t.wall_s for t in kept),
        cpu=median(t.cpu_s for t in live) / median(t.cpu_s for t in kept),
    )


def timed(folder: Path, kept: str, live: str, turns: int) -> list[tuple[list[Times], list[Times]]]:
    """For 1 row and for a batch: the times of both formats, in processes that take turns."""
    found: dict[str, list[list[Times]]] = {kept: [], live: []}
    for turn in range(turns):
        for format in (kept, live) if turn % 2 == 0 else (live, kept):
            command = [sys.executable, __file__, "--answer", str(folder), format]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
            sizes = json.loads(done.stdout.splitlines()[-1])
            found[format].append([Times(*size) for size in sizes])
    return [([turn[i] for turn in found[kept]], [turn[i] for turn in found[live]]) for i in range(2)]


def answer(folder: Path, format: str) -> None:
    """The work of a fresh process: load one format, and print the times of 1 row and of a batch as JSON."""
    import msgspec

    from autodeploy_magic.serve.model import ServedModel, head

    served = ServedModel.load(folder, format=format, threads=1, sealed=False)
    inputs = msgspec.json.decode((folder / "sample.json").read_bytes())["inputs"]
    names = [output.name for output in served.version.outputs]
    sizes = []
    for rows in (1, BATCH_ROWS):
        batch = served.decode(head(inputs, rows))
        sizes.append(of_calls(lambda batch=batch: served.run(batch, names)))  # type: ignore[misc]
    print("\n" + json.dumps(sizes))


def of_calls(call: Callable[[], Any]) -> tuple[float, float]:
    """Median seconds of the clock and mean seconds of the processor, over the calls of `BUDGET_S`."""
    call()
    walls: list[float] = []
    end = time.perf_counter() + BUDGET_S
    cpu = time.process_time()
    while len(walls) < MOST_CALLS and (len(walls) < 3 or time.perf_counter() < end):
        started = time.perf_counter()
        call()
        walls.append(time.perf_counter() - started)
    return statistics.median(walls), (time.process_time() - cpu) / len(walls)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        answer(Path(sys.argv[2]), sys.argv[3])
    else:
        run(main)
