"""The SLO line as Prometheus' rules: they ask for what there is, and tell when they should."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from shipments import make_cargo

from autodeploy_magic.serve import exposition
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.compose.compose import Compose
from autodeploy_magic.ship.rules import LATENCIES_S, matching, objectives, slo_notes, slo_rules, value_of
from autodeploy_magic.ship.text import yaml_of

ALL = (
    "p99<40ms, p50<7s, errors<0.1%, availability>99.9%, refused<5%, memory<500MB, cpu<80%, disk_free>1GB, "
    "f1>0.9, drift<0.2"
)


def cargo(slo: str) -> Cargo:
    return make_cargo(Compose(), slo=slo)


def alerts(slo: str) -> list[dict[str, Any]]:
    return [rule for group in slo_rules(cargo(slo)) for rule in group["rules"] if "alert" in rule]


def promtool(*words: str, cwd: Path) -> str:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([tool, *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_bounds_are_those_of_the_page() -> None:
    assert LATENCIES_S == exposition.LATENCIES_S


@pytest.mark.parametrize("slo", [ALL, "", "off", "p999<10us, p95<60s", "memory<500MB"])
def test_prometheus_takes_the_rules(slo: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml_of({"groups": slo_rules(cargo(slo))}))
    assert "SUCCESS" in promtool("check", "rules", "rules.yml", cwd=tmp_path)


def test_each_promise_that_can_be_seen_has_an_alert() -> None:
    names = {alert["alert"] for alert in alerts(ALL)}
    assert names == {
        "AutodeployDown",
        "AutodeployDropped",
        "AutodeployBudgetP99",
        "AutodeployBudgetP50",
        "AutodeployBudgetErrors",
        "AutodeployBudgetAvailability",
        "AutodeployBudgetRefused",
        "AutodeployMemory",
        "AutodeployCpu",
        "AutodeployDiskFree",
    }
    assert slo_notes(cargo(ALL)) == ("f1>0.9, drift<0.2: no /metrics page shows it, so no rule watches it",)


def test_no_line_watches_errors_and_off_watches_whether_it_is_there() -> None:
    assert {alert["alert"] for alert in alerts("off")} == {"AutodeployDown", "AutodeployDropped"}
    assert "AutodeployBudgetErrors" in {alert["alert"] for alert in alerts("")}
    assert "nothing is learned elsewhere" in slo_notes(cargo(""))[0]
    assert slo_notes(cargo("off")) == ()


def test_no_share_is_asked_for_that_cannot_be() -> None:
    for alert in alerts("p50<10ms, errors<0.1%"):
        if "Budget" in alert["alert"]:
            assert float(alert["expr"].split(">= ")[1].split()[0]) < 1.0, alert


CASES = """
evaluation_interval: 1m
rule_files: [rules.yml]
tests:
- name: one request in fifty fails, and the budget is one in a thousand
  interval: 1m
  input_series:
  - {series: 'autodeploy_build_info{deployment="iris", version="1"}', values: '1x90'}
  - {series: 'autodeploy_requests_total{deployment="iris", version="1", code="200"}', values: '0+98x90'}
  - {series: 'autodeploy_requests_total{deployment="iris", version="1", code="500"}', values: '0+2x90'}
  - {series: 'autodeploy_request_duration_seconds_count{deployment="iris", version="1"}', values: '0+100x90'}
  - {series: 'autodeploy_request_duration_seconds_bucket{deployment="iris", version="1", le="0.025"}', \
values: '0+90x90'}
  - {series: 'autodeploy_request_duration_seconds_bucket{deployment="iris", version="1", le="0.05"}', \
values: '0+100x90'}
  promql_expr_test:
  - {expr: 'autodeploy:slo_bad:ratio_rate1h{slo="errors"}', eval_time: 80m, exp_samples: [{labels: \
'autodeploy:slo_bad:ratio_rate1h{deployment="iris", slo="errors"}', value: 0.02}]}
  - {expr: 'round(autodeploy:slo_bad:ratio_rate1h{slo="p99"}, 0.001)', eval_time: 80m, exp_samples: [{labels: \
'{deployment="iris", slo="p99"}', value: 0.04}]}
  alert_rule_test:
  - eval_time: 80m
    alertname: AutodeployBudgetErrors
    exp_alerts:
    - exp_labels: {deployment: iris, severity: critical, slo: errors, window: 1h}
      exp_annotations:
        summary: iris does not keep errors<0.1%
        description: 2% were bad in the last 1h; 0.1 % are allowed.
    - exp_labels: {deployment: iris, severity: critical, slo: errors, window: 6h}
      exp_annotations:
        summary: iris does not keep errors<0.1%
        description: 2% were bad in the last 6h; 0.1 % are allowed.
    - exp_labels: {deployment: iris, severity: warning, slo: errors, window: 3d}
      exp_annotations:
        summary: iris does not keep errors<0.1%
        description: 2% were bad in the last 3d; 0.1 % are allowed.
  - {eval_time: 80m, alertname: AutodeployDown, exp_alerts: []}
- name: nobody asks, and then it is gone
  interval: 1m
  input_series:
  - {series: 'autodeploy_build_info{deployment="iris", version="1"}', values: '1x30 stale'}
  - {series: 'autodeploy_requests_total{deployment="iris", version="1", code="200"}', values: '7x30 stale'}
  alert_rule_test:
  - {eval_time: 20m, alertname: AutodeployBudgetErrors, exp_alerts: []}
  - {eval_time: 20m, alertname: AutodeployDown, exp_alerts: []}
  - eval_time: 40m
    alertname: AutodeployDown
    exp_alerts:
    - exp_labels: {deployment: iris, severity: critical}
      exp_annotations:
        summary: iris shows no metrics
        description: 'No server of it was scraped for two minutes: it is down, or the scraper''s token is wrong.'
- name: one bad answer of few is no alert
  interval: 1m
  input_series:
  - {series: 'autodeploy_build_info{deployment="iris", version="1"}', values: '1x90'}
  - {series: 'autodeploy_requests_total{deployment="iris", version="1", code="200"}', values: '0+1x90'}
  - {series: 'autodeploy_requests_total{deployment="iris", version="1", code="500"}', values: '0x60 1x30'}
  alert_rule_test:
  - {eval_time: 64m, alertname: AutodeployBudgetErrors, exp_alerts: []}
"""


def test_they_tell_when_a_budget_burns_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml_of({"groups": slo_rules(cargo("p99<40ms, errors<0.1%"))}))
    (tmp_path / "cases.yml").write_text(CASES)
    assert "SUCCESS" in promtool("test", "rules", "cases.yml", cwd=tmp_path)


def test_a_value_is_asked_for_of_one_server_alone() -> None:
    match = matching("iris", 'pod="iris-1"')
    for objective in objectives(cargo("p99<40ms, errors<0.1%, availability>99.9%, memory<500MB").desired):
        assert 'deployment="iris", pod="iris-1"' in value_of(objective, match, "2m")
