"""Every variable that the entry of an image reads: its name, its default, its meaning; and what was given, checked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.serve.alone.ports import DEFAULT_STATE, given_port
from autodeploy_magic.shipping import PORT

__all__ = ["KNOBS", "LEVELS", "VARIABLES", "Given", "Variable", "read"]


@dataclass(frozen=True)
class Variable:
    """One variable of the environment. `default` is as one would type it, "" where nothing is there."""

    name: str
    default: str
    help: str


_OWN = (
    Variable("PORT", str(PORT), "port to listen on; Cloud Run and Knative set it"),
    Variable("AUTODEPLOY_HOST", "", "address to listen on, an IP literal; empty: all, of IPv4 and of IPv6"),
    Variable("AUTODEPLOY_GRPC_PORT", "", "port for gRPC besides; empty: none"),
    Variable("AUTODEPLOY_MODEL", "/app/model", "folder of the version that is served"),
    Variable(
        "AUTODEPLOY_STATE", DEFAULT_STATE, "folder for metrics and recorded requests: a volume of its own keeps them"
    ),
    Variable("AUTODEPLOY_TOKEN", "", "bearer token that clients send; gone from the environment once it is read"),
    Variable(
        "AUTODEPLOY_TOKEN_FILE", "", "file that holds the token, such as a mounted secret; read again when it changes"
    ),
    Variable("AUTODEPLOY_AUTH", "on", "off asks for no token: for places where somebody else guards the door"),
    Variable("AUTODEPLOY_TLS_CERTIFICATE", "", "PEM file of the certificate to serve HTTPS with; read when it changes"),
    Variable("AUTODEPLOY_TLS_KEY", "", "PEM file of its key; empty: it stands in the certificate's file"),
    Variable("AUTODEPLOY_WORKERS", "1", "processes that answer; each loads the model"),
    Variable(
        "AUTODEPLOY_LINGER_S", "0", "seconds that new connections are still taken after SIGTERM, before the drain"
    ),
    Variable("AUTODEPLOY_LOG_LEVEL", "info", "least level that is logged: debug, info, warning or error"),
    Variable("AIP_HTTP_PORT", "", "port to listen on where PORT is not set; Vertex AI sets it"),
    Variable("AIP_PREDICT_ROUTE", "", "path that answers as /v1/models/NAME:predict does; Vertex AI sets it"),
    Variable("AIP_HEALTH_ROUTE", "", "path that answers as /readyz does; Vertex AI sets it"),
    Variable("SAGEMAKER_BIND_TO_PORT", "", "port of `serve` where PORT is not set (8080 else); SageMaker may set it"),
    Variable("AUTODEPLOY_HAND", "", "unix socket that a supervisor outside hands the sockets through"),
)
_HOSTS = "names besides IP addresses and localhost that requests may come to; * for any"
_HOSTS_DEFAULT = "* with a token"

KNOBS = {knob.env: knob for knob in settings.KNOBS.values() if knob.travels and knob.worker}
"""What a deployment's settings can say to a worker, each by its own variable."""


