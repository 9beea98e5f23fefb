"""Canary, shadow, promotion: through the handle, the magics and the command, on the real supervisor."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from IPython.core.interactiveshell import InteractiveShell
from records import make_status, make_version
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y

import autodeploy_magic as ad
from autodeploy_magic.calling.snippets import Snippets
from autodeploy_magic.contracts import Desired, Traffic
from autodeploy_magic.errors import InvalidOption, SupervisorFailed, UnknownDeployment, UnknownVersion
from autodeploy_magic.metrics import INSERT_COMPARISON, ComparisonRow, open_for_writing
from autodeploy_magic.notebook.result import Card, Outcome, ShownStatus
from autodeploy_magic.notebook.traffic import newest_beside, share_of, traffic_of
from autodeploy_magic.notebook.views import Versions, to_json
from autodeploy_magic.serve.record import Recorder
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = pytest.mark.timeout(180)


def model(c: float) -> Any:
    return LogisticRegression(C=c, max_iter=500).fit(X, NAMES[Y])


@pytest.fixture
def iris(store: Store) -> Iterator[ad.Deployment]:
    """Three versions, of which the newest serves."""
    for c in (1.0, 0.5, 0.1):
        dep = ad.deploy(model(c), "iris", X, quiet=True)
    yield dep
    try:
        connect(store, start=False).shutdown(stop_deployments=True)
    except SupervisorFailed:
        return


def answers(dep: ad.Deployment, count: int) -> Counter[int]:
    """Which versions answered."""
    return Counter(dep._call({"inputs": X[i : i + 1].tolist()})["version"] for i in range(count))


def test_a_canary_is_put_beside_compared_and_promoted(iris: ad.Deployment, store: Store) -> None:
    shown = iris.canary(1, share=0.5)
    assert [(item.version, item.role, item.share) for item in shown.versions] == [
        (3, "champion", 0.5),
        (1, "canary", 0.5),
    ]
    assert set(answers(iris, 60)) == {3, 1}
    assert iris.version == 3  # the champion
    assert "v1 canary 50%" in str(iris)
    assert "v1 canary 50%" in str(iris.status)
    assert str(iris.versions()).count("◐ canary") == 1
    promoted = iris.promote()
    assert (promoted.version, iris.status.traffic.versions) == (1, ())
    assert set(answers(iris, 20)) == {1}
    assert iris.rollback().version == 3  # to the champion before


def test_the_newest_other_version_is_the_one_that_is_meant(iris: ad.Deployment) -> None:
    assert iris.shadow().versions[1].version == 2
    assert iris.canary(share="1%").versions[1].version == 2  # and the shadow it was it is no longer
    assert iris.status.traffic.shadow == 0
    assert [item.role for item in iris.shadow(2).versions] == ["champion", "shadow"]
    assert [item.role for item in iris.traffic(off=True).versions] == ["champion"]


def test_a_new_version_is_built_and_put_beside(iris: ad.Deployment, store: Store) -> None:
    dep = ad.deploy(model(0.001), "iris", X, canary="20%", quiet=True)
    assert (dep.version, dep.status.traffic.canary, dep.status.traffic.share) == (3, 4, 0.2)
    told = str(dep)
    assert "v4 is the canary: it gets 20% of the requests" in told
    assert "rows of the sample differently from v3" in told
    assert "%deploy promote iris" in told
    shadowed = ad.deploy(model(0.001), "iris", X, shadow=True, quiet=True)  # the same once more: a shadow now
    assert (shadowed.status.traffic.canary, shadowed.status.traffic.shadow) == (0, 4)
    assert "v4 is the shadow" in str(shadowed)
    assert ad.deploy(model(0.1), "iris", X, quiet=True).status.traffic.shadow == 4  # unchanged: all stays as it is
    assert ad.deploy(model(0.2), "iris", X, quiet=True).status.traffic.versions == ()  # a new champion ends it
    assert store.desired("iris").history == (1, 2, 3)


def test_what_makes_no_sense_is_refused_before_anything_is_built(iris: ad.Deployment, store: Store) -> None:
    for more, told in (
        ({"canary": "150%"}, "not a share"),
        ({"canary": "ten"}, "not a share"),
        ({"canary": 0.1, "shadow": True}, "canary and shadow at once"),
    ):
        with pytest.raises(InvalidOption, match=told):
            ad.deploy(model(0.3), "iris", X, quiet=True, **more)  # type: ignore[call-overload]
    with pytest.raises(InvalidOption, match="no champion that serves"):
        ad.deploy(model(0.3), "other", X, canary=0.1, quiet=True)
    with pytest.raises(InvalidOption, match="the very model that serves"):
        ad.deploy(model(0.1), "iris", X, canary=0.1, quiet=True)
    with pytest.raises(InvalidOption, match="neither canary nor shadow"):
        iris.promote()
    with pytest.raises(InvalidOption, match="is the champion already"):
        iris.promote(3)
    with pytest.raises(UnknownVersion):
        iris.canary(9)
    with pytest.raises(UnknownVersion):
        iris.promote(9)
    iris.stop()
    with pytest.raises(InvalidOption, match="no champion that serves"):
        ad.deploy(model(0.3), "iris", X, canary=0.1, quiet=True)
    assert [version.number for version in iris.versions()] == [1, 2, 3]
    assert iris.start().status.state == "running"


def test_versions_that_something_is_given_to_are_not_removed(iris: ad.Deployment) -> None:
    iris.canary(1)
    assert "v1, v3 stay" in str(iris.rm(versions=True))
    assert [version.number for version in iris.versions()] == [1, 3]


def test_the_magic_and_the_command_say_the_same(
    iris: ad.Deployment, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("deploy", "canary iris 1 --share 25%")
    assert "25%" in capsys.readouterr().out
    shell.user_ns |= {"X": X, "best": model(0.01)}
    shell.run_cell_magic("deploy", "iris --sample X --model best --shadow --quiet", "\n")
    command = [sys.executable, "-m", "autodeploy_magic", "traffic", "iris"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert [line.split()[:2] for line in found.splitlines()[2:5]] == [
        ["v3", "champion"],
        ["v1", "canary"],
        ["v4", "shadow"],
    ]
    found = subprocess.run([*command, "--off", "--json"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert [item["role"] for item in msgspec.json.decode(found)["versions"]] == ["champion"]


def test_once_the_bentos_own_app_is_loaded_a_new_version_gets_new_workers(iris: ad.Deployment) -> None:
    def bentos(path: str) -> httpx.Response:
        return httpx.get(f"{iris.url}{path}", headers={"authorization": f"Bearer {iris._store.token('iris')}"})

    workers = [worker.pid for worker in iris.status.workers]
    iris.rollback()
    assert [worker.pid for worker in iris.status.workers] == workers
    assert bentos("/schema.json").status_code == 200  # the Bento of the version that took its place
    iris.promote(3)
    assert [worker.pid for worker in iris.status.workers] != workers
    assert bentos("/schema.json").status_code == 200
    assert iris.canary(1).versions[1].role == "canary"  # the champion's Bento stays


# --- without a supervisor


@pytest.mark.parametrize(
    ("typed", "share"), [("10%", 0.1), ("0.1", 0.1), (0.25, 0.25), (1, 1.0), ("100%", 1.0), ("0.5%", 0.005)]
)
def test_a_share_is_typed_as_people_do(typed: Any, share: float) -> None:
    assert share_of(typed) == pytest.approx(share)


@pytest.mark.parametrize("typed", ["0", "0%", "-1", "10", "101%", "a%", "", "nan"])
def test_what_is_no_share_is_refused(typed: str) -> None:
    with pytest.raises(InvalidOption, match="not a share of the requests"):
        share_of(typed)


def desired(**more: Any) -> Desired:
    return Desired(name="iris", version=3, executable=sys.executable, **more)


def test_which_version_is_meant() -> None:
    assert newest_beside([1, 2, 3], desired()) == 2
    with pytest.raises(UnknownVersion):
        newest_beside([3], desired())


def test_the_table_tells_what_was_recorded(store: Store) -> None:
    with pytest.raises(UnknownDeployment):
        ad.attach("iris")
    wanted = desired(traffic=Traffic(canary=2, share=0.25, shadow=1, loaded=(2, 4), since=1000.0))
    store.save_desired(wanted)
    nothing = traffic_of(store, wanted)
    assert [(item.version, item.requests, item.failed) for item in nothing.versions] == [
        *((3, 0, None), (2, 0, None), (1, 0, None), (4, 0, None))
    ]
    file = store.metrics_file("iris")
    recorder = Recorder(file, worker=1)
    recorder.start()
    for version, statuses in ((3, [200] * 8), (2, [200] * 3 + [500])):
        for status in statuses:
            recorder.observe(version, status, 0.002, 1, 10, 10)
    recorder.close()
    before = ComparisonRow(900, 1, 3, 1, 50, 50, 50, 0, 0, 0.0, '{"10": 50}', '{"10": 50}')  # before it was of interest
    row = ComparisonRow(2000, 1, 3, 1, 10, 20, 5, 1, 2, 1.0, '{"10": 10}', '{"20": 9}')
    connection = open_for_writing(file)
    connection.executemany(INSERT_COMPARISON, [before, row, row._replace(worker=2)])
    connection.close()
    shown = traffic_of(store, wanted)
    champion, canary, shadow, loaded = shown.versions
    assert (champion.share, champion.requests, champion.failed) == (0.75, 8, 0.0)
    assert (canary.share, canary.requests, canary.failed) == (0.25, 4, 0.25)
    assert (shadow.share, shadow.requests, shadow.failed, shadow.differing, shadow.dropped) == (None, 20, 0.1, 0.25, 4)
    assert canary.p50_s == pytest.approx(0.002, rel=0.02)
    assert (loaded.version, loaded.role, loaded.requests) == (4, "loaded", 0)
    for text in (str(shown), str(shown.html())):
        assert "25.00%" in text
        assert "copies" in text
        assert "v1 could not keep up: 4 copies were not compared" in text
        assert "%deploy promote iris 2" in text
    assert to_json(shown)["versions"][2]["role"] == "shadow"


def test_pictures_tell_what_versions_are_given() -> None:
    status = make_status(traffic=Traffic(canary=2, share=0.1, shadow=3, loaded=(4,)), grpc_url="127.0.0.1:21000")
    outcome = Outcome(2, None, fresh=True, first_answer_s=None, role="canary: it gets 10% of the requests")
    card = Card(status, make_version(), Snippets(curl="", python="", javascript=""), outcome)
    for text in (card.text(), str(card.html()), ShownStatus.of(status).text(), str(ShownStatus.of(status).html())):
        assert "v2 canary 10%, v3 shadow, v4 by name" in text
        assert "127.0.0.1:21000" in text
    assert "v2 is the canary: it gets 10% of the requests" in card.text()
    assert "first answer" not in card.text()
    versions = Versions([make_version(number) for number in (1, 2, 3, 4)])
    versions.name, versions.serving, versions.traffic = "iris", 1, status.traffic
    marks = [line.split("v")[0].strip() for line in str(versions).splitlines()[1:]]
    assert marks == ["○ by name", "○ shadow", "◐ canary", "●"]


def test_what_is_for_the_whole_deployment_is_refused_beside_a_canary(iris: ad.Deployment) -> None:
    whole: list[dict[str, Any]] = [{"workers": 2}, {"port": 20_000}, {"auth": False}, {"tls": "auto"}, {"grpc": True}]
    beside: list[dict[str, Any]] = [{"canary": "10%"}, {"shadow": True}]
    for options in [one | other for one in whole for other in beside]:
        with pytest.raises(InvalidOption, match=f"--{next(iter(options))} is for the whole deployment"):
            ad.deploy(model(0.01), "iris", X, quiet=True, **options)
    assert len(iris.versions()) == 3
