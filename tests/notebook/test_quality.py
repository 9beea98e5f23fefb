"""`%deploy quality`: what it shows of figures, estimates, versions and slices."""

from __future__ import annotations

import re

import pytest
from deployed import PEOPLE, people_model
from IPython.core.interactiveshell import InteractiveShell
from world import World, until

import autodeploy_magic as ad
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Confusion, Figure, Quality, Slice
from autodeploy_magic.notebook.quality import ShownQuality
from autodeploy_magic.notebook.views import to_json


def figure(metric: str, value: float, low: float | None, high: float | None, labels: int = 412) -> Figure:
    return Figure(metric=metric, value=value, low=low, high=high, labels=labels)


EXPECTED = Figure(metric="accuracy", value=0.954, low=0.94, high=0.961, labels=412, estimated=True)
FIGURES = (
    figure("accuracy", 0.9, 0.867, 0.926),
    figure("precision", 0.88, 0.8, 0.93),
    figure("recall", 0.75, 0.66, 0.82),
    figure("f1", 0.81, 0.74, 0.86),
)
CONFUSION = Confusion(classes=("no", "yes <b>"), counts=((270, 12), (30, 90)))
QUALITY = Quality(
    name="iris",
    task="classification",
    labels=412,
    answered=10240,
    late=3,
    changed=2,
    unmatched=1,
    window=2000,
    figures=FIGURES,
    estimated=(EXPECTED,),
    confusion=CONFUSION,
    slices=(Slice(column="2", value="> 5.1", labels=80, figures=(figure("accuracy", 0.7, 0.59, 0.79, 80),)),),
    versions=(
        Quality(name="iris", version=1, labels=400, answered=9000, figures=FIGURES),
        Quality(name="iris", version=2, answered=1240, estimated=(EXPECTED,)),
    ),
)


def test_everything_is_told_with_its_interval() -> None:
    text = ShownQuality("iris", QUALITY, positions=True).text()
    assert text.startswith("iris: 412 labels; 10,240 answered rows recorded\n")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "F1 0.810 0.740 – 0.860 412 labels" in lines
    assert "accuracy, expected ≈ 0.954 0.940 – 0.961 the model's confidence, put right by 412 labels" in lines
    assert "v1 400 9,000 0.900 0.880 0.750 0.810" in lines
    assert "v2 0 1,240 ≈ 0.954 – – –" in lines
    assert "yes <b> 30 90" in lines
    assert "x[2] > 5.1 80 0.700 0.590 – 0.790" in lines
    assert any("3 came over an hour after the answer, 2 replaced another" in line for line in lines)
    assert "precision, recall and F1 are of the class yes <b>" in lines
    assert any(line.startswith("≈ an estimate") for line in lines)


def test_it_is_drawn_as_tables() -> None:
    html = str(ShownQuality("iris", QUALITY).html())
    assert html.count("<table>") == 4
    assert "yes &lt;b&gt;" in html
    assert "≈ 0.954" in html
    assert "<td>2</td>" in html  # a table's column may be called so


def test_before_anything_came() -> None:
    nothing = ShownQuality("iris", None)
    assert nothing.text().startswith("iris: no request is recorded yet")
    assert "no request is recorded yet" in str(nothing.html())
    unlabelled = ShownQuality("iris", Quality(name="iris", answered=10, estimated=(EXPECTED,))).text()
    assert "no labels yet; 10 answered rows recorded" in unlabelled
    assert "dep.feedback(ids, labels)" in unlabelled
    silent = ShownQuality("iris", Quality(name="iris", answered=10)).text()
    assert "nothing can be expected without labels" in silent


def test_what_cannot_be_told_is_said() -> None:
    text = ShownQuality("iris", Quality(name="iris", answered=10, labels=5)).text()
    assert "the labels cannot be compared with these answers" in text


def test_all_slices_of_a_column_take_the_place_of_the_worst() -> None:
    cities = (
        Slice(column="city", value="Bern", labels=50, figures=(figure("mae", 12.345, 11.0, 13.9, 50),)),
        Slice(column="city", value="Oslo", labels=1, figures=(figure("mae", 9.0, None, None, 1),)),
    )
    text = ShownQuality("iris", QUALITY, cities).text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "city Bern 50 12.35 11 – 13.9" in lines
    assert "city Oslo 1 9 –" in lines
    assert "5.1" not in text
    assert "no labelled row" in ShownQuality("iris", QUALITY, ()).text()


@pytest.mark.parametrize(
    ("counts", "said"),
    [(((10, 0, 0), (0, 9, 1), (0, 0, 10)), "averages over the classes"), (((10, 1), (5, 10)), "or averages over more")],
)
def test_which_class_figures_are_of(counts: tuple[tuple[int, ...], ...], said: str) -> None:
    confusion = Confusion(classes=tuple("abc"[: len(counts)]), counts=counts)
    quality = Quality(name="iris", labels=30, figures=FIGURES, confusion=confusion)
    assert said in ShownQuality("iris", quality).text()


def test_programs_get_it_as_json() -> None:
    told = to_json(ShownQuality("iris", QUALITY))
    assert told["quality"]["figures"][3]["metric"] == "f1"
    assert told["quality"]["estimated"][0]["estimated"] is True


@pytest.mark.e2e
def test_labels_become_figures_on_the_real_supervisor(
    world: World, ipython_shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    dep = ad.deploy(people_model(), "people", sample=PEOPLE, quiet=True)
    assert isinstance(dep, ad.Deployment)
    for start in range(0, 80, 10):
        rows = PEOPLE[start : start + 10]
        answers = dep.predict(rows)
        wrong = [("no" if answer == "yes" else "yes") if i == 0 else answer for i, answer in enumerate(answers)]
        dep.feedback(wrong)  # one label of ten says otherwise

    def labelled() -> bool:
        quality = dep.quality().quality
        return quality is not None and quality.labels > 0

    until(labelled)
    quality = dep.quality().quality
    assert quality is not None
    accuracy = {figure.metric: figure for figure in quality.figures}["accuracy"]
    assert accuracy.value == pytest.approx(0.9)
    assert accuracy.low is not None
    assert accuracy.low < 0.9
    ipython_shell.run_line_magic("deploy", "quality people --by city")
    said = capsys.readouterr().out
    assert "by value" in said
    assert "oslo" in said
    with pytest.raises(InvalidOption, match="no column of the labelled rows"):
        dep.quality(by="town")
    (glance,) = world.supervisor.glances()
    assert re.fullmatch(r"F1 0\.\d+, \d+ labels", glance.quality)
