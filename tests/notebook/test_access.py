"""How requests get in, as a person sees it: tokens, ports without one, HTTPS; on a real supervisor and real HTTP."""

from __future__ import annotations

import html
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certificates
import pytest
from IPython.core.interactiveshell import InteractiveShell
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y
from world import until

import autodeploy_magic as ad
from autodeploy_magic import cli, settings, tls
from autodeploy_magic.address import address_of
from autodeploy_magic.calling.http import Connection
from autodeploy_magic.calling.snippets import Snippets, snippets
from autodeploy_magic.errors import InvalidOption, MissingPackage, StartFailed, SupervisorFailed, Unauthorized
from autodeploy_magic.notebook.text import OPEN_TEXT
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = pytest.mark.timeout(180)

BODY = {"inputs": X[:1].tolist()}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One state folder and one supervisor for the tests of this file."""
    home = tmp_path_factory.mktemp("served") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(home))
        patch.setenv("AUTODEPLOY_DRAIN_S", "0.2")
        settings.reset()
        store = Store(home)
        yield store
        try:
            connect(store, start=False).shutdown(stop_deployments=True)
        except SupervisorFailed:
            return


@pytest.fixture(scope="module")
def model() -> Any:
    return LogisticRegression(max_iter=500).fit(X, NAMES[Y])


@pytest.fixture(scope="module")
def guarded(served: Store, model: Any) -> ad.Deployment:
    """With HTTPS and a token."""
    return ad.deploy(model, "guarded", X, tls="auto", quiet=True)


@pytest.fixture(scope="module")
def open_one(served: Store, model: Any) -> ad.Deployment:
    """Without a token."""
    return ad.deploy(model, "open", X, auth=False, quiet=True)


@pytest.fixture
def on_served(shell: InteractiveShell, served: Store, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """The shell on this file's state folder."""
    monkeypatch.setenv("AUTODEPLOY_HOME", str(served.home))
    settings.reset()
    return shell


