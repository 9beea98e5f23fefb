"""What makes a model smaller and faster, beside what one would write by hand: CPU time, and what it costs.

Each model is built as a deployment builds it; what serves then is the version before (plain onnxruntime in float). The
optimisers of a re-tune are asked as a re-tune asks them, and so are the recipes by hand: plain quantize_dynamic. Every
file is timed in fresh processes with one thread each, which take turns; what counts is the process's CPU time, the best
of the turns. Accuracy is on rows that nothing was made with.

    python benchmarks/compression.py [NAME …]      minilm, mlp, cnn, forest, native
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from serving.report import Target, at_least, at_most, grid, run, show

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.operate.retune.base import Given, Holdings, Rebuilt, Replaced
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.onnx_answers import answers, feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import session
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.registry import load, table
from autodeploy_magic.store import Store
from autodeploy_magic.wire import to_plain, to_request

COMMAND = "python benchmarks/compression.py"
TURNS = 3
TURN_S = 0.25
BATCH = 256
SIZES = {"1 row": (1, 200), f"{BATCH} rows": (BATCH, BATCH)}

TIMED = """
import json, os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy, onnxruntime
file, seconds = sys.argv[1], float(sys.argv[2])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
options.enable_mem_pattern = False
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
run = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
found = []
for inputs in sys.argv[3:]:
    kept, by_call = numpy.load(inputs, allow_pickle=False), {}
    for key in kept.files:
        at, _, name = key.partition("|")
        by_call.setdefault(at, {})[name] = kept[key]
    calls = list(by_call.values())
    for feed in calls:
        run.run(None, feed)
    best, end = float("inf"), time.process_time() + seconds
    while time.process_time() < end:
        start = time.process_time()
        for feed in calls:
            run.run(None, feed)
        best = min(best, (time.process_time() - start) / len(calls))
    found.append(best)
