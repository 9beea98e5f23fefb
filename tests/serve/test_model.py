"""A loaded version answers what the live object answers, and refuses files that are not the ones that were built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from versions import NAMES, X, Y, write_version

from autodeploy_magic.errors import ArtifactChanged, InvalidInputs, ModelFailed, StartFailed
from autodeploy_magic.serve.clean import replay
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import restore


def test_answers_are_the_live_ones(version_folder: Path, classifier: Any) -> None:
    served = ServedModel.load(version_folder)
    found = served.predict(X.tolist(), ["predictions", "probabilities"])
    labels, probabilities = (restore(o, found[o.name]) for o in served.version.outputs)
    assert labels.dtype == classifier.predict(X).dtype
    np.testing.assert_array_equal(labels, classifier.predict(X))
    np.testing.assert_allclose(probabilities, classifier.predict_proba(X), atol=1e-5)
    assert probabilities.dtype == np.float64


def test_only_predictions_unless_asked(version_folder: Path) -> None:
    assert list(ServedModel.load(version_folder).predict(X[:1].tolist())) == ["predictions"]


def test_an_output_the_model_lacks(version_folder: Path) -> None:
    with pytest.raises(InvalidInputs, match="scores") as caught:
        ServedModel.load(version_folder).predict(X[:1].tolist(), ["scores"])
    assert caught.value.field == "outputs[0]"


def test_self_check_passes_and_notices_another_answer(version_folder: Path) -> None:
    served = ServedModel.load(version_folder)
    served.self_check()
    expected = msgspec.json.decode((version_folder / "expected.json").read_bytes())
    expected["predictions"][3] = "virginica"
    (version_folder / "expected.json").write_bytes(msgspec.json.encode(expected))
    with pytest.raises(StartFailed) as caught:
        served.self_check()
    assert "predictions[3] is 'setosa', expected 'virginica'" in caught.value.why


@pytest.mark.parametrize("change", ["flip", "gone"])
def test_a_changed_file_is_not_loaded(version_folder: Path, change: str) -> None:
    model = next(version_folder.glob("model.*"))
    if change == "flip":
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(bytes(data))
    else:
        model.unlink()
    with pytest.raises(ArtifactChanged, match=model.name):
        ServedModel.load(version_folder)


@pytest.mark.parametrize("runtime", ["onnx", "native"])
def test_code_around_the_model(tmp_path: Path, classifier: Any, runtime: str) -> None:
    version = write_version(
        tmp_path,
        classifier,
        X * 10,
        format=runtime,
        code={
            "preprocess": lambda x: x / 10,
            "postprocess": lambda y: [{"species": str(label).upper()} for label in y],
        },
    )
    assert version.outputs[0].container == "list"
    served = ServedModel.load(tmp_path)
    served.self_check()
    found = served.predict((X * 10).tolist())["predictions"]
    assert found == [{"species": name.upper()} for name in classifier.predict(X)]


def test_a_predict_of_the_persons_own(tmp_path: Path, classifier: Any) -> None:
    write_version(
        tmp_path, classifier, X, format="native", code={"predict": lambda model, x: model.predict_proba(x).max(axis=1)}
    )
    served = ServedModel.load(tmp_path)
    served.self_check()
    found = served.predict(X.tolist())["predictions"]
    np.testing.assert_allclose(found, classifier.predict_proba(X).max(axis=1))


def test_code_that_raises_leaks_nothing(tmp_path: Path, classifier: Any, caplog: pytest.LogCaptureFixture) -> None:
    def postprocess(y: Any) -> Any:
        if len(y) == 1:
            raise KeyError("the secret of /home/ann")
        return y

    write_version(tmp_path, classifier, X, code={"postprocess": postprocess})
    with pytest.raises(ModelFailed) as caught:
        ServedModel.load(tmp_path).predict(X[:1].tolist())
    assert "secret" not in str(caught.value)
    assert "secret" in caplog.text


def test_an_answer_json_cannot_say(tmp_path: Path, classifier: Any) -> None:
    def postprocess(y: Any) -> Any:
        return [object()] if len(y) == 1 else y

    write_version(tmp_path, classifier, X, code={"postprocess": postprocess})
    with pytest.raises(ModelFailed, match="JSON"):
        ServedModel.load(tmp_path).predict(X[:1].tolist())


def test_replay_answers_and_measures(version_folder: Path, classifier: Any) -> None:
    found = replay.main({"folder": str(version_folder), "timings": True, "batch_rows": 4})
    assert found["answers"]["predictions"] == classifier.predict(X[:8]).tolist() == NAMES[Y[:8]].tolist()
    assert found["batch_rows"] == 4
    assert 0 < found["one_row_s"] < 1
    assert found["rss_bytes"] > 1e6


def test_a_number_that_the_model_cannot_hold_is_refused(tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path / "v", classifier, X)
    served = ServedModel.load(tmp_path / "v")
    for rows in (1, 100):
        inputs = X[:1].tolist() * rows
        inputs[-1] = [1e300, 1, 1, 1]
        with pytest.raises(InvalidInputs, match=f"row {rows - 1} holds 1e[+]300, which is too large for float32"):
            served.predict(inputs)
