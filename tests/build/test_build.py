"""build(), whole: steps, versions, unchanged content, dry runs, and what is left after a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from autodeploy_magic.build import BuildRequest, Built, SubprocessRunner, build, difference
from autodeploy_magic.build.capture import capture
from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import DiskFull, InvalidName, ModelTooLarge, ParityFailed, UnfittedModel
from autodeploy_magic.store import Store, file_sha256

Make = Callable[..., Built]


def classifier(iris: Any, C: float = 1.0) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=1000).fit(*iris)


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_version_stands_whole_in_the_store(make: Make, store: Store, iris: Any) -> None:
    built = make(classifier(iris), iris[0], note="first")
    version = store.version("demo", 1)
    assert version == built.version
    assert built.fresh
    assert version.note == "first"
    model = store.folder("demo") / version.model_path
    assert files_of(model) == {"model.onnx", "sample.json", "expected.json", "version.json", "model.yaml"}
    for artifact in version.artifacts:
        assert file_sha256(model / artifact.path) == artifact.sha256
        assert (model / artifact.path).stat().st_size == artifact.size_bytes
    assert json.loads((model / "version.json").read_bytes())["digest"] == version.digest
    assert len(json.loads((model / "sample.json").read_bytes())["inputs"]) == 16
    kept = {"version.json", "sample.json", "expected.json", "answers.json", "live/model.pkl"}
    assert files_of(store.version_folder("demo", 1)) == kept
    assert [artifact.path for artifact in version.kept] == ["model.pkl"]
    assert built.answers is not None
    assert len(json.loads(built.answers.read_bytes())["predictions"]) == 150
    assert not (store.folder("demo") / "staging").exists()


def test_the_bento_names_nothing_of_this_machine(make: Make, store: Store, iris: Any) -> None:
    version = make(classifier(iris), iris[0]).version
    bento = store.folder("demo") / version.bento_path
    for file in bento.rglob("*"):
        if file.is_file():
            text = file.read_text("utf-8", "replace")
            assert str(store.home) not in text, file
            assert "--index-url" not in text, file
            assert "file://" not in text or "autodeploy_magic" in file.parts, file
    pins = (bento / "env" / "python" / "requirements.txt").read_text().split()
    assert all(pin.count("==") == 1 for pin in pins)
    assert {"bentoml", "onnxruntime", "numpy"} <= {pin.partition("==")[0] for pin in pins}
    assert "scikit-learn" not in {pin.partition("==")[0] for pin in pins}, "an ONNX model does not need it"
    assert json.loads((bento / "src" / "deployment.json").read_bytes()) == {"name": "demo", "model": version.bento}
    assert not list((bento / "src" / "autodeploy_magic").glob("notebook*"))


def test_unchanged_content_is_recognised(make: Make, store: Store, iris: Any) -> None:
    first = make(classifier(iris), iris[0])
    again = make(classifier(iris), iris[0], note="the same, fitted again")
    assert not again.fresh
    assert again.version == first.version
    assert len(store.versions("demo")) == 1


def test_every_part_of_the_content_counts(iris: Any, notebook: Callable[..., Any], tmp_path: Path) -> None:
    X, _ = iris
    model = classifier(iris)
    code = [notebook(f"def postprocess(y):\n    return y + {i}")["postprocess"] for i in range(2)]

    def digest(model: Any, sample: Any, **options: Any) -> str:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        return capture(BuildRequest("demo", model, sample, **options), folder).digest

    digests = [
        digest(model, X),
        digest(classifier(iris, 0.5), X),
        digest(model, X.astype("float32")),
        digest(model, X, format="native"),
        digest(model, X, code={"postprocess": code[0]}),
        digest(model, X, code={"postprocess": code[1]}),
        digest(model, X, code={"preprocess": code[1]}),
    ]
    assert len(set(digests)) == len(digests)
    assert digest(classifier(iris), X.copy(), note="another note") == digests[0]


def test_steps_are_reported_in_order(store: Store, runner: SubprocessRunner, iris: Any) -> None:
    seen: list[Progress] = []
    request = BuildRequest("demo", classifier(iris), iris[0])
    build(request, store, runner, seen.append)
    assert [(item.step, item.state) for item in seen] == [
        (step, state) for step in ("capture", "export", "verify", "package") for state in ("started", "done")
    ]
    assert all(item.seconds > 0 for item in seen if item.state == "done")
    seen.clear()
    build(request, store, runner, seen.append)
    assert [(item.step, item.state) for item in seen] == [
        ("capture", "started"),
        ("capture", "done"),
        ("export", "skipped"),
        ("verify", "skipped"),
        ("package", "skipped"),
    ]
    assert seen[-1].detail == "unchanged: this is version 1"


def test_a_dry_run_leaves_nothing(make: Make, store: Store, iris: Any) -> None:
    built = make(classifier(iris), iris[0], dry_run=True)
    assert built.dry_run
    assert built.fresh
    assert built.version.number == 1
    assert built.version.bento == ""
    assert built.version.format == "onnx"
    assert not store.folder("demo").exists()
    assert store.versions("demo") == []


def test_a_rerun_does_not_measure_again_what_is_known(make: Make, iris: Any) -> None:
    make(classifier(iris), iris[0])
    second = make(classifier(iris, 0.5), iris[0]).version
    (native,) = [item for item in second.candidates if item.format == "native"]
    assert (second.number, second.format) == (2, "onnx")
    assert "x slower in version 1" in native.reason
    assert native.one_row_s is None
    third = make(classifier(iris, 0.1), iris[0], dry_run=True).version
    assert "x slower in version 1" in third.reason, "the version that measured it is the one that is named"
    other = make(classifier(iris), iris[0].astype("float32"), dry_run=True).version
    assert "faster than native" in other.reason, "another signature is measured"


def test_a_failure_leaves_the_store_as_it_was(make: Make, store: Store, iris: Any, notebook: Any) -> None:
    make(classifier(iris), iris[0])
    before = files_of(store.home)
    guess = notebook("import numpy as np\ndef guess(x):\n    return np.random.default_rng().random(len(x))")["guess"]
    with pytest.raises(ParityFailed):
        make(guess, iris[0])
    assert files_of(store.home) == before
    with pytest.raises(ParityFailed):
        make(guess, iris[0], name="other")
    assert not store.folder("other").exists()


def test_a_failed_step_is_reported(store: Store, runner: SubprocessRunner, iris: Any) -> None:
    seen: list[Progress] = []
    with pytest.raises(UnfittedModel):
        build(BuildRequest("demo", LogisticRegression(), iris[0]), store, runner, seen.append)
    assert [(item.step, item.state) for item in seen] == [("capture", "started"), ("capture", "failed")]
    assert "has not been fitted" in seen[-1].detail


def test_an_invalid_name(make: Make, iris: Any) -> None:
    with pytest.raises(InvalidName, match="use 'my-model'"):
        make(classifier(iris), iris[0], name="My Model")


def test_a_model_too_large_for_the_memory(make: Make, store: Store, iris: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("autodeploy_magic.build.capture.available_bytes", lambda: 1000)
    with pytest.raises(ModelTooLarge, match=r"(?s)too large for the memory.*free memory"):
        make(classifier(iris), iris[0])
    assert not store.folder("demo").exists()


DISK_FULL = """
import resource, signal, sys
import numpy as np
from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.errors import DiskFull
from autodeploy_magic.store import Store