print(json.dumps(found))
"""
"""A fresh process: FILE SECONDS INPUTS … → CPU seconds of a call, of each of the inputs the best pass."""


@dataclass
class Case:
    """A champion, and what there is to make and to judge candidates with."""

    champion: Champion
    holdings: Holdings
    held_out: Rows
    labels: Sequence[Any] = ()
    files: dict[str, Path] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, title: str, made: Replaced) -> None:
        self.files[title] = made.file
        self.notes[title] = made.note


class Bench:
    """A store of its own, and everything made in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "home")

    def build(self, name: str, model: Any, sample: Any, labels: Any = None) -> Version:
        request = BuildRequest(name, model, sample, labels=labels)
        return build(request, self.store, SubprocessRunner(), lambda _: None).version

    def case(self, version: Version, rows: Any, labels: Any, held_out: Any, truth: Any, calibration: int) -> Case:
        """`rows` are the labelled ones for training, the first of which calibrate."""
        signature = version.signature
        told = () if labels is None else tuple(to_plain(np.asarray(labels)))
        training = Rows(signature, to_request(rows), len(rows), told)
        holdings = Holdings(training, training.taken(range(calibration)), len(held_out), version.task)
        held = Rows(signature, to_request(held_out), len(held_out))
        return Case(Champion.of(self.store, version), holdings, held, () if truth is None else tuple(to_plain(truth)))

    def make(self, case: Case, key: str, settings: Mapping[str, Any], champion: Champion | None = None) -> Any:
        """What the optimiser `key` makes with `settings`."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        given = Given(case.holdings, settings, folder, 0, 40.0, 1)
        return load(table("optimisers")[key])().make(champion or case.champion, given)

    def by_hand(self, case: Case) -> None:
        """Plain quantize_dynamic of the file that serves, where that works at all."""
        from onnxruntime.quantization import quantize_dynamic

        file = Path(tempfile.mkdtemp(dir=self.folder)) / "model.onnx"
        try:
            quantize_dynamic(case.champion.needs_onnx(), file)
            session(file)
        except Exception as error:  # noqa: BLE001  # whatever onnxruntime raises, it is what the person would get
            print(f"  plain quantize_dynamic fails: {str(error).splitlines()[0][:100]}")
        else:
            case.files["plain quantize_dynamic"] = file

    def ratios(self, case: Case, sizes: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, float]]:
        """How many times as fast each file is as the version's, by what is called: so many rows at a time, of so many.

        The files take turns, each turn in a process of its own.
        """
        kept = []
        for i, (part, rows) in enumerate(sizes.values()):
            some = case.held_out.taken(range(min(rows, case.held_out.count)))
            fed = feeds(case.champion, some, rows, part)
            kept.append(self.folder / f"fed-{i}.npz")
            arrays: Any = {f"{at}|{name}": value for at, feed in enumerate(fed) for name, value in feed.items()}
            np.savez(kept[-1], **arrays)
        files = {"": case.champion.needs_onnx(), **case.files}
        best = {title: [float("inf")] * len(sizes) for title in files}
        for _ in range(TURNS):
            for title, file in files.items():
                command = [sys.executable, "-c", TIMED, str(file), str(TURN_S), *map(str, kept)]
                told = subprocess.run(command, check=True, capture_output=True, timeout=120)
                best[title] = [min(pair) for pair in zip(best[title], json.loads(told.stdout), strict=True)]
        words = ", ".join(f"{1e3 * s:.3f} for {label}" for s, label in zip(best[""], sizes, strict=True))
        print(f"  version before, CPU-ms a call: {words}")
        return {
            label: {title: best[""][i] / seconds[i] for title, seconds in best.items()} for i, label in enumerate(sizes)
        }


def accuracy(case: Case, file: Path) -> float:
    """The share of held-out rows that are answered right."""
    first = answers(session(file), feeds(case.champion, case.held_out, case.held_out.count))[0]
    found = np.concatenate(first)
    found = found.argmax(axis=1) if found.dtype.kind == "f" else found.reshape(-1)
    return float(np.mean([str(a) == str(b) for a, b in zip(found.tolist(), case.labels, strict=True)]))


def cosine(case: Case, file: Path) -> float:
    """The mean cosine with what the version before answers."""
    fed = feeds(case.champion, case.held_out, case.held_out.count)
    a, b = (np.concatenate(answers(session(one), fed)[0]) for one in (case.champion.needs_onnx(), file))
    return float(np.mean((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def tell(case: Case, columns: Mapping[str, Mapping[str, float]], quality: Mapping[str, float], word: str) -> None:
    """One line for each file."""
    size = case.champion.needs_onnx().stat().st_size
    lines = [
        [
            title,
            *(f"{column[title]:.2f}×" for column in columns.values()),
            f"{quality[title]:.4f}",
            f"÷{size / (case.files[title].stat().st_size if title else size):.1f}",
        ]
        for title in ["", *case.files]
    ]
    print(grid(["candidate", *columns, word, "size"], [[line[0] or "version before", *line[1:]] for line in lines]))
    for title, note in case.notes.items():
        print(f"    {title}: {note}")


def minilm(bench: Bench) -> Iterator[Target]:
    """A real sentence transformer of 22 million weights, on sentences."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    cases = importlib.import_module("cases.transformers")  # of the tests
    network, sentences = cases.minilm, cases.sentences

    texts = [text for text, _ in sentences()]
    version = bench.build("minilm", network(), texts[:32])
    case = bench.case(version, texts[::2], None, texts[1::4], None, 32)
    bench.by_hand(case)
    for offer in load(table("optimisers")["onnx_dynamic"])().offers(case.champion, case.holdings):
        case.add(offer.title, bench.make(case, "onnx_dynamic", offer.settings))
    ratios = bench.ratios(case, {"1 text": (1, 24)})["1 text"]
    cosines = {title: cosine(case, file) for title, file in {"": case.champion.needs_onnx(), **case.files}.items()}
    tell(case, {"1 text": ratios}, cosines, "cosine")
    ours = [title for title in case.notes if cosines[title] >= 0.99] or list(case.notes)
    best = max(ours, key=ratios.__getitem__)
    yield at_least(f"MiniLM, {best}: × onnxruntime in float", ratios[best], 1.8)
    yield at_least(f"MiniLM, {best}: mean cosine", cosines[best], 0.99, "{:.4f}")


def digits() -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found: list[Any] = train_test_split(*load_digits(return_X_y=True), test_size=0.5, random_state=0)
    return found[0], found[2], found[1], found[3]


def pruned(bench: Bench, case: Case, name: str, key: str, share: float, sample: Any) -> Champion | None:
    """The champion with a share of its units taken out and trained on, built as a re-tune builds it."""
    try:
        made = bench.make(case, key, {"share": share})
        assert isinstance(made, Rebuilt)
        print(f"  pruned, {share:.0%}: {made.note}")
        version = bench.build(name, made.model, sample)
        return Champion.of(bench.store, version) if version.format.startswith("onnx") else None
    except AutodeployError as error:
        print(f"  not pruned: {error}")
        return None


def labelled(bench: Bench, case: Case, name: str, prune: str, sample: Any, least: float) -> Iterator[Target]:
    """A classifier: int8 both ways, and after taking units out; the fastest that loses half a point at most."""
    bench.by_hand(case)
    half = pruned(bench, case, f"{name}-half", prune, 0.5, sample)
    if half is not None:
        case.files["half pruned"] = half.needs_onnx()
    for before, champion in {"": case.champion, "half pruned, ": half}.items():
        for key in ("onnx_dynamic", "onnx_static"):
            if champion is None:
                continue
            try:
                offer = load(table("optimisers")[key])().offers(champion, case.holdings)[0]
                case.add(before + offer.title, bench.make(case, key, offer.settings, champion))
            except AutodeployError as error:
                print(f"  {before}{key}: {error.what}")
    one, batch = bench.ratios(case, SIZES).values()
    right = {title: accuracy(case, file) for title, file in {"": case.champion.needs_onnx(), **case.files}.items()}
    tell(case, {"1 row": one, f"{BATCH} rows": batch}, right, "accuracy")
    ours = [title for title in case.files if not title.startswith("plain") and right[title] >= right[""] - 0.005]
    best = max(ours or list(case.notes), key=one.__getitem__)
    yield at_least(f"{name}, {best}: × onnxruntime in float, 1 row", one[best], least)
    yield at_most(f"{name}, {best}: accuracy lost", right[""] - right[best], 0.005, "{:.4f}")


