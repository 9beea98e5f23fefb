"""One re-tune after the meaning of the labels has changed, and re-tunes where nothing has.

Streams of labelled requests, to deployments of several kinds of model:

    with drift      half-way the rule of the labels changes. One re-tune, its choice is taken, and its accuracy on fresh
                    rows of the new rule is compared with that of the same kind of model, fitted on all the rows after
                    the change: what a person would do who knew the moment, and kept no rows to judge by. (A
                    re-tune keeps three in ten, which a model that still learns from more rows misses.)
    without drift   the rule stays that which the model was trained for; whatever a re-tune takes is taken falsely.

It goes the product's own road (`operate.retune.conduct`): gather, offer, make, measure, judge, choose; its jobs run in
this process instead of their own, and no supervisor serves. One label in twenty is wrong.

Run: python benchmarks/adaptation.py [streams with drift] [streams without]
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from serving.report import at_most, run, show

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import AutodeployError, BuildFailed
from autodeploy_magic.operate.retune.conduct import Conductor
from autodeploy_magic.registry import load
from autodeploy_magic.reservoir import Label, Recorded, add_labels
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert
from autodeploy_magic.retuning import Contender, Order, Retune
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.store import Store

NAME = "stream"
COLUMNS = 6
TRAINED_ON, STREAM, FRESH = 6000, 4800, 20_000
NOISE = 0.05
EVERY_S = 30.0
BUDGET_S = 300.0
KINDS = ("linear", "forest", "boosted")
WITHIN, MOST_FALSE = 0.01, 1


class Outcome(NamedTuple):
    """What came of one stream: accuracies on fresh rows of the rule that holds at its end."""

    kind: str
    drift: bool
    before: float
    after: float
    reference: float
    taken: str
    passed: int
    contenders: int
    seconds: float


def estimator(kind: str) -> Any:
    """A model as a person would deploy it."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "linear":
        return make_pipeline(StandardScaler(), LogisticRegression())
    if kind == "forest":
        return RandomForestClassifier(40, min_samples_leaf=5, random_state=0)
    return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, random_state=0)


def rule(seed: int, after: bool) -> Callable[[Any], Any]:
    """Which of three classes a row is of, before and after the change: the one with the largest of three scores."""
    weights = np.random.default_rng([seed, after]).normal(size=(COLUMNS, 3))
    return lambda x: np.argmax(x @ weights, axis=1)


def drawn(random: np.random.Generator, label: Callable[[Any], Any], rows: int) -> tuple[Any, Any]:
    """Rows and their labels, some of which are wrong."""
    x = random.normal(size=(rows, COLUMNS)).round(4)
    y = label(x)
    wrong = random.random(rows) < NOISE
    return x, np.where(wrong, (y + random.integers(1, 3, rows)) % 3, y)


def stream(kind: str, seed: int, drift: bool) -> Outcome:
    """Deploy, send a stream, re-tune once, and look what that came to."""
    began = time.monotonic()
    warnings.simplefilter("ignore")
    random = np.random.default_rng(seed)
    old, new = rule(seed, False), rule(seed, drift)
    model = estimator(kind).fit(*drawn(random, old, TRAINED_ON))
    half = STREAM // 2
    x, y = (np.concatenate(pair) for pair in zip(drawn(random, old, half), drawn(random, new, half), strict=True))
    fresh, truth = drawn(random, new, FRESH)
    reference = estimator(kind).fit(x[half:], y[half:])
    with deployed(model, *drawn(random, old, 200)) as (store, version):
        record(store, model, x, y)
        retune, folder = retuned(store, version, seed)
        chosen = retune.contender(retune.chosen)
        assert chosen is not None
        serves = store.folder(NAME) / version.model_path
        place = serves if chosen.id == "c0" else folder / "contenders" / chosen.id / "model"
        return Outcome(
            kind,
            drift,
            accuracy(serves, fresh, truth),
            accuracy(place, fresh, truth),
            float(reference.score(fresh, truth)),
            "" if chosen.id == "c0" else f"{chosen.optimiser}: {chosen.title}",
            sum(one.state == "passed" for one in retune.contenders),
            sum(one.state not in ("skipped", "champion") for one in retune.contenders),
            time.monotonic() - began,
        )


