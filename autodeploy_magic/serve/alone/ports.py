"""Where the server listens, as `health` can know it too without importing anything."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DEFAULT_STATE", "LISTENING", "given_port", "note_address", "noted_address"]

DEFAULT_STATE = "/tmp/autodeploy"  # noqa: S108 - the only place that a read-only image can write to
LISTENING = "listening"
"""The file in the state folder that tells where: "HOST PORT SCHEME"."""
_PORT = "3000"
_SAGEMAKER_PORT = "8080"


def given_port(environ: Mapping[str, str], command: str = "") -> tuple[str, str]:
    """The variable that says which port to listen on, and what it says. SageMaker starts an image with `serve`."""
    for name in ("PORT", "AIP_HTTP_PORT", *(("SAGEMAKER_BIND_TO_PORT",) if command == "serve" else ())):
        if environ.get(name):
            return name, environ[name]
    return "PORT", _SAGEMAKER_PORT if command == "serve" else _PORT


def note_address(state: str, host: str, port: int, scheme: str) -> None:
    """Write down where the server listens."""
    with open(f"{state}/{LISTENING}", "w", encoding="ascii") as stream:  # noqa: PTH123
        stream.write(f"{host} {port} {scheme}")


def noted_address(environ: Mapping[str, str]) -> tuple[str, int, str]:
    """Host, port and scheme that the server wrote down; where it could not, what the environment says."""
    state = environ.get("AUTODEPLOY_STATE") or DEFAULT_STATE
    try:
        with open(f"{state}/{LISTENING}", encoding="ascii") as stream:  # noqa: PTH123 - pathlib takes time to import
            host, port, scheme = stream.read().split(" ")
    except (OSError, ValueError):
        host = environ.get("AUTODEPLOY_HOST", "").strip("[]")
        _, port = given_port(environ)
        scheme = "https" if environ.get("AUTODEPLOY_TLS_CERTIFICATE") else "http"
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port), scheme  # noqa: S104
