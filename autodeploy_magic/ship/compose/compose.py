"""The target `compose`: a folder in which `docker compose up` serves a version, watches it and shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo, Choice, Written
from autodeploy_magic.ship.compose import services
from autodeploy_magic.ship.compose.dashboard import DATASOURCE, dashboard
from autodeploy_magic.ship.compose.words import SETUP, readme
from autodeploy_magic.ship.rules import slo_notes, slo_rules
from autodeploy_magic.ship.text import env_file, yaml_of
from autodeploy_magic.shipping import PORT

__all__ = ["Compose"]

_TAKEN = frozenset({"prometheus", "grafana", "alertmanager"})
_SECRET_FILES = ("token", "grafana_password")


class Compose:
    """A docker-compose.yaml with the image, Prometheus with rules of the SLO line, and a Grafana dashboard."""

    choices = (
        Choice("port", "the port of this machine that it answers on", PORT),
        Choice("cpus", "most cores that it may use; 0: one for each worker", 0),
        Choice("memory_mb", "most memory that it may use, in MB; 0: twice what was measured", 0),
        Choice("alertmanager", "whether alerts are sent, by an Alertmanager", default=False),
    )
    image = "needed"

    def refuse(self, cargo: Cargo) -> None:
        cargo.need_image("compose")
        if not 1 <= cargo.number("port") <= 65535:
            raise InvalidOption(f"{cargo.number('port')} is no port", fix="use one from 1 to 65535, such as 3000")
        for name, least in (("cpus", 1), ("memory_mb", 64)):
            if cargo.number(name) and cargo.number(name) < least:
                raise InvalidOption(f"{name}={cargo.number(name)} is too little", fix=f"use {least} or more, or 0")

    def write(self, cargo: Cargo, folder: Path, report: Report) -> Written:
        alerts = bool(cargo.options["alertmanager"])
        notes = _notes(cargo)
        service = _service(cargo.name)
        values = _values(cargo, alerts=alerts)
        report(Progress(step="compose", state="started"))
        files = {
            "docker-compose.yaml": yaml_of(_compose(cargo, service, alerts=alerts), head=_head(cargo)),
            ".env": env_file(values),
            ".gitignore": "secrets/\n",
            "setup.sh": SETUP,
            "prometheus/prometheus.yml": yaml_of(_scraping(service, alerts=alerts)),
            "prometheus/rules.yml": yaml_of({"groups": slo_rules(cargo)}),
            "grafana/provisioning/datasources/prometheus.yaml": yaml_of(_datasource()),
            "grafana/provisioning/dashboards/autodeploy.yaml": yaml_of(_provider()),
            f"grafana/dashboards/{cargo.name}.json": json.dumps(dashboard(cargo.desired), indent=2) + "\n",
            "README.md": readme(cargo.name, cargo.version.number, service, values, alerts=alerts, notes=notes),
        }
        if (cargo.model / "sample.json").is_file():
            files["request.json"] = json.dumps({"inputs": cargo.example()}, indent=2, ensure_ascii=False) + "\n"
        if alerts:
            files["alertmanager/alertmanager.yml"] = yaml_of(_receivers())
        for name, text in files.items():
            file = folder / name
            for made in reversed(file.relative_to(folder).parents[:-1]):
                (folder / made).mkdir(exist_ok=True)
                (folder / made).chmod(0o755)  # containers read them, each as a user of its own
            file.write_text(text, "utf-8")
            file.chmod(0o755 if name.endswith(".sh") else 0o644)
        report(Progress(step="compose", state="done"))
        return Written(notes=notes, next=("sh setup.sh", "docker compose up -d"))


def _service(name: str) -> str:
    """What the deployment's own service is called: its name, where no other here has that."""
    return f"{name}-server" if name in _TAKEN else name


def _head(cargo: Cargo) -> str:
    return (
        f"{cargo.name} v{cargo.version.number}, written by `ship compose`. Values are in .env, secrets in secrets/.\n"
        "Begin with: sh setup.sh && docker compose up -d"
    )


def _notes(cargo: Cargo) -> tuple[str, ...]:
    notes = list(slo_notes(cargo))
    if cargo.image is None or cargo.image.name != cargo.reference:
        notes.append("the image was not measured here: its memory limit is an estimate from the model's size")
    if cargo.image is not None and cargo.image.flavour == "bento":
        notes.append("the image is BentoML's own flavour: the checks of health were tried with the lean one")
    if cargo.desired.tls:
        notes.append("it is served here with TLS, and by compose without: put a proxy that has a certificate before it")
    if cargo.desired.grpc:
        notes.append("it has a port for gRPC here, and by compose none: use `ship kubernetes`, or call it by HTTP")
    if not cargo.desired.auth:
        notes.append("it asks for no token here, and by compose it does")
    return tuple(notes)


def _values(cargo: Cargo, *, alerts: bool) -> dict[str, str]:
    port = cargo.number("port")
    images = {key: image for key, image in services.IMAGES.items() if alerts or key != "ALERTMANAGER_IMAGE"}
    return {
        "IMAGE": cargo.need_image("compose"),
        **images,
        "BIND": "127.0.0.1",
        "PORT": str(port),
        "PROMETHEUS_PORT": str(9090 if port != 9090 else 9091),
        "GRAFANA_PORT": str(3001 if port != 3001 else 3002),
        "CPUS": f"{cargo.number('cpus') or max(cargo.desired.workers, 1)}.0",
        "MEMORY": f"{cargo.number('memory_mb') or services.memory_mib(cargo)}M",
    }


def _compose(cargo: Cargo, service: str, *, alerts: bool) -> dict[str, Any]:
    runs = {
        service: services.deployment(cargo),
        "prometheus": services.prometheus(service, alerts=alerts),
        "grafana": services.grafana(),
    }
    secrets = list(_SECRET_FILES)
    volumes = ["prometheus", "grafana"]
    if alerts:
        runs["alertmanager"] = services.alertmanager()
        secrets.append("alert_webhook")
        volumes.append("alertmanager")
    return {
        "name": cargo.name,
        "services": runs,
        "networks": {"serve": {}, "watch": {}},
        "volumes": {name: {} for name in volumes},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in secrets},
    }


def _scraping(service: str, *, alerts: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "global": {"scrape_interval": "10s", "evaluation_interval": "15s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": "autodeploy",
                "metrics_path": "/metrics",
                "authorization": {"type": "Bearer", "credentials_file": "/run/secrets/token"},
                "static_configs": [{"targets": [f"{service}:{PORT}"]}],
            }
        ],
    }
    if alerts:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}
    return config


def _datasource() -> dict[str, Any]:
    source = {
        "name": "Prometheus",
        "uid": DATASOURCE,
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "isDefault": True,
        "editable": False,
        "jsonData": {"timeInterval": "10s", "httpMethod": "POST"},
    }
    return {"apiVersion": 1, "datasources": [source]}


def _provider() -> dict[str, Any]:
    provider = {
        "name": "autodeploy",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "options": {"path": "/etc/dashboards"},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _receivers() -> dict[str, Any]:
    route = {"receiver": "webhook", "group_by": ["alertname", "deployment"], "group_wait": "10s"}
    hook = {"url_file": "/run/secrets/alert_webhook", "send_resolved": True}
    return {"route": route, "receivers": [{"name": "webhook", "webhook_configs": [hook]}]}
