"""What a person reads and runs first: README.md and setup.sh. Neither holds a value that somebody typed freely."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SETUP", "readme"]

SETUP = """\
#!/bin/sh
# Makes the secrets that docker-compose.yaml names, each once. What is there already stays.
#
# The folder is closed to others; the files in it are readable, since each container runs as a user of its own.
set -eu
cd "$(dirname "$0")"

mkdir -p secrets
chmod 700 secrets

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \\n'
}

keep() {
    if [ ! -s "secrets/$1" ]; then
        printf '%s' "$2" >"secrets/$1.part"
        chmod 444 "secrets/$1.part"
        mv -f "secrets/$1.part" "secrets/$1"
        echo "made secrets/$1" >&2
    fi
}

keep token "${AUTODEPLOY_TOKEN:-$(random)}"
keep grafana_password "${GRAFANA_PASSWORD:-$(random)}"
if [ -d alertmanager ] && [ ! -s secrets/alert_webhook ]; then
    if [ -z "${ALERT_WEBHOOK_URL:-}" ]; then
        echo "setup.sh: set ALERT_WEBHOOK_URL to the address that alerts are sent to, and run this again" >&2
        exit 1
    fi
    keep alert_webhook "$ALERT_WEBHOOK_URL"
fi
"""


def readme(
    name: str, version: int, service: str, ports: Mapping[str, str], *, alerts: bool, notes: tuple[str, ...]
) -> str:
    """README.md of the folder. `ports` are those of `.env`."""
    watched = "".join(f"- {note}\n" for note in notes)
    alert = (
        "\nAlertmanager sends what the rules tell to the address in `secrets/alert_webhook`: `setup.sh` takes it from\n"
        "`ALERT_WEBHOOK_URL`.\n"
        if alerts
        else "\nNo Alertmanager stands beside it: alerts are seen in Prometheus alone. Ship again with "
        "`--set alertmanager=yes`\nto have them sent.\n"
    )
    return f"""\
# {name} v{version} with docker compose

The image on one machine, with Prometheus, rules made of its SLO line, and a provisioned Grafana dashboard.

## Prerequisites

- Docker with the compose plugin, or podman with podman-compose
- the image that `.env` names, on this machine or in a registry that it is logged in to

## Start

    sh setup.sh              # makes secrets/token and secrets/grafana_password, once
    docker compose up -d
    docker compose ps        # {service} is healthy when it answers

    curl -s http://127.0.0.1:{ports["PORT"]}/readyz
    curl -s -H "Authorization: Bearer $(cat secrets/token)" -H 'content-type: application/json' \\
      -d @request.json http://127.0.0.1:{ports["PORT"]}/predict

Prometheus is at http://127.0.0.1:{ports["PROMETHEUS_PORT"]}, and Grafana at
http://127.0.0.1:{ports["GRAFANA_PORT"]} (user admin, password in `secrets/grafana_password`). `.env` has the ports, the
limits and the images. All ports are of this machine alone (`BIND=127.0.0.1`); put a proxy with TLS before them to open
them further.
{alert}
## Another version, and back

    %deploy containerize {name}        # or: autodeploy containerize {name}
    sed -i "s|^IMAGE=.*|IMAGE='REGISTRY/{name}:vN'|" .env
    docker compose up -d {service}

Roll-back is the same with the former image. A single container is replaced, so that requests fail for a moment: where
that must not be, use `ship kubernetes`.

## A new token

    rm secrets/token && sh setup.sh && docker compose up -d --force-recreate {service} prometheus

## Stop

    docker compose down          # with --volumes also what Prometheus and Grafana keep

## What it does not do

- It keeps no recorded requests: the server's state lies in memory, and ends with the container. Prometheus keeps the
  figures, for 15 days.
- It makes no TLS, no backup and no second machine. No supervisor runs in the image: nothing is re-tuned, and no fault
  is recovered but by a restart.
{watched}
## What was checked

- Every query of the dashboard and of the rules asks for metrics and labels that a server of this release shows; the
  tests of autodeploy_magic evaluate them with a real Prometheus, and run the rules' unit tests with promtool.
- `docker-compose.yaml` is checked against the schema of the Compose Specification.
- Never run by these tests: Grafana, Alertmanager, and the images of Prometheus, Grafana and Alertmanager that `.env`
  names. The dashboard is checked by its structure.
"""