class Model:
    def __init__(self): self.weights = np.zeros(1_000_000)
    def predict(self, x): return np.asarray(x).sum(axis=1)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
try:
    build(BuildRequest("demo", Model(), np.ones((3, 2))), store, SubprocessRunner(), lambda p: None)
except DiskFull as error:
    assert error.fix
    assert not store.folder("demo").exists(), list(store.folder("demo").rglob("*"))
    print("refused:", error.what)
"""


def test_a_full_disk_is_said_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    """For real: the process may write no file of more than 1 MB, and the model has 8."""
    script = tmp_path / "disk_full.py"
    script.write_text(textwrap.dedent(DISK_FULL))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script), str(home)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.startswith("refused: the disk that holds"), done.stdout + done.stderr


def test_a_full_disk_while_packaging_leaves_the_older_version(
    make: Make, store: Store, iris: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(classifier(iris), iris[0])
    before = files_of(store.home)
    monkeypatch.setattr(
        SubprocessRunner,
        "run",
        with_limit_while_packaging(SubprocessRunner.run),
    )
    with pytest.raises(DiskFull):
        make(classifier(iris, 0.5), iris[0])
    assert files_of(store.home) == before


def with_limit_while_packaging(run: Any) -> Any:
    """The clean process of the package step may write no byte to any file: what a full disk is to it."""

    def limited(self: SubprocessRunner, target: str, spec: Any, **options: Any) -> Any:
        if target.endswith("bento:make"):
            target = "limited_make:make"
            folder = Path(spec["source_folder"]).parent / "limited"
            folder.mkdir()
            (folder / "limited_make.py").write_text(
                "import resource, signal\nfrom autodeploy_magic.build import bento\n"
                "def make(spec):\n    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
                "    import bentoml, bentoml.models, bentoml.exceptions\n"
                "    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))\n"
                "    try:\n        return bento.make(spec)\n"
                "    finally:\n        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
            )
            options["paths"] = (str(folder),)
        return run(self, target, spec, **options)

    return limited


def test_leftovers_of_a_killed_build_are_replaced(make: Make, store: Store, iris: Any) -> None:
    """A process that died after the Bento was built and before it was committed leaves a tag that is used again."""
    version = make(classifier(iris), iris[0]).version
    import shutil

    shutil.rmtree(store.folder("demo") / "versions")
    again = make(classifier(iris), iris[0])
    assert again.fresh
    assert again.version.bento == version.bento


def test_local_modules_travel(make: Make, store: Store, tmp_path: Path, monkeypatch: Any, notebook: Any) -> None:
    shop = tmp_path / "notebooks" / "shop_rules"
    shop.mkdir(parents=True)
    (shop / "__init__.py").write_text("from shop_rules.rates import RATE\nimport shop_helper\n")
    (shop / "rates.py").write_text(
        "RATE = 3\ndef price(rows):\n    import shop_helper\n    return shop_helper.times(rows, RATE)\n"
    )
    (shop / "notes.ipynb").write_text("{}")
    (shop.parent / "shop_helper.py").write_text("def times(rows, n):\n    return [row * n for row in rows]\n")
    monkeypatch.syspath_prepend(str(shop.parent))
    import shop_rules.rates

    built = make(shop_rules.rates.price, [1, 2, 3])
    assert built.version.environment.local_modules == ("shop_helper", "shop_rules")
    model = store.folder("demo") / built.version.model_path
    assert {"modules/shop_helper.py", "modules/shop_rules/rates.py"} <= files_of(model)
    assert not list(model.rglob("*.ipynb"))
    assert not make(shop_rules.rates.price, [1, 2, 3]).fresh
    helper = shop.parent / "shop_helper.py"
    helper.write_text(helper.read_text() + "# a change\n")
    assert make(shop_rules.rates.price, [1, 2, 3], dry_run=True).fresh


def test_difference_of_two_versions(make: Make, store: Store, runner: SubprocessRunner, iris: Any) -> None:
    X, _ = iris
    make(classifier(iris), X)
    make(classifier(iris, 0.001), X)
    make(classifier(iris, 0.002), X[50:])
    make(classifier(iris), X.astype("float32"))
    same = difference(store, runner, "demo", 1, 2)
    expected = classifier(iris).predict(X) != classifier(iris, 0.001).predict(X)
    assert (same.rows, same.differing) == (150, int(expected.sum()))
    assert same.examples[0]["row"] == int(np.flatnonzero(expected)[0])
    assert same.examples[0]["inputs"] == X[same.examples[0]["row"]].tolist()
    replayed = difference(store, runner, "demo", 1, 3)
    assert (replayed.rows, replayed.comparable) == (100, True)
    other = difference(store, runner, "demo", 1, 4)
    assert not other.comparable
    assert other.reason == "inputs was float64[4] and is float32[4]"


def test_a_postprocess_that_comes_or_goes_is_a_difference_and_no_failure(
    make: Make, store: Store, runner: SubprocessRunner, iris: Any
) -> None:
    X, _ = iris

    def named(y: Any) -> list[dict[str, float]]:
        return [{"species": float(value)} for value in y]

    make(classifier(iris), X)
    make(classifier(iris), X, code={"postprocess": named})
    for old, new in ((1, 2), (2, 1)):
        found = difference(store, runner, "demo", old, new)
        assert (found.rows, found.differing, found.comparable) == (150, 150, True)
    assert difference(store, runner, "demo", 1, 2).examples[0]["new"] == {"species": 0.0}


ELSEWHERE = """
import sys
sys.path += sys.argv[1:2]  # what is installed, without the links of editable installs, which `-S` leaves out
import importlib.util
assert importlib.util.find_spec("autodeploy_magic") is None
import bentoml
from starlette.testclient import TestClient
service = bentoml.load(sys.argv[2])
with TestClient(service.to_asgi()) as client:
    print(client.post("/predict", json={"inputs": [1, 2]}).json()["predictions"])
