"""How long `%load_ext autodeploy_magic` takes in a fresh kernel, and what it brings along.

Run: python benchmarks/load_ext.py
"""

from __future__ import annotations

import json
import statistics

from jupyter_client.manager import KernelManager
from serving.report import Target, at_most, run, show

TARGET_MS = 150
FORBIDDEN = ["bentoml", "onnxruntime", "matplotlib"]
RUNS = 7
CODE = """
import json, sys, time
_before = set(sys.modules)
_start = time.perf_counter()
get_ipython().run_line_magic("load_ext", "autodeploy_magic")
_seconds = time.perf_counter() - _start
print(json.dumps({"ms": _seconds * 1000, "modules": sorted({m.partition(".")[0] for m in set(sys.modules) - _before})}))
"""


def measure() -> dict[str, object]:
    """Load the extension in a fresh kernel; returns milliseconds and the top-level modules it brought."""
    manager = KernelManager()
    manager.start_kernel(extra_arguments=["--log-level=ERROR"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        lines: list[str] = []
        client.execute_interactive(
            CODE, timeout=60, output_hook=lambda message: lines.append(message["content"].get("text", ""))
        )
        found: dict[str, object] = json.loads("".join(lines))
        return found
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> int:
    """Print the median beside its target; returns 1 where a target is missed."""
    runs = [measure() for _ in range(RUNS)]
    median = statistics.median(float(str(run["ms"])) for run in runs)
    brought = sorted({str(name) for run in runs for name in run["modules"]})  # type: ignore[attr-defined]
    heavy = [name for name in FORBIDDEN if name in brought]
    print(f"%load_ext in a fresh kernel, median of {RUNS}:  {median:.0f} ms")
    print(f"  brings: {', '.join(brought)}")
    targets = [
        at_most("%load_ext in a fresh kernel", median, TARGET_MS, "{:.0f} ms"),
        Target("modules that %load_ext brings", f"not {', '.join(FORBIDDEN)}", ", ".join(heavy) or "none", not heavy),
    ]
    return show(targets, "python benchmarks/load_ext.py")


if __name__ == "__main__":
    run(main)
