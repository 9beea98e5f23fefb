"""The services of docker-compose.yaml: each without capabilities, with a read-only root and with limits.

Source: the Compose Specification, compose-spec.io.
"""

from __future__ import annotations

import math
from typing import Any

from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.rules import objectives
from autodeploy_magic.shipping import APP_USER, PORT

__all__ = ["IMAGES", "alertmanager", "deployment", "grafana", "memory_mib", "prometheus"]

IMAGES = {
    "PROMETHEUS_IMAGE": "docker.io/prom/prometheus:v3.5.0",
    "GRAFANA_IMAGE": "docker.io/grafana/grafana:12.1.0",
    "ALERTMANAGER_IMAGE": "docker.io/prom/alertmanager:v0.28.1",
}
"""What `.env` names, where another version can be put."""

TMP_MIB = 128
"""The folder for temporary files lies in memory: the metrics of a day are a few of these."""

_TMP = "/tmp"  # noqa: S108 - a container's own, and in memory
_ENDING_S = 20
"""What the entry takes after its drain, at most: 15 s for what is being answered and written down, and a margin."""

_MIB = 1 << 20
_ROUND_MIB = 64
_UNMEASURED_MIB = 160  # a server without a model, with some room: `containers.md` measured 73


def memory_mib(cargo: Cargo) -> int:
    """The limit of memory: twice what the proof of the image took for each worker, and the temporary files.

    Never less than what the SLO line promises to stay under.
    """
    each = cargo.image.rss_bytes if cargo.image is not None else 0
    measured = each / _MIB if each else _UNMEASURED_MIB + 3 * cargo.version.size_bytes / _MIB
    wanted = 2 * measured * max(cargo.desired.workers, 1) + TMP_MIB
    promised = max((one.limit for one in objectives(cargo.desired) if one.metric == "memory"), default=0.0) / _MIB
    return math.ceil(max(wanted, promised) / _ROUND_MIB) * _ROUND_MIB


def deployment(cargo: Cargo) -> dict[str, Any]:
    """The image, which answers on `PORT`; its token is a file."""
    python = "python" + ".".join(cargo.version.environment.python.split(".")[:2])
    return {
        "image": "${IMAGE}",
        "user": f"{APP_USER}:{APP_USER}",
        **_locked(TMP_MIB),
        "environment": {
            "AUTODEPLOY_TOKEN_FILE": "/run/secrets/token",
            "AUTODEPLOY_WORKERS": str(max(cargo.desired.workers, 1)),
        },
        "secrets": ["token"],
        "ports": ["${BIND}:${PORT}:" + str(PORT)],
        "networks": ["serve"],
        "healthcheck": {
            "test": ["CMD", python, "-m", "autodeploy_magic.serve.alone", "health"],
            "interval": "10s",
            "timeout": "3s",
            "retries": 3,
            "start_period": "60s",
        },
        "stop_grace_period": f"{math.ceil(float(cargo.setting('drain_s'))) + _ENDING_S}s",
        **_limits("${CPUS}", "${MEMORY}", 512),
    }


def prometheus(service: str, *, alerts: bool) -> dict[str, Any]:
    """It scrapes with the deployment's token, and keeps what it saw in a volume."""
    return {
        "image": "${PROMETHEUS_IMAGE}",
        **_locked(16),
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=15d",
        ],
        "volumes": ["./prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
        "secrets": ["token"],
        "ports": ["${BIND}:${PROMETHEUS_PORT}:9090"],
        "networks": ["serve", "watch"],
        "depends_on": [service, *(["alertmanager"] if alerts else [])],
        **_limits("1.0", "1024M", 256),
    }


def grafana() -> dict[str, Any]:
    """It finds its data source and its dashboard when it starts."""
    return {
        "image": "${GRAFANA_IMAGE}",
        **_locked(64),
        "environment": {
            "GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/grafana_password",
            "GF_LOG_MODE": "console",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
        },
        "secrets": ["grafana_password"],
        "volumes": [
            "./grafana/provisioning:/etc/grafana/provisioning:ro",
            "./grafana/dashboards:/etc/dashboards:ro",
            "grafana:/var/lib/grafana",
        ],
        "ports": ["${BIND}:${GRAFANA_PORT}:3000"],
        "networks": ["watch"],
        "depends_on": ["prometheus"],
        **_limits("1.0", "512M", 256),
    }


def alertmanager() -> dict[str, Any]:
    """It sends what the rules tell to the address in a secret file."""
    return {
        "image": "${ALERTMANAGER_IMAGE}",
        **_locked(16),
        "command": ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"],
        "volumes": ["./alertmanager:/etc/alertmanager:ro", "alertmanager:/alertmanager"],
        "secrets": ["alert_webhook"],
        "networks": ["watch"],
        **_limits("0.5", "128M", 128),
    }


def _locked(mib: int) -> dict[str, Any]:
    return {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": [f"{_TMP}:rw,nosuid,nodev,size={mib}m,mode=1777"],
        "restart": "unless-stopped",
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }


def _limits(cpus: str, memory: str, pids: int) -> dict[str, Any]:
    return {"deploy": {"resources": {"limits": {"cpus": cpus, "memory": memory, "pids": pids}}}}