def mlp(bench: Bench) -> Iterator[Target]:
    """A network of 1 024 and 1 024 neurons, on scikit-learn's digits."""
    from sklearn.neural_network import MLPClassifier

    x, y, held_out, truth = digits()
    x, held_out = x / 16, held_out / 16
    version = bench.build("mlp", MLPClassifier((1024, 1024), random_state=0, max_iter=25).fit(x, y), x[:BATCH])
    case = bench.case(version, x, y, held_out, truth, 256)
    yield from labelled(bench, case, "mlp", "sklearn_prune", x[:BATCH], 2.5)


def cnn(bench: Bench) -> Iterator[Target]:
    """Two convolutions and two layers, on scikit-learn's digits."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y, held_out, truth = digits()
    x, held_out = ((one / 16).reshape(-1, 1, 8, 8).astype(np.float32) for one in (x, held_out))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    inputs, classes = torch.tensor(x), torch.tensor(y)
    for _ in range(15):
        for rows in torch.randperm(len(x)).split(64):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), classes[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    version = bench.build("cnn", network.eval(), x[:BATCH])
    case = bench.case(version, x, y, held_out, truth, 256)
    yield from labelled(bench, case, "cnn", "torch_prune", x[:BATCH], 2.0)


def forest(bench: Bench) -> Iterator[Target]:
    """300 trees, on scikit-learn's digits: fewer of them, on top of ONNX."""
    from sklearn.ensemble import RandomForestClassifier

    x, y, held_out, truth = digits()
    version = bench.build("forest", RandomForestClassifier(300, random_state=0).fit(x, y), x[:BATCH])
    case = bench.case(version, x, y, held_out, truth, 256)
    found = load(table("optimisers")["onnx_trees"])().offers(case.champion, case.holdings)
    for offer in found:
        try:
            case.add(offer.title, bench.make(case, "onnx_trees", offer.settings))
        except AutodeployError as error:
            print(f"  {offer.title}: {error.what}")
    one, batch = bench.ratios(case, SIZES).values()
    right = {title: accuracy(case, file) for title, file in {"": case.champion.needs_onnx(), **case.files}.items()}
    tell(case, {"1 row": one, f"{BATCH} rows": batch}, right, "accuracy")
    both = {title: min(one[title], batch[title]) for title in case.files}
    ours = [title for title in case.files if right[title] >= right[""] - 0.01] or list(case.files)
    best = max(ours, key=both.__getitem__)
    yield at_least(f"forest of 300, {best}: × all of it in ONNX", both[best], 3.5)
    yield at_most(f"forest of 300, {best}: accuracy lost", right[""] - right[best], 0.01, "{:.4f}")


def native(bench: Bench) -> Iterator[Target]:
    """Models that their own library answers faster: a build tries both, and keeps the faster."""
    from catboost import CatBoostClassifier
    from sklearn.datasets import make_blobs
    from sklearn.neighbors import KNeighborsClassifier

    x, y, _, _ = digits()
    points, groups = make_blobs(20_000, 4, centers=12, cluster_std=3.0, random_state=0)
    told = {"verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
    for name, model, rows, labels in [
        ("KNN", KNeighborsClassifier(), points, groups),
        ("CatBoost", CatBoostClassifier(iterations=200, **told), x, y),
    ]:
        version = bench.build(name.lower(), model.fit(rows, labels), rows[:BATCH])
        print(f"  {name}: {version.reason}")
        kept = not version.format.startswith("onnx")
        yield Target(f"{name}: native is recognised as best", "not ONNX", version.format, kept)


CASES: dict[str, Callable[[Bench], Iterator[Target]]] = {
    one.__name__: one for one in (minilm, mlp, cnn, forest, native)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    names = parser.parse_args().names or list(CASES)
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-compression-") as folder:
        os.environ["AUTODEPLOY_HOME"] = str(Path(folder) / "home")
        bench = Bench(Path(folder))
        for name in names:
            started = time.monotonic()
            print(f"\n{name}: {CASES[name].__doc__}")
            found += list(CASES[name](bench))
            print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
    return show(found, COMMAND)


if __name__ == "__main__":
    run(main)
