"""One deployment's life through the handle, the magics and the command, on the real supervisor and real HTTP."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from versions import NAMES, X, Y

import autodeploy_magic as ad
from autodeploy_magic import cli, settings
from autodeploy_magic.address import address_of
from autodeploy_magic.calling.http import Connection
from autodeploy_magic.calling.snippets import snippets
from autodeploy_magic.errors import (
    BadSample,
    BodyTooLarge,
    InvalidInputs,
    InvalidName,
    InvalidOption,
    StartFailed,
    SupervisorFailed,
    Unauthorized,
    UnknownDeployment,
    UnknownVersion,
)
from autodeploy_magic.live import Activity
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One state folder and one supervisor for the tests of this file; each test has deployments of its own name."""
    home = tmp_path_factory.mktemp("served") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(home))
        settings.reset()
        store = Store(home)
        yield store
        try:
            connect(store, start=False).shutdown(stop_deployments=True)
        except SupervisorFailed:
            return


@pytest.fixture(scope="module")
def classifier() -> Any:
    return LogisticRegression(max_iter=500).fit(X, NAMES[Y])


@pytest.fixture(scope="module")
def iris(served: Store, classifier: Any) -> ad.Deployment:
    """A deployment that tests may ask, and leave as it is."""
    return ad.deploy(classifier, "iris", X, quiet=True)


def test_predictions_are_those_of_the_live_object(iris: ad.Deployment, classifier: Any) -> None:
    answer = iris.predict(X[::7])
    wanted = classifier.predict(X[::7])
    assert type(answer) is np.ndarray
    assert answer.dtype == wanted.dtype
    assert np.array_equal(answer, wanted)


def test_probabilities_and_several_outputs(iris: ad.Deployment, classifier: Any) -> None:
    wanted = classifier.predict_proba(X[:5])
    assert np.allclose(iris.predict_proba(X[:5]), wanted, atol=1e-6)
    assert iris.predict_proba(X[:5]).shape == wanted.shape
    both = iris.predict(X[:5], outputs=["predictions", "probabilities"])
    assert set(both) == {"predictions", "probabilities"}
    assert np.array_equal(both["predictions"], classifier.predict(X[:5]))


def test_lists_and_frames_are_rows_too(iris: ad.Deployment, classifier: Any) -> None:
    assert np.array_equal(iris.predict(X[:2].tolist()), classifier.predict(X[:2]))


def test_a_series_comes_back_with_the_index_of_the_frame_that_was_sent(served: Store) -> None:
    frame = pd.DataFrame({"area": [30.0, 50.0, 80.0], "rooms": [1, 2, 3]}, index=["a", "b", "c"])
    model = LinearRegression().fit(frame, [100.0, 160.0, 250.0])

    def postprocess(y: Any) -> Any:
        return pd.Series(y, name="price").round(1)

    dep = ad.deploy(model, "houses", frame, postprocess=postprocess, quiet=True)
    answer = dep.predict(frame.iloc[[2, 0]])
    assert isinstance(answer, pd.Series)
    assert answer.name == "price"
    assert list(answer.index) == ["c", "a"]
    assert np.allclose(answer, model.predict(frame.iloc[[2, 0]]).round(1))


def test_a_request_that_does_not_fit_names_its_field(iris: ad.Deployment) -> None:
    with pytest.raises(InvalidInputs) as caught:
        iris.predict([[1.0, 2.0, 3.0, "four"]])
    assert caught.value.field == "inputs[0][3]"
    with pytest.raises(InvalidInputs, match="outputs"):
        iris.predict(X[:1], outputs="embedding")


def test_too_many_rows_and_a_wrong_token_are_refused(iris: ad.Deployment, served: Store) -> None:
    with pytest.raises(BodyTooLarge, match="10000"):
        iris.predict(np.zeros((10_001, 4)))
    with pytest.raises(Unauthorized):
        Connection("iris", address_of(served.desired("iris")), "not the token").post(
            "/predict", {"inputs": X[:1].tolist()}
        )


