"""Every knob: its default, unit, environment variable and meaning, in one table.

A value is looked up in this order: `set_option` (which `%config DeployMagics.NAME = VALUE` calls), the environment
variable, `[tool.autodeploy_magic]` of the nearest `pyproject.toml` upwards of the working directory, the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autodeploy_magic.errors import InvalidOption

__all__ = ["KNOBS", "Knob", "get", "of_workers", "reset", "set_option", "travelling"]


@dataclass(frozen=True)
class Knob:
    """One setting. `unit` is "" for a plain number or text; the type of `default` is the type of the value.

    `travels` says that a deployment keeps the value it was deployed or restarted with, whichever process serves it;
    `worker` that its workers are given it: for another value of one that they are not, nothing has to be restarted.

    One that `stays` is as it was at the last deploy where nothing is set here: privacy is not lost by a restart from
    elsewhere. Of a text with `choices` no other is taken. The unit "share" is for 0 to 1, typed as 0.1 or as 10%.

    The unit "URLs" is for addresses, separated by commas. What is kept of them is what was typed, in a file that its
    owner alone can read: where an address is a secret itself, "file:/path" keeps it out of there, and a password in one
    is refused.
    """

    name: str
    default: str | int | float | bool
    unit: str
    help: str
    travels: bool = False
    worker: bool = True
    stays: bool = False
    choices: tuple[str, ...] = ()

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return f"AUTODEPLOY_{self.name.upper()}"


KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob("home", "", "", "state folder; empty means the platform's own place for user state"),
        Knob("host", "127.0.0.1", "", "address that deployments listen on, an IP literal"),
        Knob("workers", 1, "processes", "worker processes of a new deployment"),
        Knob("slo", "", "", "what a new deployment promises: p99<50ms, errors<0.1%; empty: learned, off: nothing"),
        Knob("max_body_bytes", 16 * 1024 * 1024, "bytes", "largest request body a deployment accepts", travels=True),
        Knob("max_rows", 10_000, "rows", "most rows that one request may carry", travels=True),
        Knob("max_queue", 256, "requests", "requests that may wait for a worker's model; more get 429", True),
        Knob("batch_rows", 256, "rows", "most rows of several requests that are answered together; 0: none", True),
        Knob("threads", 0, "threads", "threads of one run of the model; 0: the worker's share of the machine", True),
        Knob("spinning", False, "", "whether a run's threads spin while they wait: quicker, for more CPU time", True),
        Knob("request_timeout_s", 30.0, "seconds", "how long a request may take, or a stream's next item", True),
        Knob("metrics", True, "", "whether workers write down how many requests they answered, and how fast", True),
        Knob(
            "record_requests",
            20,
            "requests",
            "most requests of a second that are kept, with their answers; 0: none",
            True,
        ),
        Knob(
            "record",
            "all",
            "",
            "what is kept of those requests: all, inputs (no answers), or off",
            True,
            stays=True,
            choices=("all", "inputs", "off"),
        ),
        Knob("record_share", 1.0, "share", "share of those requests that is kept: 0.1 or 10%", True, stays=True),
        Knob("record_drop", "", "", "columns whose values are not kept, separated by commas", True, stays=True),
        Knob("record_hash", "", "", "columns of which keyed hashes are kept in place of the values", True, stays=True),
        Knob("record_days", 30.0, "days", "how long kept requests and the labels of them stay", travels=True),
        Knob("record_bytes", 64 * 1024 * 1024, "bytes", "most that a deployment's kept requests take on disk", True),
        Knob("otlp_endpoint", "", "", "OpenTelemetry collector that traces are sent to (OTLP/HTTP); empty: none", True),
        Knob("trace_share", 1.0, "", "share of requests that are traced, of those whose caller has not decided", True),
        Knob("hosts", "", "", "names besides IP addresses and localhost that requests may come to; * for any", True),
        Knob("origins", "", "", "origins whose pages may read answers (CORS), separated by commas", travels=True),
        Knob("replay_rows", 1_000, "rows", "most rows of the sample that a version is verified on"),
        Knob("self_check_rows", 16, "rows", "rows that travel in the Bento and are replayed at every start"),
        Knob("probability_tolerance", 1e-3, "", "largest difference of a probability that passes verification", True),
        Knob("value_tolerance", 1e-4, "", "largest difference of a value, relative to the answers' spread", True),
        Knob("allow_pickle", True, "", "whether versions may be made whose loading runs Python code (amber ones)"),
        Knob("keep_live", True, "", "whether the live object is kept beside a version, for re-tuning it"),
        Knob("signing_key", "", "path", "private key (PEM, P-256) that versions are signed with; empty: none"),
        Knob(
            "verify_key", "", "path", "public key (PEM) that a version must be signed for, to start; empty: none", True
        ),
        Knob("start_timeout_s", 60.0, "seconds", "how long a worker may take to be ready"),
        Knob("drain_s", 5.0, "seconds", "how long a replaced worker keeps answering connections it holds", True),
        Knob("idle_s", 600.0, "seconds", "how long the background process stays when nothing runs and nobody asks"),
        Knob("conflicts", "warn", "", "requirements that do not fit together: warn of them, or refuse to build"),
        Knob("build_timeout_s", 600.0, "seconds", "how long one step of a build may take in its clean process"),
        Knob(
            "log_bytes", 5 * 1024 * 1024, "bytes", "size at which a deployment's log is rotated; one older file is kept"
        ),
        Knob(
            "bake_minutes",
            10.0,
            "minutes",
            "how long after a swap a broken SLO is put down to the new version",
            True,
            worker=False,
        ),
        Knob(
            "actions_per_hour",
            6,
            "actions",
            "most that recovery does to one deployment within an hour",
            True,
            worker=False,
        ),
        Knob(
            "alert_webhook", "", "URLs", "where alerts are posted to as signed JSON; file:/path holds one", True, False
        ),
        Knob(
            "alert_slack",
            "",
            "URLs",
            "Slack-style chats alerts are posted to; file:/path holds an address",
            True,
            False,
        ),
        Knob("alert_email", "", "", "addresses that alerts are mailed to, separated by commas", True, False),
        Knob(
            "alert_smtp", "", "URLs", "server that mails them: smtp://user@host:587 or smtps://user@host", True, False
        ),
        Knob("alert_command", "", "", "command that is run for alerts, with JSON on its standard input", True, False),
        Knob("alert_secret_file", "", "path", "file with the secret that webhooks are signed with", True, False),
        Knob("alert_smtp_password_file", "", "path", "file with the mail server's password", True, False),
        Knob("alert_severity", "warning", "", "least severity that is sent: info, warning or critical", True, False),
        Knob("retune_every", "", "", "how often it is re-tuned by itself: 24h, 7d; empty: never", True, False),
        Knob(
            "retune_promote",
            "ask",
            "",
            "what a re-tune that nobody asked for does with what it found: ask, or auto",
            True,
            worker=False,
            choices=("ask", "auto"),
        ),
        Knob(
            "retune_incidents",
            "suggest",
            "",
            "whether drift or a broken SLO re-tunes by itself: suggest, or act",
            True,
            worker=False,
            choices=("suggest", "act"),
        ),
        Knob(
            "retune_memory_bytes",
            0,
            "bytes",
            "most memory of one step of a re-tune; 0: half of what is free",
            True,
            worker=False,
        ),
        Knob("image_base", "", "", "image that lean images stand on; empty: python:3.X-slim-bookworm of Docker Hub"),
        Knob("image_timeout_s", 1800.0, "seconds", "how long building an image, or shipping elsewhere, may take"),
        Knob("image_engine", "", "", "container engine: docker, podman, nerdctl, buildah, buildctl or archive"),
        Knob("keep_versions", 20, "versions", "unused versions kept for rolling back; older ones are removed"),
    )
}

_chosen: dict[str, Any] = {}


def get(name: str) -> Any:
    """Return the value of the knob `name`, in its default's type.

    Raises `InvalidOption` where a value that the person gave is not of that type.
    """
    knob = KNOBS[name]
    if name in _chosen:
        return _chosen[name]
    if knob.env in os.environ:
        return _parse(knob, os.environ[knob.env], knob.env)
    project = _project_table(Path.cwd())
    if name in project:
        return _parse(knob, project[name], f"[tool.autodeploy_magic] {name}")
    return knob.default


def set_option(name: str, value: Any) -> None:
    """Choose a value for this process."""
    if name not in KNOBS:
        raise InvalidOption(f"there is no setting {name!r}", fix=f"the settings are: {', '.join(sorted(KNOBS))}")
    _chosen[name] = _parse(KNOBS[name], value, f"setting {name}")


def is_set(name: str) -> bool:
    """Whether somebody has chosen a value, here or in the environment or in the project."""
    return name in _chosen or KNOBS[name].env in os.environ or name in _project_table(Path.cwd())


def travelling(before: Mapping[str, Any] | None = None, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values that a deployment is to keep, as they are here and now; of knobs that stay as they were `before`.

    `given` are values that were typed for this deployment. Raises `InvalidOption`.
    """
    found = {knob.name: get(knob.name) for knob in KNOBS.values() if knob.travels}
    before = before or {}
    found |= {name: before[name] for name, knob in KNOBS.items() if knob.stays and name in before and not is_set(name)}
    typed = {name: value for name, value in (given or {}).items() if value is not None}
    return found | {name: _parse(KNOBS[name], value, f"--{name.replace('_', '-')}") for name, value in typed.items()}


