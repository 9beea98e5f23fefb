"""Tables, and targets beside what was measured; how each script ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from serving.rounds import Result

__all__ = ["RESULTS", "WORDS", "Target", "at_least", "at_most", "grid", "missing", "options_of", "run", "show", "table"]

RESULTS = "BENCH_TARGETS"
"""Names a file that each target is added to, for the one table at the end of `make bench`."""
WORDS = {True: "ok", False: "MISSED", None: "NOT MEASURED"}
"""What became of a target."""


class Target(msgspec.Struct, frozen=True):
    """What was wanted and what was found; `met` is None where it could not be measured."""

    what: str
    target: str
    measured: str
    met: bool | None
    command: str = ""


def at_most(what: str, found: float, limit: float, form: str = "{:.2f}×") -> Target:
    """A target that is met by anything up to `limit`."""
    return Target(what, f"at most {form.format(limit)}", form.format(found), found <= limit)


def at_least(what: str, found: float, limit: float, form: str = "{:.2f}×") -> Target:
    """A target that is met by `limit` and more."""
    return Target(what, f"at least {form.format(limit)}", form.format(found), found >= limit)


def missing(what: str, target: str, why: str) -> Target:
    """A target that could not be measured."""
    return Target(what, target, f"not measured: {why}", None)


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Text in columns, the first to the left and figures to the right."""
    all_lines = [tuple(head), *map(tuple, lines)]
    widths = [max(len(line[i]) for line in all_lines) for i in range(len(head))]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in all_lines
    )


def table(results: Sequence[Result], against: Sequence[tuple[str, Result]] = ()) -> str:
    """One line for each server, with the ratio of its CPU time to those of `against` (heading, result)."""
    head = ["server", "CPU-ms", *(name for name, _ in against), "req/s", "p50 ms", "p99 ms", "clients", "failed"]
    lines = [
        [
            one.server.label,
            f"{one.cpu_ms:.3f}",
            *(f"{one.ratio(other):.2f}" for _, other in against),
            f"{one.rate:.0f}",
            f"{one.latency_ms(0.5):.2f}",
            f"{one.latency_ms(0.99):.2f}",
            f"{one.client_share:.0%}",
            str(one.failed),
        ]
        for one in results
    ]
    return grid(head, lines)


def options_of(doc: str | None, *, rounds: int, seconds: float, peers: bool = True) -> argparse.Namespace:
    """The command line that the scripts with rounds have: --rounds, --seconds, and --envs where they have `peers`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of one server in one round")
    if peers:
        parser.add_argument("--envs", default="", help="folder for the peers' environments")
        parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="peers, by their names")
    return parser.parse_args()


def show(targets: Sequence[Target], command: str) -> int:
    """Print the targets of a script, and return its exit code: 1 where one is missed or was not measured."""
    targets = [msgspec.structs.replace(target, command=command) for target in targets]
    print()
    print(grid(["target", "wanted", "measured", ""], ([t.what, t.target, t.measured, WORDS[t.met]] for t in targets)))
    print(f"  command: {command}", flush=True)
    if name := os.environ.get(RESULTS):
        with Path(name).open("ab") as stream:
            stream.writelines(msgspec.json.encode(target) + b"\n" for target in targets)
    return int(not all(target.met for target in targets))


def run(main: Callable[[], int]) -> None:
    """Run a script's `main` and exit with what it returns; whatever ends it, what it started is ended too."""

    def stop(number: int, _: object) -> None:
        # Once: the context managers close now, which takes seconds and is not to be interrupted. Servers and clients
        # are in sessions of their own and got no signal.
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: None)
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sys.exit(main())
