"""Columns that say nothing are ignored, and nobody who asks the URL sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from smaller import champion_of, holdings_of, made_of

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Rebuilt
from autodeploy_magic.operate.retune.optimise.sklearn_inputs import FewerInputs, information, kept_columns
from autodeploy_magic.store import Store


def people(rows: int = 500) -> tuple[pd.DataFrame, Any]:
    """Age (with gaps), children and city say whether; noise, a coin and a colour do not."""
    random = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "noise": random.normal(size=rows),
            "age": random.normal(40, 12, rows),
            "coin": random.random(rows) < 0.5,
            "city": random.choice(["rome", "oslo", "nice"], rows),
            "children": random.integers(0, 4, rows),
            "colour": random.choice(["red", "blue", "green"], rows),
        }
    )
    label = np.where(table.age / 10 + table.children + 2 * (table.city == "oslo") > 6, "yes", "no")
    table.loc[::9, "age"] = np.nan
    return table, label


def array(rows: int = 400) -> tuple[Any, Any]:
    """Five columns, of which the first and the fourth say which of three."""
    x = np.random.default_rng(11).normal(size=(rows, 5))
    return x, np.digitize(x[:, 0] + x[:, 3], [-0.7, 0.7])


def columns_of_a_table() -> Any:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include=["float", "int"])),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city", "colour"]),
        ],
        remainder="passthrough",
    )


def test_an_array_is_read_without_its_weak_columns_and_the_champion_stays(tmp_path: Path) -> None:
    x, y = array()
    model = RandomForestClassifier(10, random_state=0).fit(x[:300], y[:300])
    champion = champion_of(tmp_path, model, x)
    before = (tmp_path / "model.pkl").read_bytes()
    made = made_of(FewerInputs(), champion, holdings_of(champion, x[:150], x[:300], y[:300]))
    assert isinstance(made, Rebuilt)
    assert made.changed == {"dropped": ["1", "2", "4"]}
    assert "300 labelled rows" in made.note
    assert made.model.score(x[300:], y[300:]) >= model.score(x[300:], y[300:]) - 0.03
    other = x.copy()
    other[:, [1, 2, 4]] = 99.0
    assert (made.model.predict(other) == made.model.predict(x)).all()
    assert list(made.model.classes_) == [0, 1, 2]
    assert made.model.predict_proba(x).shape == (400, 3)
    assert (tmp_path / "model.pkl").read_bytes() == before


def test_a_table_with_texts_gaps_and_its_own_choice_of_columns(tmp_path: Path) -> None:
    table, label = people()
    model = make_pipeline(columns_of_a_table(), LogisticRegression(max_iter=500)).fit(table, label)
    champion = champion_of(tmp_path, model, table)
    made = made_of(FewerInputs(), champion, holdings_of(champion, table[:200], table[:400], label[:400]))
    assert isinstance(made, Rebuilt)
    assert set(made.changed["dropped"]) == {"noise", "coin", "colour"}
    assert made.model.score(table[400:], label[400:]) >= model.score(table[400:], label[400:]) - 0.03
    assert made.model.predict(table).dtype == model.predict(table).dtype
    moved = table.assign(noise=7.0, colour="black", coin=True)
    assert (made.model.predict_proba(moved) == made.model.predict_proba(table)).all()


def test_it_is_built_and_takes_the_same_rows(tmp_path: Path, store: Store) -> None:
    table, label = people(300)
    model = make_pipeline(columns_of_a_table(), LogisticRegression(max_iter=500)).fit(table, label)
    champion = champion_of(tmp_path, model, table)
    made = made_of(FewerInputs(), champion, holdings_of(champion, table, table, label))
    assert isinstance(made, Rebuilt)
    built = build(BuildRequest("demo", made.model, table), store, SubprocessRunner(), lambda _: None)
    assert built.version.format == "onnx"
    assert [column.name for column in built.version.signature.columns] == list(table.columns)
    assert [(one.name, one.dtype) for one in built.version.outputs] == [
        (one.name, one.dtype) for one in champion.version.outputs
    ]


def test_without_labels_it_learns_what_the_champion_answers(tmp_path: Path) -> None:
    x, y = array()
    champion = champion_of(tmp_path, RandomForestClassifier(10, random_state=0).fit(x, y), x)
    made = made_of(FewerInputs(), champion, holdings_of(champion, x))
    assert isinstance(made, Rebuilt)
    assert "the champion's own answers to 400 rows" in made.note
    assert (made.model.predict(x) == y).mean() > 0.9


def test_labels_written_otherwise_are_the_models_classes(tmp_path: Path) -> None:
    x, y = array()
    champion = champion_of(tmp_path, RandomForestClassifier(10, random_state=0).fit(x, y), x)
    texts = np.array([str(one) for one in y], dtype=object)
    texts[:3] = "seven"
    made = made_of(FewerInputs(), champion, holdings_of(champion, x, x, texts))
    assert isinstance(made, Rebuilt)
    assert "397 labelled rows (3 rows left out" in made.note
    assert made.model.predict(x).dtype == np.int64


def test_a_regression_of_several_targets(tmp_path: Path) -> None:
    x, _ = array()
    y = np.stack([x[:, 0] * 3, x[:, 3] - x[:, 0]], axis=1)
    model = RandomForestRegressor(10, random_state=0).fit(x, y)
    champion = champion_of(tmp_path, model, x)
    made = made_of(FewerInputs(), champion, holdings_of(champion, x, x[:300], y[:300]))
    assert isinstance(made, Rebuilt)
    assert set(made.changed["dropped"]) == {"1", "2", "4"}
    assert made.model.predict(x).shape == (400, 2)
    assert made.model.score(x[300:], y[300:]) > 0.8


def test_a_model_that_reads_a_table_of_its_own_keeps_categories(tmp_path: Path) -> None:
    table, label = people()
    table = table.drop(columns=["coin"]).astype({"city": "category", "colour": "category"})
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(table, label)
    champion = champion_of(tmp_path, model, table)
    made = made_of(FewerInputs(), champion, holdings_of(champion, table, table[:400], label[:400]))
    assert isinstance(made, Rebuilt)
    assert "city" not in made.changed["dropped"]
    assert "noise" in made.changed["dropped"]
    assert made.model.score(table[400:], label[400:]) > 0.85


def test_a_preprocess_of_the_persons_own_is_gone_through(tmp_path: Path) -> None:
    x, y = array()

    def preprocess(x: Any) -> Any:
        return np.asarray(x)[:, ::-1]

    model = RandomForestClassifier(10, random_state=0).fit(preprocess(x), y)
    champion = champion_of(tmp_path, model, x, {"preprocess": preprocess})
    made = made_of(FewerInputs(), champion, holdings_of(champion, x, x, y))
    assert isinstance(made, Rebuilt)
    assert made.changed == {"dropped": ["0", "2", "3"]}
    assert made.model.score(preprocess(x), y) > 0.9


def test_it_says_why_it_has_nothing(tmp_path: Path) -> None:
    x, y = array(300)
    strong = x[:, [0, 3]]
    champion = champion_of(tmp_path / "strong", LogisticRegression().fit(strong, y), strong)
    with pytest.raises(NotApplicable, match="every input says something"):
        FewerInputs().offers(champion, holdings_of(champion, strong, strong, y))
    with pytest.raises(NotApplicable, match="20 rows to learn from"):
        FewerInputs().offers(champion, holdings_of(champion, strong[:20]))
    alone = champion_of(tmp_path / "alone", LogisticRegression().fit(x[:, :1], y), x[:, :1])
    with pytest.raises(NotApplicable, match="one input column only"):
        FewerInputs().offers(alone, holdings_of(alone, x[:, :1]))
    texts = ["good news", "bad news", "good day", "bad day"] * 40
    reader = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 40)
    of_texts = champion_of(tmp_path / "texts", reader, texts)
    with pytest.raises(NotApplicable, match="no table"):
        FewerInputs().offers(of_texts, holdings_of(of_texts, texts))
    own = champion_of(tmp_path / "own", LogisticRegression().fit(x, y), x, {"predict": lambda model, x: x})
    with pytest.raises(NotApplicable, match="a predict function of your own"):
        FewerInputs().offers(own, holdings_of(own, x, x, y))


def test_a_class_that_no_row_has_is_never_lost(tmp_path: Path) -> None:
    x, y = array()
    model = LogisticRegression().fit(x, y)
    champion = champion_of(tmp_path, model, x)
    few = x[model.predict(x) < 2]
    with pytest.raises(RetuneFailed, match="no row has one of its classes"):
        made_of(FewerInputs(), champion, holdings_of(champion, few))


def test_information_of_noise_is_none_and_of_gaps_is_some() -> None:
    random = np.random.default_rng(0)
    y = random.random(600) < 0.5
    table = pd.DataFrame(
        {
            "noise": random.normal(size=600),
            "gap": np.where(y & (random.random(600) < 0.9), np.nan, random.normal(size=600)),
            "names": random.choice([f"street {i}" for i in range(60)], 600),
            "free": [f"text {i}" for i in range(600)],
            "day": pd.to_datetime("2026-01-01") + pd.to_timedelta(y * 40 + random.random(600) * 30, unit="D"),
        }
    )
    found = information(table, y, classes=True)
    assert found["free"] == float("inf"), "what cannot be measured is kept"
    assert found["gap"] > 0.3
    assert found["day"] > 0.3
    assert found["noise"] < 0.05
    assert found["names"] < 0.05, "many values say much of few rows by chance alone"
    assert kept_columns(found, 0.9) == ["gap", "free", "day"]
    straight = information(table[["noise"]].to_numpy(), table["noise"] * 2, classes=False)
    assert straight[0] > 1