def of_workers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a deployment's values that its workers are given."""
    return {name: value for name, value in values.items() if name not in KNOBS or KNOBS[name].worker}


def reset() -> None:
    """Forget what `set_option` chose and what was read from files."""
    _chosen.clear()
    _project_table.cache_clear()


def _parse(knob: Knob, value: Any, source: str) -> Any:
    kind = type(knob.default)
    try:
        if kind is bool and isinstance(value, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[value.lower()]
        if knob.unit == "path" and value:
            return str(Path(value).expanduser().absolute())  # a worker has another working directory
        if knob.choices:
            return {choice: choice for choice in knob.choices}[value]
        if knob.unit == "share":
            return _share(value)
        if knob.unit == "URLs":
            return ",".join(_address(knob, part.strip()) for part in str(value).split(",") if part.strip())
        return kind(value)
    except (KeyError, TypeError, ValueError) as error:
        if knob.choices:
            raise InvalidOption(
                f"{source} cannot be {value!r}", why=knob.help, fix=f"use {' or '.join(knob.choices)}"
            ) from error
        raise InvalidOption(
            f"{source} is {value!r}, which is not a {kind.__name__}",
            why=knob.help,
            fix="use 0 to 1, or a percentage such as 10%"
            if knob.unit == "share"
            else f"give {source} a {kind.__name__}" + (f" in {knob.unit}" if knob.unit else ""),
        ) from error


def _share(value: Any) -> float:
    """0.1 of 0.1, "0.1" and "10%". Raises `ValueError`."""
    text = str(value).strip()
    found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= found <= 1:
        raise ValueError(text)
    return found


def _address(knob: Knob, typed: str) -> str:
    """An address as a deployment keeps it. Raises `InvalidOption` where it holds a password."""
    if typed.startswith("file:"):
        return f"file:{Path(typed.removeprefix('file:')).expanduser().absolute()}"
    try:
        secret = urlsplit(typed).password
    except ValueError:
        secret = None
    if secret:
        raise InvalidOption(
            f"the address in {knob.name} holds a password",
            why="a deployment keeps its settings, and passwords do not belong among them",
            fix=f"write the address into a file that only you can read, and set {knob.name} to file:/path/of/it",
        )
    return typed


@cache
def _project_table(start: Path) -> dict[str, Any]:
    import tomllib

    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            try:
                tool = tomllib.loads(file.read_text("utf-8")).get("tool", {})
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
                return {}  # a damaged pyproject.toml is its owner's to mend, and no reason to refuse a deployment
            found = tool.get("autodeploy_magic", {}) if isinstance(tool, dict) else {}
            return found if isinstance(found, dict) else {}
    return {}