def run(snippet: Snippets, language: str) -> str:
    """What a snippet prints when it is pasted."""
    programs = {"curl": ["bash", "-c"], "python": [sys.executable, "-c"], "javascript": ["node", "-e"]}
    if shutil.which({"javascript": "node"}.get(language, language)) is None:
        pytest.skip(f"{language} is not installed")
    text = getattr(snippet, language)
    done = subprocess.run([*programs[language], text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the token


def test_the_token_is_shown_only_where_that_is_asked_for(guarded: ad.Deployment, served: Store) -> None:
    token = served.token("guarded")
    assert str(guarded.token) == guarded.token == token
    assert f"Bearer {guarded.token}" == f"Bearer {token}"
    for shown in (repr(guarded.token), guarded.access().text(), str(guarded.access().html()), str(guarded)):
        assert token not in shown
    assert str(served.token_file("guarded")) in guarded.access().text()
    assert token in guarded.access(show=True).text()
    assert token in str(guarded.access(show=True).html())


def test_the_value_of_a_cell_is_masked(on_served: InteractiveShell, guarded: ad.Deployment, served: Store) -> None:
    formatted, _ = on_served.display_formatter.format(guarded.token)  # type: ignore[union-attr]
    assert served.token("guarded") not in json.dumps(formatted)


def test_a_handle_in_another_kernel_takes_up_a_new_token(served: Store, model: Any) -> None:
    dep = ad.deploy(model, "rotated", X, quiet=True)
    other = ad.attach("rotated")
    other.predict(X[:1])
    old = str(dep.token)
    access = dep.access(rotate=True)
    assert access.rotated
    assert "refused by all workers" in access.summary
    assert list(other.predict(X[:1])) == ["setosa"]
    until(lambda: is_refused(Connection("rotated", address_of(served.desired("rotated")), old)), within_s=20)
    assert list(other.predict(X[:1])) == ["setosa"]
    dep.rm()


def is_refused(connection: Connection) -> bool:
    try:
        connection.post("/predict", BODY)
    except Unauthorized:
        return True
    return False


def test_the_old_token_has_its_grace(guarded: ad.Deployment, served: Store) -> None:
    old = str(guarded.token)
    access = guarded.access(rotate=True, grace=600)
    assert "the old one is good for" in access.summary
    assert guarded.token != old
    trusted = guarded.certificate
    answer = Connection("guarded", address_of(served.desired("guarded")), old, trusted=trusted).post("/predict", BODY)
    assert answer["predictions"] == ["setosa"]
    assert "1 before it still good" in guarded.access().text()
    assert old not in guarded.access(show=True).text()


def test_grace_goes_with_a_rotation(guarded: ad.Deployment) -> None:
    with pytest.raises(InvalidOption, match="--grace goes with --rotate"):
        guarded.access(grace=5)
    with pytest.raises(InvalidOption, match="not a number of seconds"):
        guarded.access(rotate=True, grace=-1)


def test_the_verb_rotates(
    on_served: InteractiveShell, guarded: ad.Deployment, served: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = served.token("guarded")
    on_served.run_line_magic("deploy", "token guarded --rotate --grace 30")
    shown = capsys.readouterr().out
    after = served.token("guarded")
    assert after != before
    assert "guarded has a new token" in shown
    assert before not in shown
    assert after not in shown
    assert cli.main(["token", "guarded", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["token"]) == ("guarded", "")
    assert cli.main(["token", "guarded", "--show"]) == 0
    assert after in capsys.readouterr().out


# --- no token


def test_a_port_without_a_token_says_so_in_amber(open_one: ad.Deployment) -> None:
    assert open_one.status.auth is False
    for picture in (open_one, open_one.status, ad.list(), open_one.access()):
        assert OPEN_TEXT in picture.text()
    for picture in (open_one, open_one.status, ad.list()):
        assert 'class="tag warn"' in str(picture.html())
        assert "no token" in str(picture.html())
    assert any(check.state == "warn" and OPEN_TEXT in check.what for check in ad.doctor())
    assert list(open_one.predict(X[:1])) == ["setosa"]


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_its_snippets_send_none(open_one: ad.Deployment, served: Store, language: str) -> None:
    snippet = snippets(served, served.version("open", 1), open_one.url, auth=False)
    assert "Bearer" not in getattr(snippet, language)
    assert "setosa" in run(snippet, language)
    assert "Bearer" not in str(open_one)


def test_it_stays_as_it_is_until_it_is_told_otherwise(served: Store, model: Any) -> None:
    dep = ad.deploy(model, "kept", X, auth=False, tls="auto", quiet=True)
    ad.deploy(model, "kept", X, quiet=True)
    dep.restart()
    assert (served.desired("kept").auth, served.desired("kept").tls) == (False, "auto")
    ad.deploy(model, "kept", X, auth=True, tls="off", quiet=True)
    assert (served.desired("kept").auth, served.desired("kept").tls) == (True, "")
    assert dep.url.startswith("http:")
    assert dep.certificate is None
    with pytest.raises(Unauthorized):
        Connection("kept", address_of(served.desired("kept")), "").post("/predict", BODY)
    assert list(dep.predict(X[:1])) == ["setosa"]
    dep.rm()


def test_a_port_that_others_reach_is_refused_before_the_cell_is_run(
    on_served: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTODEPLOY_HOST", "0.0.0.0")
    on_served.user_ns["X"] = X
    with pytest.raises(InvalidOption, match="needs its token"):
        on_served.run_cell_magic("deploy", "public --sample X --no-auth", "ran = True")
    assert "ran" not in on_served.user_ns


def test_open_does_without_the_token_too(open_one: ad.Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    open_one.open()
    assert opened == [f"{open_one.url}/"]


# --- HTTPS


def test_https_is_verified_and_says_how_long_it_is_good(guarded: ad.Deployment, served: Store) -> None:
    assert guarded.url.startswith("https://")
    assert guarded.certificate == tls.made_files(served.tls_folder("guarded"))[1]
    assert list(guarded.predict(X[:1])) == ["setosa"]
    days = "397 more days"
    assert days in guarded.status.text()
    assert days in str(guarded)
    assert days in str(guarded.html())
    assert any(check.state == "ok" and days in check.what for check in ad.doctor())


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_its_snippets_verify_it(guarded: ad.Deployment, served: Store, language: str) -> None:
    snippet = snippets(served, served.version("guarded", 1), guarded.url, trusted=guarded.certificate)
    assert str(guarded.certificate) in html.unescape(str(guarded.html()))
    assert "setosa" in run(snippet, language)


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_the_snippets_take_a_certificate_of_an_authority(
    served: Store, model: Any, tmp_path: Path, language: str
) -> None:
    root_key, key = certificates.new_key(), certificates.new_key()
    root = certificates.certificate(root_key, ["Root"], authority=True)
    leaf = certificates.certificate(key, ["127.0.0.1"], issuer=(root, root_key))
    file = certificates.write(tmp_path / "leaf.pem", leaf, key)
    dep = ad.deploy(model, "brought", X, tls=str(file), quiet=True)
    assert dep.certificate == file
    if language == "javascript" and _node_version() < (22, 9):
        pytest.skip("node trusts a certificate without its root from 22.9 on")
    assert "setosa" in run(snippets(served, served.version("brought", 1), dep.url, trusted=dep.certificate), language)
    dep.rm()


def _node_version() -> tuple[int, ...]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in told.strip().removeprefix("v").split(".")[:2])


def test_a_server_that_only_looks_like_it_is_not_believed(
    guarded: ad.Deployment, served: Store, tmp_path: Path
) -> None:
    key = certificates.new_key()
    other = certificates.write(tmp_path / "other.pem", certificates.certificate(key, ["127.0.0.1"]))
    connection = Connection("guarded", address_of(served.desired("guarded")), str(guarded.token), trusted=other)
    with pytest.raises(StartFailed, match="not to be trusted"):
        connection.post("/predict", BODY)


def test_a_certificate_that_is_no_good_is_refused_before_the_cell_is_run(
    on_served: InteractiveShell, tmp_path: Path
) -> None:
    on_served.user_ns["X"] = X
    with pytest.raises(InvalidOption, match="there is no such file"):
        on_served.run_cell_magic("deploy", f"bad --sample X --tls {tmp_path / 'nowhere.pem'}", "ran = True")
    assert "ran" not in on_served.user_ns


def test_without_the_package_the_error_says_what_to_install(
    served: Store, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingPackage) as caught:
        ad.deploy(model, "fresh", X, tls="auto", quiet=True)
    assert caught.value.fix == "pip install 'autodeploy_magic[tls]'"


def test_doctor_tells_of_a_certificate_that_ends(served: Store, model: Any, tmp_path: Path) -> None:
    key = certificates.new_key()
    file = certificates.write(tmp_path / "mine.pem", certificates.certificate(key, ["127.0.0.1"], days=20), key)
    dep = ad.deploy(model, "ending", X, tls=str(file), quiet=True)
    assert any(check.state == "warn" and "20 more days" in check.what for check in ad.doctor())
    assert 'class="warn"' in str(dep.status.html())
    certificates.write(file, certificates.certificate(key, ["127.0.0.1"], days=-1, since_days=9), key)
    assert any(check.state == "fail" and "ended on" in check.what for check in ad.doctor())
    file.unlink()
    assert any(check.state == "fail" and "gives no certificate" in check.what for check in ad.doctor())
    assert "cannot be read" in dep.status.text()
    dep.rm()


# --- what lies on the disk


def test_everything_in_the_state_folder_is_its_owner_s_alone(
    guarded: ad.Deployment, open_one: ad.Deployment, served: Store, model: Any
) -> None:
    def upper(y: Any) -> Any:
        return [name.upper() for name in y]

    ad.deploy(model, "guarded", X[:50], postprocess=upper, quiet=True)  # a second version, with code
    guarded.access(rotate=True, grace=60)
    assert list(guarded.predict(X[:1])) == ["SETOSA"]
    assert guarded.status.workers
    loose: list[str] = []
    seen: set[str] = set()
    for base in (served.home, served.runtime_dir):
        for folder, folders, files in os.walk(base):
            for path in (Path(folder), *(Path(folder, name) for name in (*folders, *files))):
                try:
                    mode = path.lstat().st_mode
                except FileNotFoundError:
                    continue  # SQLite's journals come and go
                seen.add(path.name)
                if stat.S_IMODE(mode) & 0o077 and not stat.S_ISLNK(mode):
                    loose.append(f"{stat.filemode(mode)} {path}")
    assert loose == []
    assert {
        *("token", "token.old", "server.pem", "certificate.pem", "deployment.json", "runtime.json", "worker.log"),
        *("metrics.sqlite", "version.json", "service.py", "supervisor.json", "supervisor.log", "supervisor.sock"),
    } <= seen