def test_the_handle_tells_what_it_is(iris: ad.Deployment, served: Store) -> None:
    assert iris.version == 1
    assert iris.url.startswith("http://127.0.0.1:")
    assert iris.token == served.token("iris")
    assert iris.status.state == "running"
    assert [version.number for version in iris.versions()] == [1]
    assert iris.versions().serving == 1
    assert "version 1" in iris.logs(lines=50)
    assert repr(iris) == "Deployment('iris')"
    assert iris.token not in str(iris) + iris.html(), "a saved notebook would carry the token"


def test_test_sends_the_sample_and_compares(iris: ad.Deployment) -> None:
    answer = iris.test(rows=3)
    assert answer.as_verified is True
    assert answer.predictions == ["setosa"] * 3
    assert answer.seconds > 0


def test_attach_and_list_find_it(iris: ad.Deployment) -> None:
    assert ad.attach("iris").url == iris.url
    assert "iris" in [status.name for status in ad.list()]
    with pytest.raises(UnknownDeployment, match="did you mean 'iris'"):
        ad.attach("irs")


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_the_snippets_work_when_pasted(iris: ad.Deployment, served: Store, language: str) -> None:
    programs = {"curl": ["bash", "-c"], "python": [sys.executable, "-c"], "javascript": ["node", "-e"]}
    if shutil.which({"javascript": "node"}.get(language, language)) is None:
        pytest.skip(f"{language} is not installed")
    text = getattr(snippets(served, served.version("iris", 1), iris.url), language)
    assert iris.token not in text
    done = subprocess.run([*programs[language], text], capture_output=True, text=True, check=True, timeout=60)
    assert "setosa" in done.stdout


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_a_request_too_long_to_read_is_sent_from_its_file(
    served: Store, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(served.home.parent))  # the usual case: the state folder is below it
    wide = np.arange(900.0).reshape(2, 450)
    dep = ad.deploy(LinearRegression().fit(wide, [0.0, 1.0]), "wide", wide, quiet=True)
    programs = {"curl": ["bash", "-c"], "python": [sys.executable, "-c"], "javascript": ["node", "-e"]}
    if shutil.which({"javascript": "node"}.get(language, language)) is None:
        pytest.skip(f"{language} is not installed")
    text = getattr(snippets(served, served.version("wide", dep.version), dep.url), language)
    assert len(text) < 1500
    assert str(served.home) not in text, "a shared notebook would carry the user's name"
    done = subprocess.run([*programs[language], text], capture_output=True, text=True, check=True, timeout=60)
    assert "predictions" in done.stdout


def test_a_changed_model_is_a_new_version_at_the_same_url_and_can_be_rolled_back(served: Store) -> None:
    first = ad.deploy(DecisionTreeClassifier(max_depth=1).fit(X, Y), "tree", X, quiet=True)
    url, before = first.url, first.predict(X)
    second = ad.deploy(DecisionTreeClassifier(max_depth=3).fit(X, Y), "tree", X, quiet=True, note="deeper")
    assert (second.version, second.url) == (2, url)
    changed = int((second.predict(X) != before).sum())
    difference = second.diff()
    assert (difference.old, difference.new, difference.differing) == (1, 2, changed)
    assert f"{changed} of 150 rows" in str(second)
    assert second.versions()[1].note == "deeper"

    assert second.rollback().version == 1
    assert np.array_equal(first.predict(X), before)
    assert first.url == url
    with pytest.raises(UnknownVersion, match="no earlier version"):
        second.rollback()
    with pytest.raises(InvalidOption, match="already"):
        second.rollback(1)
    with pytest.raises(UnknownVersion, match="has no version 7"):
        second.rollback(7)
    assert second.rollback(2).version == 2
    assert second.rollback().version == 1


def test_unchanged_content_is_recognised_and_served_again_where_it_was_stopped(served: Store) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    dep = ad.deploy(model, "same", X, quiet=True)
    url = dep.url
    generation = dep.status.generation
    again = ad.deploy(model, "same", X, quiet=True)
    assert (again.version, again.status.generation) == (1, generation), "nothing was rebuilt, nothing restarted"
    assert "nothing was built" in str(again)
    dep.stop()
    assert dep.status.state == "stopped"
    with pytest.raises(StartFailed, match="does not answer"):
        dep.predict(X[:1])
    assert ad.deploy(model, "same", X, quiet=True).url == url
    assert dep.predict(X[:1]) == model.predict(X[:1])


