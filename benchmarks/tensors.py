"""A picture, 1×3×224×224 float32, through our binary and JSON roads, hand-written servers, and `bentoml serve`.

The model is a global average and a dense layer, so that the tensor's way through the server is what costs. In binary it
has 602 112 bytes, as JSON about 2.9 million: what `x.tolist()` gives.

Run: python benchmarks/tensors.py [--rounds N] [--seconds S] [--envs FOLDER]
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from serving import cores
from serving.clients import clients
from serving.environments import Missing, cache_folder
from serving.job import Exchange, post
from serving.models import PICTURE, answers, picture
from serving.ours import binary, deployed, rows, tensor_json
from serving.report import at_least, at_most, missing, options_of, run, show, table
from serving.rounds import interleave
from serving.servers import exchange_of, peer
from state import temporary_home

BINARY, JSON = 1.5, 3.0
SAMPLE_ROWS = 4
HEAP_KEPT = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
"""glibc gives the memory of each request's body back to the system and faults it in again, page by page, which costs a
plain server more than all else. A process that has imported much before, as our workers', happens not to."""


def main() -> int:
    """Print the table and what became of the targets."""
    options = options_of(__doc__, rounds=4, seconds=1.5)
    where = cores.apart()
    print(
        f"a tensor of 1×{'×'.join(map(str, PICTURE))} float32, 8 keep-alive connections, one worker each; {where.words}"
    )
    x = np.random.default_rng(0).random((SAMPLE_ROWS, *PICTURE), dtype=np.float32)
    with contextlib.ExitStack() as stack:
        stack.enter_context(temporary_home())
        load = stack.enter_context(clients(where.client))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-tensors-"))
        file = picture(Path(folder) / "picture.onnx")
        one = x[:1]
        found = answers(file, one)
        ours = stack.enter_context(deployed("picture", str(file), x, where=where))
        raw = Exchange(post("/", one.tobytes(), content_type="application/octet-stream"), found[0], floats=True)
        servers = [
            ours.server("ours, v2 binary", binary(ours, one, found[0]), name="binary"),
            ours.server("ours, v2 JSON", tensor_json(ours, one, found[0]), name="v2 json"),
            ours.server("ours, /predict JSON", rows(ours, one.tolist(), found), name="json"),
        ]
        absent = {}
        for name, exchange, variant, also in (
            ("floor_tensor", raw, "", {}),
            ("floor_tensor", raw, "heap kept", HEAP_KEPT),
            ("asgi_tensor", raw, "", {}),
            ("asgi_tensor", raw, "heap kept", HEAP_KEPT),
            ("bentoml_tensor", exchange_of("bentoml_tensor", one.tolist(), found), "", {}),
        ):
            envs = cache_folder(options.envs)
            try:
                server = peer(name, file, exchange, load, where, envs, variant=variant, also=also)
                servers.append(stack.enter_context(server))
            except Missing as why:
                absent[name] = str(why)
        results = interleave(load, servers, rounds=options.rounds, seconds=options.seconds)
    mine = results["binary"]
    print(table(sorted(results.values(), key=lambda one: one.cpu_ms), [("× ours binary", mine)]))
    targets = []
    for name in ("asgi_tensor", "floor_tensor"):
        what = f"picture: CPU, our v2 binary to {'a bare ASGI function' if name == 'asgi_tensor' else 'the floor'}"
        if name in results:
            targets.append(at_most(f"{what} with np.frombuffer", mine.ratio(results[name]), BINARY))
        else:
            targets.append(missing(what, f"at most {BINARY}×", absent[name]))
    what = "picture: CPU, bentoml serve's JSON to ours"
    if "bentoml_tensor" in results:
        targets.append(at_least(what, results["bentoml_tensor"].ratio(results["json"]), JSON))
    else:
        targets.append(missing(what, f"at least {JSON}×", absent["bentoml_tensor"]))
    return show(targets, "python benchmarks/tensors.py")


if __name__ == "__main__":
    run(main)
