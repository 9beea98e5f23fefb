"""What leaves this machine: images, and the files that other places need. Frozen records; see `contracts`."""

from __future__ import annotations

import sys
from typing import Literal

import msgspec

from autodeploy_magic.contracts import Record
from autodeploy_magic.errors import InvalidOption

__all__ = [
    "APP_USER",
    "PORT",
    "Cancelled",
    "Flavour",
    "Image",
    "ImageUse",
    "Offer",
    "OfferedOption",
    "OfferedTarget",
    "Shipment",
    "Shipped",
    "Wanted",
    "check_containers",
]

Flavour = Literal["lean", "bento"]
"""What an image is made of: our serving road and what the version needs, or BentoML's own image of the Bento."""

ImageUse = Literal["needed", "named", "none"]
"""What a target does with an image: it takes nothing without one, names it where there is one, or has no use for it."""

APP_USER = 65532
"""The user and the group that an image runs as: the number that distroless images gave to "nonroot"."""

PORT = 3000
"""The port that an image listens on where `PORT` in its environment names no other."""


class Image(Record, frozen=True, kw_only=True):
    """An image that was built of a version, and proved.

    `name` is what the engine knows it by ("iris:v3"), `digest` the digest of its manifest or, where an engine keeps
    none, of its configuration ("sha256:…"). `engine` is "" for one that was written as an OCI archive, `archive` the
    path of that file, "" for none. `base` is the image that it stands on. `content` is the digest of what we put on top
    of it: the same version gives the same.

    `checked` says how it was proved: "started" in the engine, or "outside", where no engine here can run it and its
    files answered on this machine. Of that, `rows` answered as they should, the server was ready after `ready_s` and
    had `rss_bytes` of memory then. `run` are the lines for a shell that run it here. `build_s` is what the whole build
    took. `created_at` is ISO 8601 in UTC.
    """

    deployment: str
    version: int
    version_digest: str
    name: str
    flavour: Flavour
    engine: str
    digest: str = ""
    archive: str = ""
    base: str = ""
    content: str = ""
    size_bytes: int = 0
    added_bytes: int = 0
    checked: Literal["started", "outside"] = "started"
    rows: int = 0
    ready_s: float = 0.0
    rss_bytes: int = 0
    build_s: float = 0.0
    created_at: str = ""
    notes: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


class Wanted(Record, frozen=True, kw_only=True):
    """What somebody asks of `containerize`; "" for what is usual.

    `engine` may be "archive": an OCI archive is written, and no engine needed. `base` is the image that a lean one
    stands on: a reference that the engine knows or pulls, or the path of an OCI archive. `tag` names it otherwise than
    NAME:vN. `platform` is "linux/amd64" or "linux/arm64". `folder` is where an archive goes, absolute.
    """

    engine: str = ""
    flavour: Literal["", "lean", "bento"] = ""
    base: str = ""
    tag: str = ""
    platform: str = ""
    folder: str = ""


class Shipment(Record, frozen=True, kw_only=True):
    """What somebody asks of `ship`: which target, into which folder ("" for the target's own way).

    A folder that is not absolute is one within the person's home, as "~/iris" is.

    `image` is a reference to an image that is to be named instead of the one that was built last. `options` are the
    target's own, as they were typed. With `replace` what an earlier `ship` wrote there gives way.
    """

    target: str
    folder: str = ""
    image: str = ""
    options: dict[str, str] = msgspec.field(default_factory=dict)
    replace: bool = False


class Shipped(Record, frozen=True, kw_only=True):
    """What `ship` did: the files that it wrote, relative to `folder`, what is good to know, and what to do next.

    `next` are commands that a person runs, in this order. `url` is where it answers, of a target that serves at once.
    """

    target: str
    deployment: str
    version: int
    folder: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    url: str = ""


class Cancelled(Record, frozen=True, kw_only=True):
    """What was under way of a deployment, and was ended as somebody asked, `after_s` from its beginning.

    `title` is what its activity was called ("containerize iris"). Nothing is left of it.
    """

    deployment: str
    title: str
    after_s: float = 0.0


class OfferedOption(Record, frozen=True, kw_only=True):
    """An option of a target, as a form shows it. `default` is written as a person would type it; see `ship.base`.

    One that is `required` has no value that could be a default.
    """

    name: str
    help: str
    kind: Literal["text", "whole", "number", "yes_no"] = "text"
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


class OfferedTarget(Record, frozen=True, kw_only=True):
    """A place that a version can go to; `about` says what is written. One that is `at_once` serves there, too."""

    name: str
    about: str
    options: tuple[OfferedOption, ...] = ()
    image: ImageUse = "named"
    at_once: bool = False


class Offer(Record, frozen=True, kw_only=True):
    """Where the version that serves can go: what there is to choose from before a `Shipment` is ordered.

    `image` is what the image of it that was built last is called, "" where none was. `broken` are targets that some
    package brings and that cannot be used, each with the reason.
    """

    deployment: str
    version: int
    image: str = ""
    targets: tuple[OfferedTarget, ...] = ()
    broken: tuple[str, ...] = ()


def check_containers() -> None:
    """Raise `InvalidOption` where containers do not run on this very kernel: sockets cannot be handed to a machine."""
    if sys.platform != "linux":
        raise InvalidOption(
            "--target container needs Linux",
            why="engines elsewhere run containers in a virtual machine, which no listening socket can be handed to",
            fix="`%deploy containerize` builds the image all the same, and says how to run it",
        )
