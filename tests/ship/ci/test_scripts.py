"""The steps of the pipeline, run: what they do, what stops them, and what they say then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from piped import BEFORE, DIGEST, IMAGE, REPOSITORY, Piped, Prometheus, kept

from autodeploy_magic.ship.ci.scripts.parity import same, spread

Makes = Callable[[Any], Prometheus]
pytestmark = pytest.mark.timeout(240)


def steps(piped: Piped, job: str) -> list[dict[str, Any]]:
    workflow = yaml.safe_load((piped.folder / ".github/workflows/deploy-iris.yaml").read_text())
    return list(workflow["jobs"][job]["steps"])


def slow(query: str) -> float | None:
    """A canary that answers in 80 ms."""
    return 0.08 if "histogram_quantile" in query else kept(query)


def test_a_real_version_was_built_replayed_and_scanned(proved: Piped) -> None:
    version = json.loads((proved.out / "version.json").read_text())
    assert version["deployment"] == "iris"
    assert "numpy==" in (proved.out / "requirements.txt").read_text()
    parity = json.loads((proved.out / "parity.json").read_text())
    assert parity["agreement"] == 1.0
    assert parity["rows"] == 100
    scanned = (proved.out / "scan.txt").read_text()
    assert "pip-audit: no known vulnerability" in scanned
    assert "secrets: none" in scanned
    assert "not run: trivy is not installed" in scanned
    assert "looked at by nobody" in scanned


def test_the_image_is_known_by_its_digest_from_the_push_on(proved: Piped) -> None:
    assert (proved.out / "image.env").read_text() == f"IMAGE={IMAGE}\n"
    assert json.loads((proved.out / "sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    built = next(words for words in proved.calls("autodeploy") if "containerize" in words)
    reference = built[built.index("--tag") + 1]
    assert reference.startswith(f"{REPOSITORY}:")
    assert ["push", "--digestfile", str(proved.out / "digest"), reference] in proved.calls("podman")
    assert (proved.state / "password").read_text() == "pw-1"
    assert "pw-1" not in (proved.state / "calls").read_text()  # and on no command line


def test_a_good_canary_is_promoted(piped: Piped, prometheus: Makes) -> None:
    server = prometheus(kept)
    piped.settings(PROMETHEUS_URL=server.url)
    piped.more["PROMETHEUS_TOKEN"] = "a-token"
    signed = piped.run("ci/sign.sh")
    assert signed.returncode == 0, signed.stderr
    done = piped.job(steps(piped, "deploy"))
    assert [name for name, one in done.items() if one.returncode] == [], {n: o.stderr for n, o in done.items()}
    assert list(done) == ["cluster", "canary", "watch", "promote"]
    assert piped.cluster() == {
        "image": IMAGE,
        "paused": False,
        "ready": True,
        "sets": {"iris-0": BEFORE, "iris-1": IMAGE},
    }
    told = [" ".join(words[2:4]) for words in piped.calls("kubectl")]
    order = ["set image", "rollout pause", "rollout resume", "rollout status"]
    assert [one for one in told if one in order] == order
    assert all('namespace="default", pod=~"iris-1-.+"' in query for query in server.queries)
    assert set(server.tokens) == {"Bearer a-token"}
    cosign = [words for words in piped.calls("cosign") if words[0] != "login"]
    assert [words[0] for words in cosign] == ["sign", "attest", "attest"]
    assert all(words[-1] == IMAGE for words in cosign)
    provenance = json.loads((piped.out / "provenance.json").read_text())
    assert len(provenance["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"]) == 40
    assert "secret-key" not in (piped.state / "calls").read_text()
    again = piped.run("ci/rollback.sh")  # when it is promoted, there is nothing to take back
    assert (again.returncode, piped.cluster()["image"]) == (0, IMAGE)
    twice = piped.run("ci/canary.sh")
    assert twice.returncode == 1
    assert "serves" in twice.stderr
    assert "already" in twice.stderr


def test_a_canary_that_breaks_its_promise_is_rolled_back(piped: Piped, prometheus: Makes) -> None:
    piped.settings(PROMETHEUS_URL=prometheus(slow).url)
    done = piped.job(steps(piped, "deploy"))
    assert list(done) == ["cluster", "canary", "watch", "rollback"]
    assert done["watch"].returncode == 1
    assert "broken: p99<50ms" in done["watch"].stderr
    assert "FAILED" in done["watch"].stderr
    assert done["rollback"].returncode == 0, done["rollback"].stderr
    assert piped.cluster()["image"] == BEFORE
    assert piped.cluster()["paused"] is False
    assert piped.run("ci/rollback.sh").returncode == 0  # a second time there is nothing to do
    assert [words[2] for words in piped.calls("kubectl")].count("set") == 2


def test_one_bad_look_is_no_broken_promise(piped: Piped, prometheus: Makes) -> None:
    looks: list[str] = []

    def once(query: str) -> float | None:
        looks.append(query)
        first = [one for one in looks if "histogram_quantile" in one] == [query]
        return 0.08 if first else kept(query)

    piped.settings(PROMETHEUS_URL=prometheus(once).url)
    (piped.out / "match").write_text('pod="iris-1"')
    done = piped.run("ci/watch.sh")
    assert done.returncode == 0, done.stderr
    assert "NOT KEPT" in done.stdout


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda query: None, "shows no metrics"),
        (lambda query: 3.0 if "increase(" in query else kept(query), "LEAST_REQUESTS is 50"),
        (lambda query: None if "histogram" in query else kept(query), "never seen: p99<50ms"),
        (lambda query: float("nan") if "build_info" in query else kept(query), "shows no metrics"),
    ],
)
def test_what_cannot_be_seen_is_not_taken_for_good(piped: Piped, prometheus: Makes, value: Any, said: str) -> None:
    piped.settings(PROMETHEUS_URL=prometheus(value).url)
    (piped.out / "match").write_text('pod="iris-1"')
    done = piped.run("ci/watch.sh")
    assert done.returncode == 1
    assert said in done.stderr


SABOTAGED: list[tuple[str, Callable[[Piped], object], str]] = [
    ("build", lambda piped: piped.settings(BUILD="exit 3", DEPLOYMENT="other"), "this command ended with an error"),
    ("build", lambda piped: piped.settings(BUILD="true", DEPLOYMENT="other"), "there is no deployment other"),
    ("scan", lambda piped: piped.fail("pip-audit"), "vulnerable requirements"),
    (
        "scan",
        lambda piped: (piped.folder / "notes.txt").write_text("token = ghp_" + "a1" * 18 + "\n"),
        "'notes.txt', line 1: a GitHub token",
    ),
    ("image", lambda piped: piped.fail("autodeploy --json containerize"), "no image was built"),
    ("image", lambda piped: piped.fail("podman push"), "was not pushed"),
    ("image", lambda piped: piped.fail("podman login"), "refused the login"),
    ("image", lambda piped: piped.more.update(PUSHED="latest; rm -rf /"), "is no digest"),
    ("sign", lambda piped: piped.fail("cosign sign"), "was not signed"),
    ("sign", lambda piped: piped.fail("cosign attest"), "was not attested"),
    ("sign", lambda piped: piped.more.pop("COSIGN_PRIVATE_KEY"), "COSIGN_PRIVATE_KEY is not in the environment"),
    ("canary", lambda piped: piped.cluster(paused=True), "is paused"),
    ("canary", lambda piped: piped.settings(CONTAINER="web"), "no container 'web'"),
    ("canary", lambda piped: (piped.cluster(ready=False), piped.settings(READY_S="0.3")), "was ready within"),
    ("canary", lambda piped: piped.fail("kubectl --namespace default get deployment"), "it was told to fail"),
    (
        "canary",
        lambda piped: (piped.more.update(COSIGN_PUBLIC_KEY="k"), piped.fail("cosign verify")),
        "is not signed by COSIGN_PUBLIC_KEY",
    ),
    ("canary", lambda piped: (piped.out / "image.env").unlink(), "no image was pushed"),
    ("watch", lambda piped: (piped.out / "match").unlink(missing_ok=True), "no canary runs"),
    ("promote", lambda piped: (piped.out / "match").unlink(missing_ok=True), "no canary runs"),
]


@pytest.mark.parametrize(("step", "sabotage", "said"), SABOTAGED)
def test_a_step_that_fails_stops_and_says_why(
    piped: Piped, step: str, sabotage: Callable[[Piped], object], said: str
) -> None:
    sabotage(piped)
    done = piped.run(f"ci/{step}.sh")
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert f"{step}: FAILED: " in done.stderr


def test_after_a_failure_no_later_step_runs(piped: Piped) -> None:
    piped.fail("autodeploy --json containerize")
    wanted = [
        step for step in steps(piped, "release") if step.get("name") not in ("install", "build", "parity", "finish")
    ]
    assert list(piped.job(wanted)) == ["scan", "image"]


def test_a_prometheus_that_is_not_there_proves_nothing(piped: Piped) -> None:
    done = piped.job(steps(piped, "deploy"))  # its address is one at which nobody listens
    assert "Prometheus cannot be asked" in done["watch"].stderr
    assert piped.cluster()["image"] == BEFORE


def test_an_update_that_does_not_end_is_rolled_back(piped: Piped, prometheus: Makes) -> None:
    piped.settings(PROMETHEUS_URL=prometheus(kept).url)
    piped.fail("kubectl --namespace default rollout status")
    done = piped.job(steps(piped, "deploy"))
    assert list(done) == ["cluster", "canary", "watch", "promote", "rollback"]
    assert "did not come to its end" in done["promote"].stderr
    assert "look at once" in done["rollback"].stderr  # the same fault is in its way
    assert piped.cluster()["image"] == BEFORE


def test_answers_that_changed_stop_it(piped: Piped) -> None:
    file = piped.ci / "reference/answers.json"
    answers = json.loads(file.read_text())["predictions"]
    changed = [7 if i < 5 else answer for i, answer in enumerate(answers)]
    file.write_text(json.dumps({"predictions": changed}))
    done = piped.run("ci/parity.sh")
    assert done.returncode == 1
    assert "95.00% of 100 rows are the same, 99.00% are needed: too few" in done.stdout
    piped.settings(PARITY_AGREEMENT="0.9")
    token = "autodeploy --json token iris --show"
    assert piped.run(f"set -a; . ci/settings.env; OUT=ci/out; {token} | python ci/parity.py").returncode == 0


def test_a_second_build_is_diffed_with_the_first_and_it_all_ends(proved: Piped, tmp_path: Path) -> None:
    piped = proved.copy(tmp_path / "repository")
    train = piped.folder / "train.py"
    train.write_text(train.read_text().replace("max_iter=500", "max_iter=500, C=1.01"))
    done = piped.job(steps(piped, "check"))
    assert [name for name, one in done.items() if one.returncode] == [], {n: o.stderr for n, o in done.items()}
    assert list(done) == ["install", "build", "parity", "scan", "finish"]
    assert json.loads((piped.out / "version.json").read_text())["number"] == 2
    assert json.loads((piped.out / "diff.json").read_text())["rows"] == 150
    assert piped.calls("pip") == [["install"]] * 2  # ours, and pip-audit: the repository has no requirements.txt
    stopped = piped.run("autodeploy --json status iris")
    assert json.loads(stopped.stdout)["state"] == "stopped"
    piped.settings(BUILD="true")
    nothing = piped.run("ci/build.sh")
    assert nothing.returncode == 1
    assert "did not deploy iris: it is stopped" in nothing.stderr


def test_a_hook_stands_in_for_kubectl(piped: Piped, prometheus: Makes) -> None:
    hook = piped.state / "hook"
    hook.write_text('#!/bin/sh\necho "$*" >>"$STAND_INS/hooked"\n[ "$1" != canary ] || echo \'version="4"\'\n')
    hook.chmod(0o755)
    server = prometheus(slow)
    piped.settings(PROMETHEUS_URL=server.url, DEPLOY_HOOK=str(hook))
    done = piped.job(steps(piped, "deploy"))
    assert list(done) == ["cluster", "canary", "watch", "rollback"]
    assert (piped.state / "hooked").read_text().splitlines() == [f"canary {IMAGE}", "rollback "]
    assert all('version="4"' in query for query in server.queries)
    assert piped.calls("kubectl") == []


@pytest.mark.parametrize("engine", ["docker", "nerdctl"])
def test_docker_tells_the_digest_of_its_own_way(piped: Piped, engine: str) -> None:
    tool = piped.state / "bin" / engine
    told = f'printf "%s\\n" "other/x@{DIGEST}" "{REPOSITORY}@{DIGEST}" ""'
    tool.write_text(f'#!/bin/sh\ncase "$1 $2" in "image inspect") {told};; esac\n')
    tool.chmod(0o755)
    shim = piped.state / "bin/autodeploy"
    shim.write_text(shim.read_text().replace('"podman"', f'"{engine}"'))
    (piped.out / "image.env").unlink()
    done = piped.run("ci/image.sh")
    assert done.returncode == 0, done.stderr
    assert (piped.out / "image.env").read_text() == f"IMAGE={IMAGE}\n"


def test_docker_hub_is_told_without_its_host(piped: Piped) -> None:
    tool = piped.state / "bin/docker"
    told = f'printf "%s\\n" "team/x@{DIGEST[:-1]}0" "team/iris@{DIGEST}"'
    tool.write_text(f'#!/bin/sh\ncase "$1 $2" in "image inspect") {told};; esac\n')
    tool.chmod(0o755)
    shim = piped.state / "bin/autodeploy"
    shim.write_text(shim.read_text().replace('"podman"', '"docker"'))
    piped.settings(IMAGE_REPOSITORY="docker.io/team/iris")
    done = piped.run("ci/image.sh")
    assert done.returncode == 0, done.stderr
    assert (piped.out / "image.env").read_text() == f"IMAGE=docker.io/team/iris@{DIGEST}\n"


def test_a_scanner_is_given_what_no_daemon_has_as_a_folder(piped: Piped) -> None:
    (piped.state / "bin/trivy").write_text('#!/bin/sh\n[ "$2" = --input ] && [ -d "$3" ] && [ "$4" = --exit-code ]\n')
    (piped.state / "bin/trivy").chmod(0o755)
    done = piped.run("ci/image.sh")
    assert done.returncode == 0, done.stderr
    assert "trivy: nothing high or critical" in done.stdout
    assert not (piped.out / "layout").exists()


def test_who_signs_and_who_verifies_logs_in_to_the_registry(piped: Piped) -> None:
    """An image that was pushed is private at first, and so are the signatures beside it."""
    assert piped.run("ci/sign.sh").returncode == 0
    again = piped.copy(piped.folder.with_name("deploying"))  # another machine, as the job that deploys has
    again.more["COSIGN_PUBLIC_KEY"] = "key"
    done = again.run("ci/canary.sh")
    assert done.returncode == 0, done.stderr
    assert [words[0] for words in again.calls("cosign")] == ["login", "verify"]
    assert (again.state / "cosign_password").read_text() == "pw-1"
    assert "pw-1" not in (again.state / "calls").read_text()


def test_an_archive_is_scanned_and_pushed_without_an_engine(piped: Piped) -> None:
    shim = piped.state / "bin/autodeploy"
    shim.write_text(shim.read_text().replace('"podman", "archive": ""', '"", "archive": "/x/iris.tar"'))
    noted = '#!/bin/sh\necho "$(basename "$0") $*" >>"$STAND_INS/noted"\n'
    told = f'printf %s "{DIGEST}" >"$3"'
    skopeo = f'[ "$1" != copy ] || case "$2" in --digestfile) {told};; *) mkdir "${{3#oci:}}";; esac\n'
    for name, body in (("skopeo", skopeo), ("trivy", ""), ("grype", "")):
        (piped.state / "bin" / name).write_text(noted + body)
        (piped.state / "bin" / name).chmod(0o755)
    piped.settings(ENGINE="archive")
    (piped.out / "image.env").unlink()
    done = piped.run("ci/image.sh")
    assert done.returncode == 0, done.stderr
    assert (piped.out / "image.env").read_text() == f"IMAGE={IMAGE}\n"
    asked = (piped.state / "noted").read_text().splitlines()
    layout = piped.out / "layout"
    assert asked[0] == f"skopeo copy oci-archive:/x/iris.tar oci:{layout}"
    assert asked[1].startswith(f"trivy image --input {layout} --exit-code 1")
    assert asked[2].startswith(f"grype oci-dir:{layout} ")
    assert asked[3].startswith("skopeo login --username u --password-stdin registry.example.com")
    assert asked[4].endswith(f"oci-archive:/x/iris.tar docker://{REPOSITORY}:{asked[4].rpartition(':')[2]}")
    (piped.state / "bin/trivy").write_text("#!/bin/sh\nexit 1\n")
    found = piped.run("ci/image.sh")
    assert found.returncode == 1
    assert "scan: FAILED: trivy found something" in found.stderr
    assert sum("docker://" in line for line in (piped.state / "noted").read_text().splitlines()) == 1  # not pushed


def test_the_cluster_is_known_by_a_secret_that_is_kept_out_of_git(piped: Piped) -> None:
    assert piped.run("ci/cluster.sh", KUBECONFIG_DATA="YWJj").returncode == 0
    file = piped.ci / ".kubeconfig"
    assert file.read_text() == "abc"
    assert file.stat().st_mode & 0o077 == 0
    assert ".kubeconfig" not in piped.run("git status --short --untracked-files=all").stdout
    assert piped.run("ci/cluster.sh", KUBECONFIG_DATA="%%%").returncode == 1


@pytest.mark.parametrize(
    ("wanted", "found", "equal"),
    [
        (["yes"], ["yes"], True),
        (["yes"], ["no"], False),
        ([1.0, 100.0], [1.05, 100.0], True),
        ([1.0, 100.0], [1.5, 100.0], False),
        ([[0.1, 0.9]], [[0.1, 0.9001]], True),
        ([[0.1, 0.9]], [[0.1]], False),
        ([None], [None], True),
        ([True], [False], False),
        (["5"], [5], False),
    ],
)
def test_answers_are_compared_by_what_they_are(wanted: Any, found: Any, equal: bool) -> None:
    assert same(wanted, found, 0.001 * spread(wanted)) is equal
