"""The state folder: whole records whatever happens, names that are safe everywhere, nobody else's files touched."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic import store as store_module
from autodeploy_magic.contracts import SCHEMA, Desired, Environment, Signature, Trust, Version, decode
from autodeploy_magic.errors import (
    DiskFull,
    InvalidName,
    StoreFailed,
    UnknownDeployment,
    UnknownVersion,
    UnreadableRecord,
)
from autodeploy_magic.store import Store, check_name

ONLY_ROOT_PASSES = pytest.mark.skipif(os.getuid() != 0, reason="giving a folder to another user takes root")


def desired(name: str = "iris", version: int = 1) -> Desired:
    return Desired(name=name, version=version, executable=sys.executable)


def version(number: int = 1, *, name: str = "iris", digest: str = "d1") -> Version:
    return Version(
        deployment=name,
        number=number,
        digest=digest,
        created_at="2026-01-01T00:00:00+00:00",
        task="classification",
        framework="sklearn",
        model_type="LogisticRegression",
        format="onnx",
        reason="faster",
        trust=Trust(level="green", reason="ONNX"),
        signature=Signature(container="ndarray", columns=()),
        outputs=(),
        artifacts=(),
        environment=Environment(python="3.11.2", platform="linux"),
        candidates=(),
        sample_rows=1,
    )


def commit(store: Store, record: Version) -> Path:
    with store.building(record.deployment), store.staging(record.deployment) as folder:
        (folder / "model.onnx").write_bytes(b"graph")
        return store.commit(record, folder)


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# --- names


@pytest.mark.parametrize("name", ["a", "iris", "iris-2", "a1-b2-c3", "x" * 40, "a--b"])
def test_a_good_name_is_returned(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a-",
        "1a",
        "Iris",
        "iris_2",
        "a b",
        "a/b",
        "../a",
        ".",
        "a.b",
        "x" * 41,
        "é",
        "iris\n",
        "a\x00b",
        "ⅰris",
    ],
)
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(name)
    assert repr(name) in caught.value.what
    assert store_module.NAME_RULE in caught.value.why


@given(st.text(max_size=60))
def test_a_name_is_good_or_the_proposal_in_its_refusal_is(name: str) -> None:
    if re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name):
        assert check_name(name) == name
        return
    with pytest.raises(InvalidName) as caught:
        check_name(name)
    proposal = re.fullmatch(r"use '(.+)'", caught.value.fix)
    if proposal:
        assert check_name(proposal[1]) == proposal[1]
    else:
        assert caught.value.fix == "choose another name"


@pytest.mark.parametrize(
    ("name", "proposal"), [("Iris Model", "iris-model"), ("My_Model!", "my-model"), ("2nd-try", "nd-try")]
)
def test_the_proposal_is_near_what_was_typed(name: str, proposal: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(name)
    assert caught.value.fix == f"use {proposal!r}"


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "a/../b"])
def test_no_name_leads_out_of_the_state_folder(store: Store, name: str) -> None:
    for use in (
        store.folder,
        store.exists,
        store.desired,
        store.token,
        store.remove,
        store.log_file,
        store.next_number,
    ):
        with pytest.raises(InvalidName):
            use(name)


# --- the folder itself


def test_opening_makes_private_folders(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "home")
    for folder in (store.home, store.home / "deployments"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    Store(tmp_path / "home")
    (tmp_path / "home").chmod(0o755)
    Store(tmp_path / "home")
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_a_folder_that_holds_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(StoreFailed) as caught:
        Store(tmp_path)
    assert str(tmp_path) in caught.value.what
    assert "AUTODEPLOY_HOME" in caught.value.fix
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_link_in_place_of_our_folder_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / "deployments").symlink_to(elsewhere)
    with pytest.raises(StoreFailed, match="not a folder of yours"):
        Store(home)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


@ONLY_ROOT_PASSES
def test_somebody_else_s_folder_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Store(home)
    os.chown(home, 65534, 65534)
    with pytest.raises(StoreFailed, match="not a folder of yours"):
        Store(home)


def test_a_file_in_place_of_our_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StoreFailed):
        Store(tmp_path / "home")


def test_the_environment_names_the_folder_and_an_argument_wins(home: Path, tmp_path: Path) -> None:
    assert Store().home == home
    assert Store(tmp_path / "other").home == tmp_path / "other"


def test_the_runtime_folder_is_short_private_and_the_same_for_all(store: Store) -> None:
    folder = store.runtime_dir
    try:
        assert folder == Store(store.home).runtime_dir
        assert len(str(folder / "supervisor.sock")) < 80  # a unix socket's path may have about 100 bytes
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        folder.rmdir()


def test_two_homes_have_two_runtime_folders(tmp_path: Path) -> None:
    folders = {Store(tmp_path / name).runtime_dir for name in ("one", "two")}
    try:
        assert len(folders) == 2
    finally:
        for folder in folders:
            folder.rmdir()


# --- deployments


def test_a_saved_deployment_is_found_again(store: Store) -> None:
    assert store.names() == []
    assert not store.exists("iris")
    store.save_desired(desired("wine", 3))
    store.save_desired(desired("iris"))
    assert store.names() == ["iris", "wine"]
    assert store.exists("iris")
    assert store.desired("wine") == desired("wine", 3)


def test_an_unknown_deployment_says_what_there_is(store: Store) -> None:
    with pytest.raises(UnknownDeployment, match="nothing has been deployed yet"):
        store.desired("iris")
    store.save_desired(desired("iris"))
    with pytest.raises(UnknownDeployment, match="did you mean 'iris'"):
        store.desired("irsi")
    with pytest.raises(UnknownDeployment, match="there are: iris"):
        store.desired("churn")


def test_a_damaged_record_names_its_file(store: Store) -> None:
    store.save_desired(desired())
    file = store.folder("iris") / "deployment.json"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(UnreadableRecord) as caught:
        store.desired("iris")
    assert str(file) in caught.value.what


def test_a_record_of_a_newer_release_is_refused_by_name(store: Store) -> None:
    store.save_desired(desired())
    file = store.folder("iris") / "deployment.json"
    file.write_bytes(file.read_bytes().replace(b'"schema": 1', f'"schema": {SCHEMA + 1}'.encode()))
    with pytest.raises(UnreadableRecord, match="newer release"):
        store.desired("iris")


def test_a_token_is_made_once_is_long_and_is_its_owner_s_alone(store: Store) -> None:
    token = store.token("iris")
    assert token == store.token("iris") == Store(store.home).token("iris")
    assert token != store.token("wine")
    assert len(token) >= 43  # 32 random bytes
    assert stat.S_IMODE((store.folder("iris") / "token").stat().st_mode) == 0o600


def test_two_processes_that_ask_at_once_get_the_same_token(store: Store) -> None:
    barrier = threading.Barrier(8)
    tokens = []

    def ask() -> None:
        barrier.wait()
        tokens.append(store.token("iris"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(tokens) == {store.token("iris")}


def test_what_is_removed_is_gone_and_the_rest_stays(store: Store) -> None:
    commit(store, version())
    store.save_desired(desired())
    store.save_desired(desired("wine"))
    store.remove("iris")
    assert store.names() == ["wine"]
    assert not store.folder("iris").exists()
    store.remove("iris")  # twice is fine: it is gone either way


# --- versions


def test_a_version_appears_whole_and_is_found_by_number_and_content(store: Store) -> None:
    folder = commit(store, version(1, digest="d1"))
    commit(store, version(2, digest="d2"))
    assert folder == store.version_folder("iris", 1)
    assert (folder / "model.onnx").read_bytes() == b"graph"
    assert [found.number for found in store.versions("iris")] == [1, 2]
    assert store.version("iris", 2) == version(2, digest="d2")
    assert store.by_digest("iris", "d1") == version(1, digest="d1")
    assert store.by_digest("iris", "d3") is None
    assert not (store.folder("iris") / "staging").exists()


def test_versions_are_in_order_beyond_four_digits(store: Store) -> None:
    for number in (9999, 10000, 2):
        commit(store, version(number, digest=f"d{number}"))
    assert [found.number for found in store.versions("iris")] == [2, 9999, 10000]
    assert store.next_number("iris") == 10001


def test_an_unknown_version_says_which_there_are(store: Store) -> None:
    with pytest.raises(UnknownVersion, match="it has: none"):
        store.version("iris", 1)
    commit(store, version(1))
    commit(store, version(2))
    with pytest.raises(UnknownVersion, match="it has: 1, 2"):
        store.version("iris", 3)


def test_a_number_is_never_used_again(store: Store) -> None:
    assert store.next_number("iris") == 1
    commit(store, version(1))
    folder = commit(store, version(2))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert store.next_number("iris") == 3


def test_a_build_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="half way"), store.staging("iris") as folder:  # noqa: PT012
        (folder / "model.onnx").write_bytes(b"half")
        raise RuntimeError("half way")
    assert not store.folder("iris").exists()
    assert store.next_number("iris") == 1


def test_a_failed_rebuild_leaves_the_old_version(store: Store) -> None:
    store.save_desired(desired())
    commit(store, version(1))
    with pytest.raises(RuntimeError, match="half way"), store.staging("iris"):
        raise RuntimeError("half way")
    assert store.version("iris", 1) == version(1)
    assert store.desired("iris") == desired()


def test_a_full_disk_at_the_last_moment_leaves_the_versions_as_they_were(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, version(1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", no_room)
        with pytest.raises(DiskFull):
            commit(store, version(2))
    assert [found.number for found in store.versions("iris")] == [1]


def test_a_staged_build_is_never_served_from(store: Store) -> None:
    with store.staging("iris") as folder:
        (folder / "version.json").write_text("{}")
        assert store.versions("iris") == []


def test_builds_of_one_deployment_take_turns_and_those_of_two_do_not(store: Store) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with Store(store.home).building("iris"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with store.building("iris"):
        inside.set()
        with Store(store.home).building("wine"):
            order.append("other")
        thread.join(0.2)  # it would be through by now, were it not waiting
        order.append("first")
    thread.join()
    assert order == ["other", "first", "second"]


def test_a_build_s_lock_goes_with_a_killed_process(store: Store) -> None:
    holder = (
        "import sys\nfrom autodeploy_magic.store import Store\n"
        "with Store(sys.argv[1]).building('iris'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(store.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.kill()
    with store.building("iris"):
        assert store.next_number("iris") == 1


def test_plain_values_and_records_are_written_whole(store: Store) -> None:
    store.save_desired(desired())
    store.write_json(store.runtime_file("iris"), {"workers": [1, 2]})
    assert store.runtime_file("iris").read_bytes() == b'{"workers":[1,2]}'
    store.write_json(store.runtime_file("iris"), desired())
    assert decode(Desired, store.runtime_file("iris").read_bytes()) == desired()


def test_trimming_keeps_what_serves_and_the_newest_of_the_others(store: Store) -> None:
    folder = store.folder("iris")
    for number in range(1, 6):
        record = msgspec.structs.replace(version(number), bento_path=f"bentoml/{number}", model_path=f"models/{number}")
        commit(store, record)
        (folder / f"bentoml/{number}").mkdir(parents=True)
        (folder / f"models/{number}").mkdir(parents=True)
    store.save_desired(desired(version=2))
    with store.building("iris"):
        assert store.trim("iris", keep=2) == [1, 3]
        assert [kept.number for kept in store.versions("iris")] == [2, 4, 5]
        assert sorted(entry.name for entry in (folder / "bentoml").iterdir()) == ["2", "4", "5"]
        assert sorted(entry.name for entry in (folder / "models").iterdir()) == ["2", "4", "5"]
        assert store.trim("iris", keep=2) == []
        assert store.trim("iris", keep=0) == [4, 5]
        assert store.next_number("iris") == 6