@contextmanager
def deployed(model: Any, sample: Any, labels: Any) -> Iterator[tuple[Store, Version]]:
    """A version of the model in a store of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-adaptation-") as home:
        store = Store(Path(home))
        request = BuildRequest(NAME, model, sample, labels=labels)
        built = build(request, store, SubprocessRunner(), lambda _: None)
        yield store, built.version


def record(store: Store, model: Any, x: Any, y: Any) -> None:
    """Requests of one row each, at even distances until now, with their answers and labels."""
    now = time.time()
    chances = model.predict_proba(x).round(6)
    answers = model.predict(x)
    requests = [
        Recorded(
            f"r{i}",
            now - EVERY_S * (len(x) - i),
            1,
            200,
            0.001,
            1,
            (0,),
            [x[i].tolist()],
            {"predictions": [int(answers[i])], "probabilities": [chances[i].tolist()]},
            (float(chances[i].max()),),
        )
        for i in range(len(x))
    ]
    file = store.requests_file(NAME)
    with closing(open_for_writing(file)) as connection, connection:
        connection.execute("BEGIN")
        insert(connection, requests)
    add_labels(file, [Label(f"r{i}", 0, int(y[i])) for i in range(len(y))], now)


class InProcess:
    """Does the jobs of a re-tune here, one after the other; layouts are not tried."""

    async def job(self, target: str, spec: dict[str, Any], *, within_s: float) -> dict[str, Any]:
        del within_s
        try:
            found: dict[str, Any] = load(target)(spec)
        except AutodeployError:
            raise
        except Exception as error:  # as it would be told of a job's process
            raise BuildFailed(f"{target} failed", why=f"{type(error).__name__}: {error}") from error
        return found

    async def layouts(self, retune: Retune, within_s: float, said: Callable[[str], None]) -> list[Contender]:
        del retune, within_s, said
        return []


def retuned(store: Store, version: Version, seed: int) -> tuple[Retune, Path]:
    """One re-tune for better answers; returns its record and its folder."""
    folder = store.retunes_folder(NAME) / "bench"
    folder.mkdir(parents=True)
    order = Order(goal="quality", budget_s=BUDGET_S, seed=seed, promote="auto")
    begun = Retune(id="bench", name=NAME, order=order, champion=version.number, started_s=time.time())
    conductor = Conductor(str(store.home), begun, folder, InProcess(), lambda _: None)
    found = asyncio.run(conductor.run(store.folder(NAME) / version.model_path))
    if os.environ.get("BENCH_VERBOSE"):
        for one in found.contenders:
            print(
                f"    {one.id} {one.optimiser} {one.title}: {one.state} {one.reason} | {one.note} ({one.seconds:.1f} s)"
            )
        print(f"    {found.outcome}", flush=True)
    return found, folder


def accuracy(folder: Path, x: Any, y: Any) -> float:
    """The share of right answers of what a worker would load."""
    served = ServedModel.load(folder, threads=1, sealed=False)
    served.max_rows = sys.maxsize
    answers = served.encode(served.run(served.decode(x.tolist()), ["predictions"]))["predictions"]
    return float(np.mean(np.asarray(answers) == y))


def line(one: Outcome) -> str:
    """One stream's line of the table."""
    kind = f"{one.kind}, {'drift' if one.drift else 'steady'}"
    short = f"{100 * (one.reference - one.after):+.2f} pp" if one.drift else ""
    return (
        f"{kind:16}  {one.before:.4f}  {one.after:.4f}  {one.reference:.4f}  {short:>12}"
        f"  {one.passed:>3} of {one.contenders:<3}  {one.seconds:>6.0f}   {one.taken or 'the champion'}"
    )


def main(drifting: int = 6, steady: int = 20) -> int:
    """Run the streams, two at once, and print what became of the targets."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    jobs = [(KINDS[i % len(KINDS)], 100 + i, True) for i in range(drifting)]
    jobs += [(KINDS[i % len(KINDS)], 200 + i, False) for i in range(steady)]
    began = time.monotonic()
    found: list[Outcome] = []
    print("stream            before   after   reference      short     passed   seconds   taken")
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        try:
            for one in pool.map(stream, *zip(*jobs, strict=True)):
                found.append(one)
                print(line(one), flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those under way end by themselves
            raise
    lacking = [one.reference - one.after for one in found if one.drift]
    false = sum(bool(one.taken) for one in found if not one.drift)
    if lacking:
        print(f"\n  short of the reference at worst: {100 * max(lacking):+.2f} pp")
    print(f"  {len(found)} streams of {STREAM} labelled rows, {time.monotonic() - began:.0f} s in all")
    targets = [
        at_most(
            f"accuracy short of a model of the new rule, after one re-tune, mean of {drifting} streams, in pp",
            100 * (statistics.mean(lacking) if lacking else math.nan),
            100 * WITHIN,
            "{:.2f}",
        ),
        at_most(f"false promotions in {steady} streams without drift", false, MOST_FALSE, "{:.0f}"),
    ]
    return show(targets, f"python benchmarks/adaptation.py {drifting} {steady}")


if __name__ == "__main__":
    run(lambda: main(*map(int, sys.argv[1:])))