def _typed(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


VARIABLES: tuple[Variable, ...] = (
    *_OWN,
    *(
        Variable(name, _HOSTS_DEFAULT, _HOSTS)
        if knob.name == "hosts"
        else Variable(name, _typed(knob.default), knob.help)
        for name, knob in KNOBS.items()
    ),
)

LEVELS = ("debug", "info", "warning", "error")

_SET_BY_CLUSTERS = re.compile(r"AUTODEPLOY_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")
"""Kubernetes tells every container of every service beside it, and one may be called autodeploy."""
_LINK = re.compile(r"(tcp|udp|sctp)://")
_GUARDED = ("K_SERVICE", "AIP_HTTP_PORT", "AWS_LAMBDA_RUNTIME_API")
"""What platforms set that call a container themselves, by names that nobody knows before."""
_MOST_WORKERS = 256
_SHORT_TOKEN = 16


@dataclass(frozen=True)
class Given:
    """What the environment asks for. `token_file` is a file that somebody else keeps up, "" where there is none.

    `token` is one that came as a text. Neither is there where no token is asked for. `tls` is as `contracts.Desired`
    has it. `predict_route` and `health_route` are further paths ("": none). `warnings` are for the log.
    """

    port: int
    host: str
    grpc_port: int
    model: Path
    state: Path
    token: str
    token_file: str
    tls: str
    workers: int
    linger_s: float
    log_level: str
    predict_route: str
    health_route: str
    settings: Mapping[str, bool | float | int | str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return bool(self.token or self.token_file)


def read(environ: Mapping[str, str], command: str = "") -> Given:
    """Read what was given to `command`. Raises `InvalidOption` with the variable's name for what cannot be meant."""
    warnings = _unknown(environ)
    token, token_file = _token(environ, needed=command != "check")
    if token and len(token) < _SHORT_TOKEN:
        warnings.append(f"AUTODEPLOY_TOKEN has {len(token)} characters only: it can be guessed")
    grpc_port = 0
    if environ.get("AUTODEPLOY_GRPC_PORT") and not _LINK.match(environ["AUTODEPLOY_GRPC_PORT"]):
        grpc_port = _port("AUTODEPLOY_GRPC_PORT", environ["AUTODEPLOY_GRPC_PORT"])
    name, port = given_port(environ, command)
    chosen: dict[str, bool | float | int | str] = {
        knob.name: settings.get(knob.name) for variable, knob in KNOBS.items() if variable in environ
    }
    # A page that rebinds its name to us has no token to send, and platforms let no page through: any name is good.
    if "hosts" not in chosen and (
        token or token_file or any(name in environ for name in _GUARDED) or command == "serve"
    ):
        chosen["hosts"] = "*"
    for name_, value in (("hosts", str(chosen.get("hosts", ""))), ("origins", str(chosen.get("origins", "")))):
        _guardable(name_, value)
    found = Given(
        port=_port(name, port),
        host=_host(environ.get("AUTODEPLOY_HOST", "")),
        grpc_port=grpc_port,
        model=Path(environ.get("AUTODEPLOY_MODEL") or "/app/model").absolute(),
        state=Path(environ.get("AUTODEPLOY_STATE") or DEFAULT_STATE).absolute(),
        token=token,
        token_file=token_file,
        tls=_tls(environ),
        workers=_number("AUTODEPLOY_WORKERS", environ.get("AUTODEPLOY_WORKERS") or "1", 1, _MOST_WORKERS),
        linger_s=_seconds("AUTODEPLOY_LINGER_S", environ.get("AUTODEPLOY_LINGER_S") or "0"),
        log_level=log_level(environ),
        predict_route=_route(environ, "AIP_PREDICT_ROUTE"),
        health_route=_route(environ, "AIP_HEALTH_ROUTE"),
        settings=chosen,
        warnings=tuple(warnings),
    )
    if found.grpc_port == found.port:
        raise InvalidOption(
            f"AUTODEPLOY_GRPC_PORT is {found.port}, which is the port for HTTP", fix="give gRPC a port of its own"
        )
    return found


def log_level(environ: Mapping[str, str]) -> str:
    """The level to log at. Raises `InvalidOption`."""
    level = (environ.get("AUTODEPLOY_LOG_LEVEL") or "info").lower()
    if level not in LEVELS:
        raise InvalidOption(f"AUTODEPLOY_LOG_LEVEL cannot be {level!r}", fix=f"use {', '.join(LEVELS)}")
    return level


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable that looks like one of ours and is none."""
    known = [variable.name for variable in VARIABLES]
    elsewhere = {knob.env for knob in settings.KNOBS.values()}
    found = []
    for name in sorted(environ):
        if not name.startswith("AUTODEPLOY_") or name in known:
            continue
        if name == "AUTODEPLOY_PORT" and not _LINK.match(environ[name]):
            found.append("AUTODEPLOY_PORT is not read: the port is PORT")
        elif _SET_BY_CLUSTERS.fullmatch(name):
            continue
        elif name in elsewhere:
            found.append(f"{name} is of no use here: it belongs to where models are built")
        else:
            close = get_close_matches(name, known, 1)
            found.append(f"{name} is not read" + (f": did you mean {close[0]}?" if close else ""))
    return found


def _token(environ: Mapping[str, str], *, needed: bool) -> tuple[str, str]:
    """The token as a text, or the file that holds it. Raises `InvalidOption`, which never quotes a token."""
    auth = (environ.get("AUTODEPLOY_AUTH") or "on").lower()
    token, file = environ.get("AUTODEPLOY_TOKEN", "").strip(), environ.get("AUTODEPLOY_TOKEN_FILE", "")
    if auth not in ("on", "off"):
        raise InvalidOption(f"AUTODEPLOY_AUTH cannot be {auth!r}", fix="use on or off")
    if auth == "off" and (token or file):
        raise InvalidOption(
            f"AUTODEPLOY_AUTH is off, and {'AUTODEPLOY_TOKEN' if token else 'AUTODEPLOY_TOKEN_FILE'} gives a token",
            why="nobody could tell whether the token is to be asked for",
            fix="leave one of the two out",
        )
    if token and file:
        raise InvalidOption("AUTODEPLOY_TOKEN and AUTODEPLOY_TOKEN_FILE both give a token", fix="leave one of them out")
    if auth == "off" or not needed:
        return "", ""
    if file:
        file = str(Path(file).absolute())  # not resolved: clusters rotate secrets by replacing a link
        check_token(_content(file), f"AUTODEPLOY_TOKEN_FILE names {file}, which")
        return "", file
    if not token:
        raise InvalidOption(
            "no token is given",
            why="without one, everybody who reaches the port could ask the model and read what it answered",
            fix="set AUTODEPLOY_TOKEN_FILE (a mounted secret) or AUTODEPLOY_TOKEN; or, where somebody else guards the "
            "door, AUTODEPLOY_AUTH=off",
        )
    check_token(token, "AUTODEPLOY_TOKEN")
    return token, ""


def check_token(token: str, source: str) -> None:
    """Raise `InvalidOption` for what no client can send as a token."""
    if not token:
        raise InvalidOption(f"{source} is empty", fix="write the token there, and nothing else")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidOption(
            f"{source} holds what cannot be a token",
            why="a bearer token is one line of ASCII characters without spaces",
            fix="make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )


def _content(file: str) -> str:
    try:
        return Path(file).read_text("ascii").strip()
    except UnicodeDecodeError:
        return "\0"  # which no token holds
    except OSError as error:
        raise InvalidOption(
            f"the token in {file} cannot be read",
            why=error.strerror or str(error),
            fix="mount the secret there, readable by the user that the container runs as, or set AUTODEPLOY_TOKEN",
        ) from error


def _tls(environ: Mapping[str, str]) -> str:
    chain, key = (environ.get(f"AUTODEPLOY_TLS_{name}", "") for name in ("CERTIFICATE", "KEY"))
    if key and not chain:
        raise InvalidOption("AUTODEPLOY_TLS_KEY is set, and AUTODEPLOY_TLS_CERTIFICATE is not", fix="set both")
    for path in (chain, key):
        if "," in path:
            raise InvalidOption(f"the path {path!r} holds a comma", fix="mount the file under another name")
    # Not resolved: clusters rotate secrets by replacing a link.
    return ",".join(str(Path(path).absolute()) for path in (chain, key) if path)


def _host(text: str) -> str:
    text = text.strip("[]")
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise InvalidOption(
            f"AUTODEPLOY_HOST is {text!r}, which is not an IP address", fix="leave it out, or use 0.0.0.0 or ::"
        ) from None


def _route(environ: Mapping[str, str], name: str) -> str:
    route = environ.get(name, "")
    if route and not re.fullmatch(r"/[!-~]*", route):
        raise InvalidOption(f"{name} is {route!r}, which is not a path", fix="begin it with /")
    return route


def _guardable(name: str, value: str) -> None:
    """Raise `InvalidOption` for hosts and origins that no request could ever have, before anything is loaded."""
    from autodeploy_magic.serve.http.guard import Guard

    Guard(tokens=(), **{name: value})


def _port(name: str, text: str) -> int:
    return _number(name, text, 1, 65535)


def _number(name: str, text: str, least: int, most: int) -> int:
    try:
        found = int(text)
    except ValueError:
        found = least - 1
    if not least <= found <= most:
        raise InvalidOption(f"{name} is {text!r}, which cannot be", fix=f"use a whole number from {least} to {most}")
    return found


def _seconds(name: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 3600:
        raise InvalidOption(f"{name} is {text!r}, which cannot be", fix="use seconds from 0 to 3600")
    return found
