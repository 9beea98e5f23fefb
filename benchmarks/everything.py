"""All benchmarks one after the other, and at the end one table of every target: wanted, measured, met or not, command.

Run: python benchmarks/everything.py [NAME or GROUP …]     (see GROUPS)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from serving.report import RESULTS, WORDS, Target, grid, run

GROUPS = {
    "deploying": ["load_ext", "cell_to_prediction", "large_torch"],
    "serving": ["one_row", "tensors", "workers", "batching_http"],
    "looking": ["relay", "panel"],
    "observing": ["sampling", "day"],
    "detect": ["detection", "watching"],
    "retune": ["compression", "traffic_search", "adaptation", "retune_load"],
    "shipping": ["containers"],
    "robustness": ["swaps", "kills", "idle", "soak"],
}
HERE = Path(__file__).parent


def main(chosen: list[str]) -> int:
    """Run the scripts that are named, or all; returns 1 where a target was missed or a script failed."""
    known = {**GROUPS, **{name: [name] for names in GROUPS.values() for name in names}}
    if wrong := [name for name in chosen if name not in known]:
        print(f"there is no benchmark {wrong[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    names = [name for key in chosen or GROUPS for name in known[key]]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-targets-") as folder:
        targets = [target for name in dict.fromkeys(names) for target in results_of(name, Path(folder) / name)]
    print(f"\n=== every target, after {(time.monotonic() - started) / 60:.1f} minutes\n")
    lines = [[target.what, target.target, target.measured, WORDS[target.met], target.command] for target in targets]
    print(grid(["target", "wanted", "measured", "", "command"], lines))
    met = sum(target.met is True for target in targets)
    print(f"\n  {met} of {len(targets)} met")
    return int(met < len(targets))


def results_of(name: str, file: Path) -> list[Target]:
    """Run one script, its output shown as it comes, and return its targets; one that broke off says so as a target."""
    print(f"\n=== {name}\n", flush=True)
    started = time.monotonic()
    command = [sys.executable, str(HERE / f"{name}.py")]
    with subprocess.Popen(command, env={**os.environ, RESULTS: str(file)}) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()  # it ends what it started; after a Ctrl-C it does so already
            process.wait()
            raise
    print(f"\n  ({name} took {time.monotonic() - started:.0f} s)", flush=True)
    found = [msgspec.json.decode(line, type=Target) for line in file.read_bytes().splitlines()] if file.exists() else []
    if not found:
        found = [Target(f"{name} runs to its end", "yes", f"exit code {code}", False, f"python benchmarks/{name}.py")]
    return found


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
