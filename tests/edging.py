"""Versions for the edge: really trained models, written as ONNX and answered by the deployment's own road.

Built without a clean process or a Bento, which the edge does not look at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
from msgspec.structs import replace
from records import make_version
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from versions import NAMES, X, Y

from autodeploy_magic.build.export.sklearn import exporter
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Artifact, Desired, Progress, Version, encode
from autodeploy_magic.ship.base import Cargo, Written
from autodeploy_magic.ship.edge.edge import Edge
from autodeploy_magic.store import file_sha256
from autodeploy_magic.wire import describe, in_library, to_plain, to_request

__all__ = ["MODELS", "PEOPLE", "cargo_of", "make", "people", "ship", "write_onnx_version"]

ROWS = 12


def _people(rows: int = 120) -> pd.DataFrame:
    random = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "age": random.normal(40, 12, rows),
            "children": random.integers(0, 4, rows),
            "city of birth": random.choice(["rome", "oslo", "nice"], rows),
            "member": random.random(rows) < 0.4,
            "size": pd.Categorical(random.choice(["s", "m", "l"], rows)),
            "score": random.normal(0, 1, rows).astype("float32"),
        }
    )
    table.loc[::9, "age"] = np.nan
    table.loc[::13, "city of birth"] = None
    return table


PEOPLE = _people()


def people() -> tuple[Any, Any]:
    """A pipeline over numbers, whole numbers, text, truths, categories and gaps, with labels that are text."""
    label = np.where(
        PEOPLE.age.fillna(40) / 10 + PEOPLE.children + 2 * (PEOPLE["city of birth"] == "oslo") > 6, "yes", "no"
    )
    columns = make_column_transformer(
        (SimpleImputer(), ["age", "children", "score", "member"]), (OneHotEncoder(), ["city of birth", "size"])
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(PEOPLE, label), PEOPLE


def _frame() -> pd.DataFrame:
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    return table.assign(whole=(X[:, 0] * 10).astype(int), true=X[:, 1] > 3)


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "iris": lambda: (LogisticRegression(max_iter=500).fit(X, NAMES[Y]), X),
    "people": people,
    "whole numbers": lambda: (
        DecisionTreeClassifier(random_state=0).fit((X * 10).astype(int), Y),
        (X * 10).astype(int),
    ),
    "truths": lambda: (LogisticRegression(max_iter=500).fit(X, Y > 0), X),
    "regression": lambda: (LinearRegression().fit(_frame(), X[:, 2] * 1000), _frame()),
    "two numbers": lambda: (LinearRegression().fit(X[:, :2], X[:, 2:]), X[:, :2]),
    "two labels": lambda: (MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, np.c_[Y > 0, Y > 1]), X),
    "network": lambda: (
        make_pipeline(StandardScaler(), MLPClassifier((8,), solver="lbfgs", max_iter=500, random_state=0)).fit(
            X, NAMES[Y]
        ),
        X.astype("float32"),
    ),
}
"""Name → a fitted model, and rows for it."""


def make(name: str, folder: Path, **options: Any) -> Cargo:
    """What `ship` is given of one of the `MODELS`."""
    model, sample = MODELS[name]()
    write_onnx_version(folder, model, sample)
    return cargo_of(folder, **options)


def write_onnx_version(
    folder: Path,
    model: Any,
    sample: Any,
    *,
    code: dict[str, Callable[..., Any]] | None = None,
    source: str = "",
    fed: Any = None,
    name: str = "demo",
) -> Version:
    """Write a version of a fitted scikit-learn model into `folder`, as a build would.

    With `code`, `fed` is what preprocess makes of the sample, and `source` the text that is kept of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    read = read_sample(sample)
    signature = read.signature
    given = in_library(signature, read.container) if fed is None else fed
    exporter.write(model, "onnx", folder / "model.onnx", given, read_sample(given).signature)
    rows = given[:ROWS]
    live = exporter.live(model, rows)
    outputs = [describe(key, value, ROWS, method="predict") for key, value in live.items()]
    answers, shown = dict(live), list(outputs)
    files = [("model", "onnx", "model.onnx"), ("sample", "json", "sample.json"), ("expected", "json", "expected.json")]
    if code:
        if "postprocess" in code:
            answers["predictions"] = code["postprocess"](live["predictions"])
            shown[0] = describe("predictions", answers["predictions"], ROWS)
        (folder / "code.pkl").write_bytes(cloudpickle.dumps(code))
        (folder / "code.py").write_text(source)
        files += [("code", "cloudpickle", "code.pkl"), ("source", "python", "code.py")]
    (folder / "sample.json").write_bytes(msgspec.json.encode({"inputs": to_request(read.container[:ROWS])}))
    (folder / "expected.json").write_bytes(msgspec.json.encode({k: to_plain(v) for k, v in answers.items()}))
    artifacts = tuple(
        Artifact(
            role=role,
            format=form,
            path=path,
            sha256=file_sha256(folder / path),
            size_bytes=(folder / path).stat().st_size,
        )
        for role, form, path in files
    )
    version = replace(
        make_version(3),
        deployment=name,
        task=exporter.task(model),
        model_type=exporter.model_type(model),
        signature=signature,
        outputs=tuple(shown),
        model_outputs=tuple(outputs),
        artifacts=artifacts,
        sample_rows=ROWS,
    )
    (folder / "version.json").write_bytes(encode(version))
    return version


def cargo_of(folder: Path, **options: Any) -> Cargo:
    """What `ship` is given of the version in `folder`, with the target's own defaults but for `options`."""
    version = msgspec.json.decode((folder / "version.json").read_bytes(), type=Version)
    chosen = {choice.name: choice.default for choice in Edge.choices}
    desired = Desired(name=version.deployment, version=version.number, executable="python")
    return Cargo(version=version, desired=desired, model=folder, record=folder, options={**chosen, **options})


def ship(cargo: Cargo, folder: Path) -> Written:
    """Refuse or write, as `ship` does."""
    said: list[Progress] = []
    folder.mkdir()
    Edge().refuse(cargo)
    return Edge().write(cargo, folder, said.append)
