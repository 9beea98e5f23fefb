"""The recipe of a lean image for an engine: it copies and says how to start. Nothing of it is run in a build."""

from __future__ import annotations

import re

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.image.context import Context
from autodeploy_magic.ship.text import check_reference, commented, dockerfile_text, dockerfile_words

__all__ = ["HEALTH", "containerfile"]

HEALTH = {"interval": 10, "timeout": 3, "start-period": 20, "retries": 3}
"""How often it is asked whether it is well, how long it may take to say so, both in seconds; how long it may take to
start; and how many times in a row it may not answer."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def containerfile(context: Context, base: str) -> str:
    """The Containerfile (Dockerfile) that puts `context` on the image `base`, with `context.root` as its folder.

    Raises `InvalidOption` for a value that cannot be part of one.
    """
    lines = [f"FROM {check_reference(base)}"]
    # A file of one part is copied into the folder, a folder onto itself: COPY takes what is in a folder.
    for part in context.parts:
        for path in part.paths:
            source = context.root / path
            target = f"/{path}/" if source.is_dir() else f"/{path}"
            copied = f"{path}/" if source.is_dir() else path
            lines.append(f"COPY --chown=0:0 {dockerfile_words([copied, target])}")
    # One instruction each: engines keep an image in between for every one of them.
    for word, values, rule in (("ENV", context.env, _NAME), ("LABEL", context.labels, _LABEL)):
        pairs = [f"{_word(name, rule)}={dockerfile_text(value, name)}" for name, value in values.items()]
        lines += [f"{word} {' '.join(pairs)}"] if pairs else []
    timing = f"--interval={HEALTH['interval']}s --timeout={HEALTH['timeout']}s"
    timing += f" --start-period={HEALTH['start-period']}s --retries={HEALTH['retries']}"
    lines += [
        f"WORKDIR {context.workdir}",
        f"USER {context.user}",
        f"EXPOSE {context.port}",
        f"STOPSIGNAL {context.stop_signal}",
        f"HEALTHCHECK {timing} CMD {dockerfile_words(context.health)}",
        f"ENTRYPOINT {dockerfile_words(context.entrypoint)}",
        "CMD []",
    ]
    return commented("Made by autodeploy_magic. It needs no network, and runs nothing.") + "\n".join(lines) + "\n"


def _word(name: str, rule: re.Pattern[str]) -> str:
    if rule.fullmatch(name):
        return name
    raise InvalidOption(f"{name!r} cannot name a variable or a label of an image", fix="use letters, digits and _")
