"""The one table of variables, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.serve import alone
from autodeploy_magic.serve.alone.begin import QUIET
from autodeploy_magic.serve.alone.environment import VARIABLES, read
from autodeploy_magic.serve.alone.ports import given_port
from autodeploy_magic.zygote import preload

TOKEN = {"AUTODEPLOY_TOKEN": "a-token-that-nobody-guesses"}


def test_the_docstring_is_the_table() -> None:
    assert alone.__doc__ is not None
    words = " ".join(alone.__doc__.split())
    for variable in VARIABLES:
        said = f" [{variable.default}]" if variable.default else ""
        assert " ".join(f"{variable.name}{said}: {variable.help}".split()) in words
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)


def test_a_worker_starts_with_the_same_environment_as_elsewhere() -> None:
    assert QUIET == preload.QUIET


def test_a_variable_that_is_none_of_ours_is_told_with_the_nearest() -> None:
    given = read(TOKEN | {"AUTODEPLOY_MAX_ROW": "3", "AUTODEPLOY_KEEP_VERSIONS": "3", "AUTODEPLOY_PORT": "80"})
    assert given.warnings == (
        "AUTODEPLOY_KEEP_VERSIONS is of no use here: it belongs to where models are built",
        "AUTODEPLOY_MAX_ROW is not read: did you mean AUTODEPLOY_MAX_ROWS?",
        "AUTODEPLOY_PORT is not read: the port is PORT",
    )


def test_what_kubernetes_tells_of_services_is_no_mistake() -> None:
    told = {
        "AUTODEPLOY_PORT": "tcp://10.0.0.1:3000",
        "AUTODEPLOY_PORT_3000_TCP_ADDR": "10.0.0.1",
        "AUTODEPLOY_SERVICE_HOST": "10.0.0.1",
        "AUTODEPLOY_IRIS_SERVICE_PORT_HTTP": "3000",
        "AUTODEPLOY_GRPC_PORT": "tcp://10.0.0.1:3001",
    }
    given = read(TOKEN | told)
    assert (given.warnings, given.grpc_port) == ((), 0)


@pytest.mark.parametrize(
    ("environ", "command", "found"),
    [
        ({}, "", ("PORT", "3000")),
        ({}, "serve", ("PORT", "8080")),
        ({"PORT": "9000", "AIP_HTTP_PORT": "8081"}, "", ("PORT", "9000")),
        ({"AIP_HTTP_PORT": "8081"}, "", ("AIP_HTTP_PORT", "8081")),
        ({"SAGEMAKER_BIND_TO_PORT": "8085"}, "serve", ("SAGEMAKER_BIND_TO_PORT", "8085")),
        ({"SAGEMAKER_BIND_TO_PORT": "8085"}, "", ("PORT", "3000")),
    ],
)
def test_the_port_is_the_one_that_the_platform_means(
    environ: dict[str, str], command: str, found: tuple[str, str]
) -> None:
    assert given_port(environ, command) == found


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        (TOKEN, "*"),
        (TOKEN | {"AUTODEPLOY_HOSTS": "iris.example.org"}, "iris.example.org"),
        ({"AUTODEPLOY_AUTH": "off"}, None),
        ({"AUTODEPLOY_AUTH": "off", "K_SERVICE": "iris"}, "*"),
    ],
)
def test_any_host_is_good_where_a_token_or_a_platform_guards_the_door(
    environ: dict[str, str], hosts: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.reset()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert read(environ).settings.get("hosts") == hosts


def test_settings_of_a_deployment_come_by_their_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.reset()
    typed = {"AUTODEPLOY_MAX_ROWS": "12", "AUTODEPLOY_RECORD_SHARE": "10%", "AUTODEPLOY_METRICS": "no"}
    for name, value in typed.items():
        monkeypatch.setenv(name, value)
    found = read(TOKEN | typed).settings
    assert found == {"max_rows": 12, "record_share": 0.1, "metrics": False, "hosts": "*"}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AUTODEPLOY_AUTH": "maybe"}, "AUTODEPLOY_AUTH cannot be 'maybe'"),
        (TOKEN | {"AUTODEPLOY_AUTH": "off"}, "AUTODEPLOY_AUTH is off, and AUTODEPLOY_TOKEN gives a token"),
        (TOKEN | {"AUTODEPLOY_TOKEN_FILE": "/x"}, "both give a token"),
        ({"AUTODEPLOY_TOKEN": "two words"}, "cannot be a token"),
        (TOKEN | {"PORT": "http"}, "PORT is 'http'"),
        (TOKEN | {"AIP_HTTP_PORT": "70000"}, "AIP_HTTP_PORT is '70000'"),
        (TOKEN | {"AUTODEPLOY_GRPC_PORT": "3000"}, "which is the port for HTTP"),
        (TOKEN | {"AUTODEPLOY_HOST": "localhost"}, "not an IP address"),
        (TOKEN | {"AUTODEPLOY_LINGER_S": "nan"}, "AUTODEPLOY_LINGER_S is 'nan'"),
        (TOKEN | {"AUTODEPLOY_LOG_LEVEL": "loud"}, "AUTODEPLOY_LOG_LEVEL cannot be 'loud'"),
        (TOKEN | {"AUTODEPLOY_TLS_KEY": "/tls.key"}, "AUTODEPLOY_TLS_CERTIFICATE is not"),
        (TOKEN | {"AUTODEPLOY_TLS_CERTIFICATE": "/a,b"}, "holds a comma"),
        (TOKEN | {"AIP_PREDICT_ROUTE": "predict"}, "AIP_PREDICT_ROUTE is 'predict'"),
    ],
)
def test_what_cannot_be_meant_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidOption, match=words) as raised:
        read(environ)
    assert raised.value.fix


@pytest.mark.parametrize("content", [b"", b"\n", b"t\xc3\xb6ken", b"two\nlines"])
def test_a_file_that_holds_no_token(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(InvalidOption, match="AUTODEPLOY_TOKEN_FILE names") as raised:
        read({"AUTODEPLOY_TOKEN_FILE": str(file)})
    assert "ken" not in str(raised.value).replace("token", "").replace("TOKEN", "")
