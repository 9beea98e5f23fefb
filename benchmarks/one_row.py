"""One row as JSON through every server, in the same run: CPU of the whole process tree, rate, latency, and the ratios.

The model is StandardScaler + LogisticRegression on iris; then a forest of 300 trees, where scikit-learn's own predict
is what costs. The ONNX file is the same in all that run one. Peers are installed in environments of their own, once.

Run: python benchmarks/one_row.py [--rounds N] [--seconds S] [--envs FOLDER] [--only NAME,NAME]
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import joblib
from serving import cores
from serving.clients import Clients, clients
from serving.environments import Missing, cache_folder
from serving.models import IRIS, forest, iris
from serving.ours import deployed, rows
from serving.registry import PEERS
from serving.report import Target, at_least, at_most, missing, options_of, run, show, table
from serving.rounds import interleave
from serving.servers import Server, exchange_of, peer
from state import temporary_home

ALL = ["floor", "asgi", "granian", "starlette", "fastapi", "flask", "mlserver", "litserve", "bentoml", "mlflow"]
LIMITS = {"asgi": 0.9, "floor": 1.6, "fastapi": 1 / 4, "bentoml": 1 / 14, "litserve": 1 / 14}
FLOOR_GOAL = 1.25
RECORDING = 1.05
RECORDING_ROUNDS = 2
"""Twice the rounds for what is a few per cent."""
FOREST = 500
ROW = IRIS[0][:1].tolist()
ANSWER = IRIS[1][:1].tolist()
CONNECTIONS = 8


def main() -> int:
    """Print both tables and what became of the targets."""
    options = options_of(__doc__, rounds=5, seconds=1.2)
    where = cores.apart()
    print(f"one row of iris as JSON, {CONNECTIONS} keep-alive connections, one worker each; {where.words}")
    with temporary_home(), clients(where.client) as load:
        targets = [*tiny(load, where, options), *trees(load, where, options)]
    return show(targets, "python benchmarks/one_row.py")


def tiny(load: Clients, where: cores.Cores, options: argparse.Namespace) -> list[Target]:
    """Every server with the small model."""
    model = iris()
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(deployed("ours", model, IRIS[0], where=where))
        silent = stack.enter_context(
            deployed("ours-unrecorded", model, IRIS[0], where=where, settings={"AUTODEPLOY_METRICS": "0"})
        )
        files = {"onnx": ours.model_file, "joblib": dumped(stack, model)}
        recorded = ours.server("ours, as ad.deploy makes it", rows(ours, ROW, ANSWER))
        unrecorded = silent.server("ours, AUTODEPLOY_METRICS=0", rows(silent, ROW, ANSWER))
        servers, absent = started(stack, options.only or ALL, files, load, where, options)
        servers = [*servers, recorded, unrecorded]
        results = interleave(load, servers, rounds=options.rounds, seconds=options.seconds, connections=CONNECTIONS)
        rerun = interleave(
            load, [recorded, unrecorded], rounds=RECORDING_ROUNDS * options.rounds, seconds=options.seconds
        )
    mine = results["ours"]
    against = [("× floor", results["floor"])] if "floor" in results else []
    print(f"\nStandardScaler + LogisticRegression, {options.rounds} rounds of {options.seconds:g} s each, interleaved")
    print(table(sorted(results.values(), key=lambda one: one.cpu_ms), [*against, ("× ours", mine)]))
    for name, why in absent.items():
        print(f"  missing: {PEERS[name].label}: {why}")
    targets = []
    for name, limit in LIMITS.items():
        what = f"one row: CPU, ours to {PEERS[name].label}"
        if name in results:
            form = "{:.2f}×" if limit > 0.5 else "{:.3f}×"
            targets.append(at_most(what, mine.ratio(results[name]), limit, form))
        else:
            targets.append(missing(what, f"at most {limit:.3f}×", absent.get(name, "left out")))
    if "floor" in results:
        print(f"  the goal beyond the target: {FLOOR_GOAL} × the floor")
    targets.append(
        at_most(
            "one row: CPU with recording and metrics to without",
            rerun["ours"].ratio(rerun["ours-unrecorded"]),
            RECORDING,
        )
    )
    return targets


def trees(load: Clients, where: cores.Cores, options: argparse.Namespace) -> list[Target]:
    """A forest, whose predict is thousands of Python calls in scikit-learn and a few steps in a compiled graph.

    With n_jobs=-1, as forests are usually trained, each predict starts a pool of threads; its server has all cores.
    """
    model = forest()
    what = "RandomForest(300, n_jobs=-1), one row: CPU of Flask + joblib to ours"
    if options.only and "flask" not in options.only:
        return [missing(what, f"at least {FOREST}×", "left out")]
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(deployed("forest", model, IRIS[0], where=where))
        servers = [ours.server("ours, as ad.deploy makes it", rows(ours, ROW, ANSWER), name="ours")]
        envs = cache_folder(options.envs)
        for jobs, place in ((None, where), (-1, cores.ANYWHERE)):
            file = dumped(stack, model.set_params(n_jobs=jobs))
            exchange = exchange_of("flask", ROW, ANSWER)
            try:
                variant = f"n_jobs={jobs}"
                servers.append(stack.enter_context(peer("flask", file, exchange, load, place, envs, variant=variant)))
            except Missing as why:
                return [missing(what, f"at least {FOREST}×", str(why))]
        exchange = exchange_of("floor", ROW, ANSWER)
        servers.append(stack.enter_context(peer("floor", ours.model_file, exchange, load, where, envs)))
        results = interleave(load, servers, rounds=options.rounds, seconds=options.seconds, connections=CONNECTIONS)
    mine = results["ours"]
    print("\nRandomForestClassifier(300), one row")
    print(table(sorted(results.values(), key=lambda one: one.cpu_ms), [("× ours", mine)]))
    return [at_least(what, results["flask n_jobs=-1"].ratio(mine), FOREST, "{:.0f}×")]


def dumped(stack: contextlib.ExitStack, model: Any) -> Path:
    """The fitted object as a file."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-model-"))
    file = Path(folder) / "model.joblib"
    joblib.dump(model, file)
    return file


def started(
    stack: contextlib.ExitStack,
    names: list[str],
    files: dict[str, Path],
    load: Clients,
    where: cores.Cores,
    options: argparse.Namespace,
) -> tuple[list[Server], dict[str, str]]:
    """The peers that run, and why others do not."""
    servers, absent = [], {}
    for name in names:
        exchange = exchange_of(name, ROW, ANSWER)
        try:
            file = files[PEERS[name].model]
            servers.append(stack.enter_context(peer(name, file, exchange, load, where, cache_folder(options.envs))))
        except Missing as why:
            absent[name] = str(why)
    return servers, absent


if __name__ == "__main__":
    run(main)
