"""Values that people typed, on their way into generated files: what is refused, and how the rest is quoted.

YAML and JSON are made by libraries from plain values, never from templates with values in them. A script holds no value
at all: it reads them from its environment, or from a file of `KEY='value'` lines.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from autodeploy_magic.errors import InvalidOption

__all__ = [
    "check_host",
    "check_label",
    "check_namespace",
    "check_reference",
    "check_text",
    "commented",
    "dockerfile_text",
    "dockerfile_words",
    "env_file",
    "holds_secret",
    "one_line",
    "yaml_of",
]

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
    rf"(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::[\w][\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
"""A reference to an image. Source: github.com/distribution/reference, its grammar, for SHA-256 alone."""

_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")


def check_text(value: str, what: str) -> str:
    """Return a text of one line. Raises `InvalidOption` where it holds a control character or a line's end."""
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidOption(
                f"{what} holds the character {character!r}",
                why="it would become part of a generated file, and might be read as something else there",
                fix="leave it out",
            )
    return value


def one_line(value: str) -> str:
    """A text that was given long ago, and cannot be refused any more, as one line: controls become spaces."""
    shown = "".join(" " if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") else one for one in value)
    return " ".join(shown.split())


def holds_secret(value: object) -> bool:
    """Whether a value is an address, or a list of them, that may hold what nobody else is to see.

    That is a user name or a password ("@"), or a query ("?"), in which keys are handed over. Wherever in the address
    they stand: what cannot be taken apart, and a password with a "," or a "/" in it, count too.
    """
    return isinstance(value, str) and "://" in value and ("@" in value or "?" in value)


def check_reference(value: str) -> str:
    """Return a reference to an image, such as "registry.example.com/team/iris:v3". Raises `InvalidOption`."""
    if len(value) <= 255 + 64 + 8 and _REFERENCE.fullmatch(value):
        return value
    raise InvalidOption(
        f"{value!r} cannot name an image",
        why="a name is [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST], and its path is of small letters",
        fix="use one such as registry.example.com/team/iris:v3",
    )


def check_host(value: str) -> str:
    """Return a host name as DNS has them, in small letters. Raises `InvalidOption`."""
    if len(value) <= 253 and _HOST.fullmatch(value):
        return value
    raise InvalidOption(f"{value!r} is not the name of a host", fix="use one such as iris.example.com")


def check_namespace(value: str) -> str:
    """Return a name as Kubernetes has them (RFC 1123): letters, digits and '-', at most 63. Raises `InvalidOption`."""
    if _NAMESPACE.fullmatch(value):
        return value
    raise InvalidOption(
        f"{value!r} cannot name a namespace", why="a name has small letters, digits and '-'", fix="use one such as ml"
    )


def check_label(value: str) -> str:
    """Return `value` as a Kubernetes label has it: what may not stand there becomes "_"; at most 63 characters."""
    return _NOT_IN_LABELS.sub("_", value)[:63].strip("_.-")


def yaml_of(documents: Iterable[Mapping[str, Any]] | Mapping[str, Any], *, head: str = "") -> str:
    """Return YAML of one document, or of several, with a comment before them. Keys stay in their order.

    Texts that YAML 1.1 would read as something else ("no", "1e3", "012") are quoted by the library.
    """
    import yaml

    several = [documents] if isinstance(documents, Mapping) else list(documents)
    text: str = yaml.dump_all(
        [json.loads(json.dumps(one)) for one in several],  # plain values only, and no anchors for what is shared
        Dumper=yaml.SafeDumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
        explicit_start=len(several) > 1,
    )
    return commented(head) + text


def commented(head: str) -> str:
    """Lines as comments that begin with #, as YAML, shells and Dockerfiles have them; "" for none."""
    return "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())


def env_file(values: Mapping[str, str]) -> str:
    """Lines of KEY='value' that a POSIX shell reads with `.`, and nothing in them is run."""
    return "".join(f"{key}={shlex.quote(check_text(value, key))}\n" for key, value in values.items())


def dockerfile_words(words: Iterable[str]) -> str:
    """The JSON form of a command: each word stands for itself."""
    return json.dumps(list(words), ensure_ascii=True)


def dockerfile_text(value: str, what: str) -> str:
    """A value of LABEL or ENV in double quotes, in which nothing is expanded. Raises `InvalidOption`."""
    escaped = re.sub(r'([\\"$])', r"\\\1", check_text(value, what))
    return f'"{escaped}"'
