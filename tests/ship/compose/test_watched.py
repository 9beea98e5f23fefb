"""Everything that the dashboard and the rules ask for is on a real server's page; a real Prometheus evaluates it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from metered import alive
from prometheus_client import parser
from shipments import make_cargo, told
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version
from workers import TOKEN, WAIT_S, Started
from world import until

from autodeploy_magic.metrics import open_for_writing
from autodeploy_magic.metrics.resources import insert_resources
from autodeploy_magic.ship.compose.compose import Compose

SLO = "p99<40ms, p50<10ms, errors<0.1%, availability>99.9%, refused<5%, memory<500MB, cpu<80%, disk_free>1MB"
HEADERS = {"authorization": f"Bearer {TOKEN}"}
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
_MATCHERS = re.compile(r'(\w[\w:]*)\{((?:[^{}"]|"[^"]*")*)\}')
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compose")
    target = Compose()
    cargo = make_cargo(target, slo=SLO, options={"alertmanager": "yes"})
    target.write(cargo, folder, told)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A real worker that was asked, and whose processes somebody measured as the supervisor does."""
    tmp_path = tmp_path_factory.mktemp("server")
    write_version(tmp_path / "v1", LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    started = Started(tmp_path / "v1", tmp_path, drain_s=1.0)
    started.serve()
    yield started
    started.process.terminate()
    started.end()
    started.listening.close()


def ask(server: Started, requests: int) -> None:
    with httpx.Client(base_url=server.url, headers=HEADERS, timeout=WAIT_S) as client:
        for i in range(requests):
            rows = X[:3] if i % 5 else X[:3, :2]  # one in five is refused
            answer = client.post("/predict", json={"inputs": rows.tolist()})
            assert answer.status_code in (200, 400, 422), answer.text


def measure(server: Started) -> None:
    """What a supervisor would write of this second."""
    file = server.metrics.with_suffix(".sqlite")
    with closing(open_for_writing(file)) as connection:
        insert_resources(connection, [alive(int(time.time()))])
        connection.commit()


def page(server: Started) -> str:
    answer = httpx.get(f"{server.url}/metrics", headers=HEADERS, timeout=WAIT_S)
    assert answer.status_code == 200
    return answer.text


def queries(folder: Path) -> dict[str, str]:
    """Every query of the dashboard, by panel and line, with its variables as Grafana would put them in."""
    shown = json.loads((folder / "grafana/dashboards/iris.json").read_text())
    return {
        f"{panel['id']} {panel['title']}/{target['legendFormat']}": target["expr"]
        .replace("$__rate_interval", "10s")
        .replace("$version", ".*")
        for panel in shown["panels"]
        for target in panel["targets"]
    }


def rules(folder: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((folder / "prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_all_that_is_asked_for_is_on_a_real_page(folder: Path, server: Started) -> None:
    ask(server, 10)
    measure(server)
    until(lambda: "last_answer_timestamp_seconds{" in page(server) and "process_cpu_seconds" in page(server))
    series: dict[str, set[str]] = {}
    for family in parser.text_string_to_metric_families(page(server)):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    for rule in rules(folder):
        if "record" in rule:
            series[rule["record"]] = {"deployment", *rule["labels"]}
    asked = list(queries(folder).values()) + [rule["expr"] for rule in rules(folder)]
    assert len(asked) > 60
    for expr in asked:
        found = _MATCHERS.findall(expr)
        assert found, expr
        names = {name for name, _ in found}
        assert names == set(re.findall(r"\bautodeploy[\w:]+", re.sub(r'"[^"]*"', '""', expr))), expr
        for name, matchers in found:
            assert name in series, (name, expr)
            assert set(_LABEL.findall(matchers)) <= series[name], (name, matchers)
        grouped = {label.strip() for labels in _GROUPED.findall(expr) for label in labels.split(",")}
        assert grouped <= set().union(*(series[name] for name in names)), expr
        for bound in re.findall(r'le="([^"]+)"', expr):
            assert f'le="{bound}"' in page(server), expr


class Prometheus:
    """A real one, told by the file that was written, but for the addresses of this machine and shorter times."""

    def __init__(self, binary: str, folder: Path, target: str, tmp_path: Path) -> None:
        tmp_path.joinpath("token").write_text(TOKEN)
        config = yaml.safe_load((folder / "prometheus/prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
        del config["alerting"]
        job = config["scrape_configs"][0]
        assert job["authorization"]["credentials_file"] == "/run/secrets/token"
        job["authorization"]["credentials_file"] = str(tmp_path / "token")
        assert job["static_configs"][0]["targets"] == ["iris:3000"]
        job["static_configs"][0]["targets"] = [target]
        text = (folder / "prometheus/rules.yml").read_text().replace("interval: 30s", "interval: 1s")
        (tmp_path / "rules.yml").write_text(text)
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        self.log = tmp_path / "log"
        with self.log.open("wb") as log:
            words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
            self.process = subprocess.Popen([binary, *words], cwd=tmp_path, stdout=log, stderr=log)

    def ask(self, query: str) -> list[Any]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=WAIT_S).json()
        assert answer["status"] == "success", (query, answer)
        return list(answer["data"]["result"])

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/-/ready", timeout=WAIT_S).status_code == 200
        return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_S)


@pytest.fixture
def prometheus(folder: Path, server: Started, tmp_path: Path) -> Iterator[Prometheus]:
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    started = Prometheus(binary, folder, server.url.removeprefix("http://"), tmp_path)
    try:
        yield started
    finally:
        started.end()


def test_a_real_prometheus_answers_every_query(folder: Path, server: Started, prometheus: Prometheus) -> None:
    until(prometheus.is_ready)
    wanted = queries(folder)
    down = wanted.pop("6 Down/down")  # where it is up, there is nothing
    missing: list[str] = []

    def are_answered() -> bool:
        ask(server, 5)
        measure(server)
        missing[:] = [name for name, query in wanted.items() if not prometheus.ask(query)]
        return not missing

    try:
        until(are_answered)
    except AssertionError:
        pytest.fail(f"nothing was found for {missing}")
    assert prometheus.ask(down) == []
    refused = prometheus.ask('autodeploy:slo_bad:ratio_rate5m{deployment="iris", slo="refused"}')
    assert 0.1 < float(refused[0]["value"][1]) < 0.3  # one in five
    loaded = httpx.get(f"{prometheus.url}/api/v1/rules", timeout=WAIT_S).json()["data"]["groups"]
    faults = [rule["lastError"] for group in loaded for rule in group["rules"] if rule.get("lastError")]
    assert faults == []
    assert sum(len(group["rules"]) for group in loaded) == len(rules(folder))


def test_promtool_takes_the_configuration(folder: Path, tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    shutil.copytree(folder / "prometheus", tmp_path / "prometheus")
    file = tmp_path / "prometheus/prometheus.yml"
    (tmp_path / "token").write_text("x")
    file.write_text(file.read_text().replace("/run/secrets/token", str(tmp_path / "token")))
    done = subprocess.run([tool, "check", "config", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
