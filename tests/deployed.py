"""Deployments made as a person's are: built, with a Bento, and served by workers of a real supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from versions import NAMES, X, Y
from world import WAIT_S, World

from autodeploy_magic.build import BuildRequest, build

__all__ = ["MAX_ROWS", "PEOPLE", "TEXTS", "Deployed", "deploy", "iris_model", "mood_model", "people_model"]

MAX_ROWS = 200
TEXTS = ["good day", "bad night", "very good", "awful bad", "so good", "bad bad"]


def _people(rows: int = 240) -> pd.DataFrame:
    """A table with all that a table may have: numbers, text, truths, dates, categories, and missing values."""
    random = np.random.default_rng(7)
    table = pd.DataFrame(
        {
            "age": random.normal(40, 12, rows),
            "children": random.integers(0, 4, rows),
            "city": random.choice(["rome", "oslo", "nice"], rows),
            "member": random.random(rows) < 0.4,
            "visits": pd.array(random.integers(0, 9, rows), dtype="Int16"),
            "size": pd.Categorical(random.choice(["s", "m", "l"], rows)),
            "since": pd.date_range("2020-01-01", periods=rows, freq="D"),
            "score": random.normal(0, 1, rows).astype("float32"),
        }
    )
    table.loc[::9, "age"] = np.nan
    table.loc[::7, "visits"] = pd.NA
    table.loc[::13, "city"] = None
    return table


PEOPLE = _people()


def iris_model(c: float = 1.0) -> Any:
    return LogisticRegression(C=c, max_iter=1000).fit(X, NAMES[Y])


def people_model() -> Any:
    label = np.where(PEOPLE.age.fillna(40) / 10 + PEOPLE.children + 2 * (PEOPLE.city == "oslo") > 6, "yes", "no")
    columns = make_column_transformer(
        (SimpleImputer(), ["age", "children", "score"]), (OneHotEncoder(), ["city", "size"])
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(PEOPLE, label)


def mood_model() -> Any:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, [1, 0, 1, 0, 1, 0])


@dataclass
class Deployed:
    """A deployment, and the live object that its first version was made of."""

    world: World
    name: str
    model: Any

    @cached_property
    def url(self) -> str:
        return self.world.supervisor.status(self.name).url

    @property
    def address(self) -> str:
        """HOST:PORT"""
        return self.url.removeprefix("http://")

    @property
    def token(self) -> str:
        return self.world.store.token(self.name)

    @property
    def headers(self) -> dict[str, str]:
        return self.world.headers(self.name)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=WAIT_S)


def deploy(
    world: World, name: str, model: Any, sample: Any, *, workers: int = 1, **code: Callable[..., Any]
) -> Deployed:
    """Build a model and serve it. A request may have `MAX_ROWS` rows, so that the most that may be sent is not much."""
    request = BuildRequest(name, model, sample, code=code)
    built = build(request, world.store, world.supervisor.runner(sys.executable), lambda progress: None)
    world.serve(built.number, name, workers=workers, settings={"max_rows": MAX_ROWS})
    return Deployed(world, name, model)
