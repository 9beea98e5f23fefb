"""What a pod is told is what the image's entry understands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clusters import Make

from autodeploy_magic import settings
from autodeploy_magic.serve.alone.environment import read
from autodeploy_magic.ship.kubernetes.manifests import GRPC_PORT, container
from autodeploy_magic.shipping import PORT

SETTINGS: dict[str, Any] = {
    "max_rows": 50,
    "request_timeout_s": 12.5,
    "record": "off",
    "record_share": 0.25,
    "spinning": True,
    "threads": 2,
    "otlp_endpoint": "https://traces.example.com",
    "origins": "https://a.example.com",
}


def test_the_entry_reads_the_environment_of_a_pod(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cargo = make(desired={"grpc": True, "workers": 3, "settings": SETTINGS}, host="iris.example.com")
    (tmp_path / "token").write_text("t" * 43)
    environment = {one["name"]: one.get("value", "ml") for one in container(cargo)["env"]}
    environment["AUTODEPLOY_TOKEN_FILE"] = str(tmp_path / "token")
    environment["AUTODEPLOY_HOSTS"] = environment["AUTODEPLOY_HOSTS"].replace("$(POD_NAMESPACE)", "ml")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings.reset()
    given = read(environment)
    assert (given.port, given.grpc_port, given.workers) == (PORT, GRPC_PORT, 3)
    assert given.state == Path("/tmp/autodeploy")
    assert given.token_file == environment["AUTODEPLOY_TOKEN_FILE"]
    assert not given.warnings
    for name, value in {**SETTINGS, "drain_s": 13.0}.items():
        assert given.settings[name] == value, name
