"""What container engines say when something fails, in our words: what it was, why, and what to do.

Each line of the table is a pattern of what Docker, Podman, Buildah, nerdctl or BuildKit write, the first that is found
counts. Their own words are always kept as the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from autodeploy_magic.errors import ShipFailed

__all__ = ["Kind", "explained", "kind_of"]

_LAST_LINES = 6


@dataclass(frozen=True)
class Kind:
    """A kind of failure. `what` and `fix` may name {engine} and {base}."""

    name: str
    pattern: re.Pattern[str]
    what: str
    fix: str


def _kind(name: str, pattern: str, what: str, fix: str) -> Kind:
    return Kind(name, re.compile(pattern, re.IGNORECASE), what, fix)


_KINDS = (
    _kind(
        "space",
        r"no space left on device|disk quota exceeded|not enough space|ENOSPC|EDQUOT",
        "{engine} ran out of space on the disk",
        "free some: `{engine} image prune` removes images that nothing uses; then try again",
    ),
    _kind(
        "subids",
        r"subuid|subgid|newuidmap|newgidmap|insufficient UIDs or GIDs|not enough unused UIDs",
        "{engine} may not make the users that an image needs",
        "give this user ranges in /etc/subuid and /etc/subgid: `usermod --add-subuids 100000-165535 --add-subgids"
        " 100000-165535 $USER`, then `{engine} system migrate`; or --engine archive, which needs no engine",
    ),
    _kind(
        "rights",
        r"permission denied.{0,80}(docker|daemon|socket|\.sock)|\.sock: connect: permission denied"
        r"|(cannot|failed to) (set up|create).{0,30}namespace|cannot clone: Operation not permitted"
        r"|must be (run as )?root|rootless mode is not|unshare.{0,20}operation not permitted",
        "{engine} is not ours to use",
        "let this user use it (Docker: `sudo usermod -aG docker $USER`, then log in again), or use Podman, which needs"
        " no rights; or --engine archive, which needs no engine",
    ),
    _kind(
        "stopped",
        r"cannot connect to the docker daemon|is the docker daemon running|cannot connect to podman"
        r"|(docker|podman|containerd|buildkitd?)[^\n]{0,60}\.sock[^\n]{0,60}(no such file|connection refused)"
        r"|machine.{0,40}(not running|is stopped)|rootless containerd not running|error during connect",
        "{engine} is installed and does not run",
        "start it (Docker: `sudo systemctl start docker`, or Docker Desktop; Podman on a Mac: `podman machine start`);"
        " or --engine archive, which needs no engine",
    ),
    _kind(
        "limited",
        r"toomanyrequests|rate limit",
        "the registry of {base} lets nobody pull more for now",
        "log in (`{engine} login`), wait, or give another image with --base",
    ),
    _kind(
        "login",
        r"unauthorized|authentication required|no basic auth credentials|denied: requested access"
        r"|requested access to the resource is denied|pull access denied|status code 40[13]|403 forbidden",
        "the registry does not give {base} to us",
        "log in with `{engine} login REGISTRY` if it is private, or check its name; --base gives another image, and may"
        " be an archive",
    ),
    _kind(
        "unreachable",
        r"no such host|name resolution|i/o timeout|network is unreachable|no route to host|TLS handshake timeout"
        r"|x509:|dial tcp|context deadline exceeded|connection refused|connection reset|server gave HTTP response",
        "the registry of {base} cannot be reached",
        "check the network and its proxy; or give an image that is on this machine, or the path of an archive, with"
        " --base (AUTODEPLOY_IMAGE_BASE)",
    ),
    _kind(
        "base",
        r"manifest unknown|not found: manifest|name unknown|image not known|no such image|did not resolve to an alias"
        r"|reading manifest .* in|repository .* not found|not found in (local )?storage|: not found\b|no image found",
        "there is no image {base} to build on",
        "check the name; `{engine} images` shows what is here, and --base (AUTODEPLOY_IMAGE_BASE) names one",
    ),
    _kind(
        "platform",
        r"exec format error|no match for platform|no image found in (manifest|image index)",
        "{base} is not made for this kind of processor",
        "leave --platform out, or give an image for it with --base",
    ),
)


def kind_of(output: str) -> Kind | None:
    """What kind of failure the output of an engine tells of; None where it is none that is known."""
    return next((kind for kind in _KINDS if kind.pattern.search(output)), None)


def explained(engine: str, output: str, otherwise: str, *, base: str = "the base image") -> ShipFailed:
    """The error that an engine's output tells of; `otherwise` is what happened where its words are not known."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    why = "\n".join(lines[-_LAST_LINES:])
    kind = kind_of(output)
    if kind is None:
        fix = "the engine's own words are above; the deployment that serves was not touched"
        return ShipFailed(otherwise, why=why, fix=fix, kind="")
    values = {"engine": engine, "base": base}
    return ShipFailed(kind.what.format(**values), why=why, fix=kind.fix.format(**values), kind=kind.name)