def test_the_status_tells_what_was_answered(served: Store, classifier: Any) -> None:
    dep = ad.deploy(classifier, "counted", X, quiet=True)
    for _ in range(4):
        dep.predict(X[:2])
    with pytest.raises(InvalidInputs):
        dep.predict(X[:2, :1])
    dep.stop()  # the worker writes what it has counted before it ends
    traffic = dep.status.last_minute
    assert traffic is not None
    assert (traffic.requests, traffic.refused, traffic.failed) == (6, 1, 0)
    assert "last minute: 6 requests, p50" in dep.status.text()
    dep.rm()


def test_a_restart_takes_the_settings_of_now(served: Store, classifier: Any) -> None:
    dep = ad.deploy(classifier, "limits", X, quiet=True)
    settings.set_option("max_rows", 2)
    try:
        assert len(dep.predict(X[:3])) == 3, "a running deployment keeps what it was deployed with"
        dep.restart()
        with pytest.raises(BodyTooLarge, match="3 rows"):
            dep.predict(X[:3])
    finally:
        settings.reset()
    dep.restart()
    assert len(dep.predict(X[:3])) == 3
    dep.rm()


def test_stop_start_restart_and_rm(served: Store) -> None:
    dep = ad.deploy(DecisionTreeClassifier().fit(X, Y), "short", X, quiet=True, workers=2)
    url, generation = dep.url, dep.status.generation
    assert len(dep.status.workers) == 2
    assert dep.restart().status.generation > generation
    assert dep.stop().status.state == "stopped"
    assert "%deploy start short" in str(dep)
    assert dep.start().url == url
    assert dep.test().as_verified is True
    ad.deploy(DecisionTreeClassifier(max_depth=1).fit(X, Y), "short", X, quiet=True)
    folders = [served.folder("short") / path for path in (dep.versions()[0].model_path, dep.versions()[0].bento_path)]
    assert all(folder.is_dir() for folder in folders)
    dep.rm(versions=True)
    assert [version.number for version in dep.versions()] == [2]
    assert not any(folder.exists() for folder in folders)
    assert dep.test().version == 2
    dep.rm()
    assert not served.folder("short").exists()
    assert dep._repr_mimebundle_()["text/plain"] == "short has been removed"
    with pytest.raises(UnknownDeployment):
        dep.rm()


def test_a_dry_run_changes_nothing(served: Store) -> None:
    plan = ad.deploy(DecisionTreeClassifier().fit(X, Y), "planned", X, dry_run=True, quiet=True)
    assert "would be v1 of planned" in plan.summary
    assert not served.exists("planned")
    assert served.versions("planned") == []


def test_what_cannot_work_is_refused_before_anything_is_built(served: Store, classifier: Any) -> None:
    with pytest.raises(InvalidName, match="use 'my-model'"):
        ad.deploy(classifier, "My model", X)
    with pytest.raises(InvalidOption, match="--workers 0"):
        ad.deploy(classifier, "refused", X, workers=0)
    with pytest.raises(InvalidOption, match="--port 99999"):
        ad.deploy(classifier, "refused", X, port=99_999)
    with pytest.raises(BadSample):
        ad.deploy(classifier, "refused")
    assert not served.exists("refused")


def test_the_magic_deploys_and_binds_out(served: Store, ipython_shell: InteractiveShell, capsys: Any) -> None:
    namespace = ipython_shell.user_ns
    namespace.update(X=X, Y=Y, DecisionTreeClassifier=DecisionTreeClassifier)
    cell = "%%deploy magic --sample X --out dep\nclf = DecisionTreeClassifier().fit(X, Y)\n"
    assert ipython_shell.run_cell(cell).success
    out, err = capsys.readouterr()
    assert "✓ first prediction" in err
    assert "● magic v1" in out
    assert np.array_equal(namespace["dep"].predict(X), namespace["clf"].predict(X))
    assert ipython_shell.run_cell("%deploy status magic").success
    assert "running" in capsys.readouterr().out
    assert ipython_shell.run_cell("%deploy attach magic --out again").success
    assert namespace["again"].url == namespace["dep"].url


