"""What counts as a secret in an address: one rule, whatever is written."""

from __future__ import annotations

import pytest
from records import make_version
from shipments import make_cargo

from autodeploy_magic.ship.image.context import environment_of
from autodeploy_magic.ship.kubernetes.kustomize import Kubernetes
from autodeploy_magic.ship.kubernetes.manifests import environment, left_out
from autodeploy_magic.ship.kubernetes.sizing import sized
from autodeploy_magic.ship.text import holds_secret

SECRET = (
    "https://me:hunter2@traces.example.com",
    "https://hunter2@traces.example.com",
    "https://:hunter2@traces.example.com",
    "https://traces.example.com/v1?key=hunter2",
    "https://a.example.com,https://me:hunter2@b.example.com",
    "https://me:hun,ter2@b.example.com",
    "https://me:hun/ter2@b.example.com",
    "https://[me:hunter2@b.example.com",
)
PLAIN = ("https://traces.example.com:4317/v1/traces", "http://[::1]:4317", "https://a.example.com,https://*.b.example")


@pytest.mark.parametrize("value", SECRET)
def test_an_address_with_a_name_a_password_or_a_query_is_a_secret(value: str) -> None:
    assert holds_secret(value)
    env, notes = environment_of({"otlp_endpoint": value}, make_version())
    assert "AUTODEPLOY_OTLP_ENDPOINT" not in env
    assert [note for note in notes if note.startswith("otlp_endpoint")]
    cargo = make_cargo(Kubernetes(), settings={"otlp_endpoint": value})
    written = environment(cargo, sized(cargo), port=3000, hosts="")
    assert not [one for one in written if one["name"] == "AUTODEPLOY_OTLP_ENDPOINT"]
    assert left_out(cargo) == ("otlp_endpoint",)


@pytest.mark.parametrize("value", PLAIN)
def test_any_other_travels(value: str) -> None:
    assert not holds_secret(value)
    env, _ = environment_of({"otlp_endpoint": value}, make_version())
    assert env["AUTODEPLOY_OTLP_ENDPOINT"] == value
    cargo = make_cargo(Kubernetes(), settings={"otlp_endpoint": value})
    written = environment(cargo, sized(cargo), port=3000, hosts="")
    assert {"name": "AUTODEPLOY_OTLP_ENDPOINT", "value": value} in written
    assert left_out(cargo) == ()


@pytest.mark.parametrize("value", ["me@example.com", "what?", 7, True, ""])
def test_what_is_no_address_is_none(value: object) -> None:
    assert not holds_secret(value)