import autodeploy_magic
print(autodeploy_magic.__file__)
"""


def test_a_bento_brings_all_that_it_needs(
    make: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where autodeploy_magic is not installed and the person's own module is nowhere else."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop_prices.py").write_text("def price(rows):\n    return [row * 3 for row in rows]\n")
    monkeypatch.syspath_prepend(str(tmp_path / "shop"))
    import shop_prices

    version = make(shop_prices.price, [1, 2]).version
    done = subprocess.run(
        [sys.executable, "-S", "-c", ELSEWHERE, sysconfig.get_path("purelib"), version.bento],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={
            **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            "BENTOML_HOME": str(store.bentoml_home("demo")),
            "BENTOML_DO_NOT_TRACK": "true",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    predictions, place = done.stdout.splitlines()[-2:]
    assert predictions == "[3, 6]"
    assert place.startswith(str(store.bentoml_home("demo")))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_stock_bentoml_serves_it(make: Make, store: Store, people: Any, notebook: Any, tmp_path: Path) -> None:
    """`bentoml serve`, with code of the notebook around the model."""
    import socket

    import httpx

    X, label = people[0][["age", "children"]].fillna(40.0), people[1]
    model = LogisticRegression().fit(X * 2, label)
    code = notebook("def preprocess(x):\n    return x * 2\ndef postprocess(y):\n    return [str(v).upper() for v in y]")
    version = make(model, X, code={key: code[key] for key in ("preprocess", "postprocess")}).version
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "BENTOML_HOME": str(store.bentoml_home("demo")),
        "BENTOML_DO_NOT_TRACK": "true",
        "PYTHONSAFEPATH": "1",
    }
    log = (tmp_path / "serve.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "bentoml", "serve", version.bento, "--host", "127.0.0.1", "--port", str(port)],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=20)) as client:
            body = {"inputs": X.head(5).to_dict("records")}
            answer = client.post("/predict", json=body, timeout=30)
            assert answer.status_code == 200, answer.text + (tmp_path / "serve.log").read_text()
            assert answer.json()["predictions"] == [v.upper() for v in model.predict(X.head(5) * 2)]
            assert answer.json()["version"] == 1
            wrong = client.post("/predict", json={"inputs": [{"age": 3}]})
            assert wrong.status_code == 422
            assert wrong.json()["field"] == "inputs[0].children"
    finally:
        import signal

        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        log.close()
