"""The person's own code around a model, shipped as source; or refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edging import cargo_of, ship, write_onnx_version
from sklearn.linear_model import LogisticRegression
from versions import X, Y

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.ship.edge import predict
from autodeploy_magic.ship.edge.edge import Edge

HEAD = "# What travels with the model, for reading: code.pkl is what runs.\n\n\n"
PRE = "def preprocess(x):\n    return np.log1p(_clipped(x))\n"
CLIPPED = "def _clipped(x):\n    import math\n    return np.clip(x, 0, math.inf)\n"
POST = "def postprocess(y, names=('a', 'b', 'c')):\n    return [names[int(i)] for i in y]\n"


def version_of(folder: Path, source: str, *names: str) -> Path:
    """A version with code whose source is `source`; its functions `names` run."""
    space: dict[str, Any] = {"np": np, "FACTOR": 2, "__name__": "__main__"}
    exec(source, space)
    code: dict[str, Callable[..., Any]] = {name: space[name] for name in names}
    fed = code["preprocess"](X) if "preprocess" in code else X
    model = LogisticRegression(max_iter=500).fit(fed, Y)
    write_onnx_version(folder, model, X, code=code, source=HEAD + source, fed=fed)
    return folder


def test_code_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    folder = version_of(tmp_path / "version", POST, "postprocess")
    with pytest.raises(ShipFailed) as error:
        Edge().refuse(cargo_of(folder))
    assert "--set code=yes" in error.value.fix
    assert "Pipeline" in error.value.fix


def test_code_travels_as_source_and_answers_the_same(tmp_path: Path) -> None:
    folder = version_of(tmp_path / "version", f"{CLIPPED}\n\n{PRE}\n\n{POST}", "preprocess", "postprocess")
    ship(cargo_of(folder, code=True, wheel=True), tmp_path / "out")
    text = (tmp_path / "out" / "around.py").read_text("utf-8")
    assert "import numpy as np" in text
    assert not list((tmp_path / "out").glob("*.pkl"))
    model = predict.Model(tmp_path / "out")
    rows, _ = model.sample()
    served = ServedModel.load(folder)
    found = {name: predict.to_plain(value) for name, value in model.predict(rows).items()}
    assert found == served.predict(rows, ["predictions", "probabilities"])
    assert set(found["predictions"]) <= {"a", "b", "c"}
    with pytest.raises(ShipFailed, match="cannot go to the edge") as error:
        Edge().refuse(cargo_of(folder, code=True, web=True))
    assert "a browser runs no Python" in error.value.why


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def postprocess(y):\n    return [FACTOR * int(i) for i in y]\n", "'FACTOR'"),
        ("def postprocess(y):\n    import pandas as pd\n    return list(pd.Series(y))\n", "imports pandas"),
        (f"# helper: its source is not known to this kernel\n{POST}", "not whole"),
        (f"def predict(model, x):\n    return model.predict(x)\n\n\n{POST}", "not whole"),
    ],
)
def test_source_that_is_not_whole_is_refused_by_name(tmp_path: Path, source: str, said: str) -> None:
    folder = version_of(tmp_path / "version", source, "postprocess")
    with pytest.raises(ShipFailed, match="cannot be shipped as source") as error:
        Edge().refuse(cargo_of(folder, code=True))
    assert said in error.value.why
    assert "containerize" in error.value.fix


def test_a_version_without_code_ships_none(shipped: Path) -> None:
    assert not (shipped / "iris" / "around.py").exists()
    assert predict.Model(shipped / "iris").signature["code"] == []