def test_the_magic_s_errors_are_plain_and_stop_the_run(
    served: Store, ipython_shell: InteractiveShell, capsys: Any
) -> None:
    ipython_shell.user_ns.update(X_test=X, clf=DecisionTreeClassifier().fit(X, Y))
    result = ipython_shell.run_cell("%%deploy nosample --model clf")
    assert isinstance(result.error_in_exec, BadSample)
    shown = "".join(capsys.readouterr())
    assert "%%deploy nosample --model clf --sample X_test" in shown
    assert "Traceback" not in shown
    assert 'File "' not in shown


def test_the_command_does_the_same(served: Store, iris: ad.Deployment, capsys: Any, tmp_path: Path) -> None:
    assert cli.main(["--json", "status", "iris"]) == 0
    assert json.loads(capsys.readouterr().out)["url"] == iris.url
    assert cli.main(["test", "iris"]) == 0
    assert "as verified" in capsys.readouterr().out
    (tmp_path / "halve_it.py").write_text("def halve(x):\n    return [row[0] / 2 for row in x]\n")
    (tmp_path / "rows.json").write_text("[[1.0, 2.0], [3.0, 4.0]]")
    words = ["deploy", "halved", "--model", f"{tmp_path}/halve_it.py:halve", "--sample", f"{tmp_path}/rows.json"]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert "✓ first prediction" in err
    assert "halved v1" in out
    assert ad.attach("halved").predict([[8.0, 1.0]]) == [4.0]
    assert cli.main(["rm", "halved"]) == 0


def test_doctor_is_well_and_finds_damage(served: Store) -> None:
    dep = ad.deploy(DecisionTreeClassifier().fit(X, Y), "sick", X, quiet=True)
    checks = ad.doctor()
    assert [check for check in checks if check.state == "fail"] == []
    assert any(check.what.startswith("sick: 1 version") for check in checks)
    version = served.version("sick", 1)
    model = served.folder("sick") / version.model_path / version.artifacts[0].path
    model.chmod(0o600)
    model.write_bytes(model.read_bytes() + b" ")
    (served.folder("sick") / "token").chmod(0o644)
    told = {check.what: check for check in ad.doctor() if check.state == "fail"}
    assert any(f"sick v1: {model.name} has changed" in what for what in told)
    assert told["sick: others can read the token"].fix.startswith("chmod 600")
    assert stat.S_IMODE((served.folder("sick") / "token").stat().st_mode) == 0o644, "doctor changes nothing"
    dep.rm()


def test_the_supervisor_is_begun_anew_with_what_is_here_and_serves_on(
    iris: ad.Deployment, served: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = connect(served, start=False)
    before, workers = supervisor.ping()["pid"], [worker.pid for worker in supervisor.status("iris").workers]
    building = Activity(id="1", name="iris", title="containerize iris", started_s=time.time())
    supervisor.activity(building)
    with pytest.raises(InvalidOption, match="the supervisor is at work: containerize iris"):
        ad.doctor(restart=True)
    assert supervisor.ping()["pid"] == before
    supervisor.activity(msgspec.structs.replace(building, state="done"))
    monkeypatch.setenv("AUTODEPLOY_IMAGE_BASE", "registry.example.com/base:1")
    assert [check.what for check in ad.doctor(restart=True) if check.state == "fail"] == []
    after = supervisor.ping()["pid"]
    assert after != before
    assert psutil.Process(after).environ()["AUTODEPLOY_IMAGE_BASE"] == "registry.example.com/base:1"
    assert [worker.pid for worker in supervisor.status("iris").workers] == workers
    assert iris.predict(X[:1]).shape == (1,)


def test_open_gives_the_page(iris: ad.Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert iris.open() == f"{iris.url}/"
    assert opened == [f"{iris.url}/#token={iris.token}"], "in the fragment, which is sent to no server"
