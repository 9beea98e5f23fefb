"""What container engines say when something fails, in our words: what it was, why, and what to do.

Each line of the table is a pattern of what Docker, Podman, Buildah, nerdctl or BuildKit write, the first that is found
counts. Their own words are always kept as the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from autodeploy_magic.errors import ShipFailed

__all__ = ["Kind", "advised", "explained", "is_contested", "kind_of"]

_LAST_LINES = 6
_WARNING = re.compile(
    r"^(time=\S+ )?(level=(warning|info|debug)\b|WARN|WARNING:)|no subuid ranges found", re.IGNORECASE
)
"""Podman warns in many words of what it can do without; what stopped it stands in a line of its own."""
_ANEW = "`autodeploy doctor --restart` begins it anew, and what serves goes on"


@dataclass(frozen=True)
class Kind:
    """A kind of failure. `what` and `fix` may name {engine} and {base}. `archive`: without an engine it would work."""

    name: str
    pattern: re.Pattern[str]
    what: str
    fix: str
    archive: bool = False


def _kind(name: str, pattern: str, what: str, fix: str, *, archive: bool = False) -> Kind:
    return Kind(name, re.compile(pattern, re.IGNORECASE | re.MULTILINE), what, fix, archive)


_KINDS = (
    _kind(
        "namespaces",  # before "space": the kernel says ENOSPC where it may make no more of them
        r"user namespaces are not enabled|cannot clone: |unshare\(CLONE_NEWUSER\)|unshare.{0,30}(operation not"
        r" permitted|no space left)|unprivileged_userns_clone|(cannot|failed to) create.{0,30}namespace",
        "{engine} needs a user namespace, and this system lets this user make none",
        "ask whoever runs this system to allow them: `sudo sysctl user.max_user_namespaces=15000`, on older Debian"
        " `sudo sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu from 23.10 on an AppArmor profile of the engine;"
        " or use an engine that runs as root",
        archive=True,
    ),
    _kind(
        "uidmap",
        r"\"?new[ug]idmap\"?:? executable file not found|new[ug]idmap.{0,20}should (be|have) setuid"
        r"|new[ug]idmap: write to .id_map failed",
        "{engine} cannot make the users that an image needs: newuidmap is missing, or may not",
        "install it (Debian, Ubuntu: `sudo apt install uidmap`; Fedora: shadow-utils); where it is there, it has to be"
        " setuid: `sudo chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap`",
        archive=True,
    ),
    _kind(
        "subids",
        r"subuid|subgid|newuidmap|newgidmap|insufficient UIDs or GIDs|not enough unused UIDs",
        "{engine} may not make the users that an image needs",
        "give this user ranges in /etc/subuid and /etc/subgid: `sudo usermod --add-subuids 100000-165535 --add-subgids"
        " 100000-165535 $USER` (other numbers where another user has these), then `podman system migrate`",
        archive=True,
    ),
    _kind(
        "space",
        r"no space left on device|disk quota exceeded|not enough space|ENOSPC|EDQUOT",
        "{engine} ran out of space on the disk",
        "free some: `{engine} image prune` removes images that nothing uses; then try again",
    ),
    _kind(
        "rights",
        r"permission denied.{0,80}(docker|daemon|socket|\.sock)|\.sock: connect: permission denied"
        r"|must be (run as )?root|rootless mode is not",
        "{engine} is not ours to use",
        "let this user use it (Docker: `sudo usermod -aG docker $USER`, then log in again; the background process keeps"
        f" the groups that it began with: {_ANEW}), or use Podman, which needs no rights",
        archive=True,
    ),
    _kind(
        "stopped",
        r"cannot connect to the docker daemon|is the docker daemon running|cannot connect to podman"
        r"|(docker|podman|containerd|buildkitd?)[^\n]{0,60}\.sock[^\n]{0,60}(no such file|connection refused)"
        r"|machine.{0,40}(not running|is stopped)|rootless containerd not running|error during connect"
        r"|failed to connect to the docker api|unable to resolve docker endpoint",
        "{engine} is installed and does not run",
        "start it (Docker: `sudo systemctl start docker`, or Docker Desktop; Podman on a Mac: `podman machine start`)",
        archive=True,
    ),
    _kind(
        "hangs",
        r"did not answer within",
        "{engine} is installed and does not answer",
        "`{engine} info` in a terminal should answer at once; if it does not, start it anew (Docker: `sudo systemctl"
        " restart docker`)",
        archive=True,
    ),
    _kind(
        "old",
        r"^(error: )?unknown (shorthand )?flag\b|^flag provided but not defined|can't evaluate field"
        r"|client version \S+ is too (old|new)|client is newer than server|^unknown command \S+ for",
        "{engine} does not know what it is asked: its version is too old for that, or does not fit its daemon",
        "update it (tried with Podman 4.3, Buildah 1.28 and Docker 20.10), or use another one",
        archive=True,
    ),
    _kind(
        "cgroups",
        r"(runc|crun|OCI runtime)[^\n]{0,80}cgroup|cgroups? in hybrid mode|cgroups? (v1|v2) .{0,40}not supported",
        "{engine} builds here, and cannot start a container: its runtime does not get along with this system's cgroups",
        'try its other runtime: install runc, and write `runtime = "runc"` below `[engine]` in'
        " ~/.config/containers/containers.conf; on a system of your own, boot with cgroups v2",
    ),
    _kind(
        "network",
        r"slirp4netns|pasta failed|netavark[^\n]{0,80}(error|failed)|/dev/net/tun|setup network|RTNETLINK",
        "{engine} cannot give a container a network here",
        "run it with `--network host` and another PORT, or install slirp4netns and let this user open /dev/net/tun",
    ),
    _kind(
        "contested",  # Podman 4.3 has lost containers of a build while another of its commands ended
        r"identifier is not a (container|layer)|layer not known",
        "{engine} lost a part of what it was building, while another of its commands was at work",
        "try again, when nothing else is built or removed with {engine}",
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


def is_contested(output: str) -> bool:
    """Whether two commands of an engine were in each other's way, so that the same command may work a second time."""
    kind = kind_of(output)
    return kind is not None and kind.name == "contested"


def kind_of(output: str) -> Kind | None:
    """What kind of failure the output of an engine tells of; None where it is none that is known.

    What it only warned of counts where nothing else tells.
    """
    lines = output.splitlines()
    for text in ("\n".join(line for line in lines if not _WARNING.search(line)), output):
        if found := next((kind for kind in _KINDS if kind.pattern.search(text)), None):
            return found
    return None


def explained(
    engine: str, output: str, otherwise: str, *, base: str = "the base image", at: str = "", archive: bool = True
) -> ShipFailed:
    """The error that an engine's output tells of; `otherwise` is what happened where its words are not known.

    `at` is where the engine was told that its daemon is ("DOCKER_HOST=tcp://…"), "" for its usual place. `archive` says
    that an OCI archive would do as well.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not _WARNING.search(line)] or lines
    why = "\n".join(lines[-_LAST_LINES:])
    kind = kind_of(output)
    if kind is None:
        fix = "the engine's own words are above; the deployment that serves was not touched"
        return ShipFailed(otherwise, why=why, fix=fix, kind="")
    values = {"engine": engine, "base": base}
    what, fix = kind.what.format(**values), kind.fix.format(**values)
    if at and kind.name in ("stopped", "hangs", "unreachable"):
        what = f"{engine} does not answer where {at} says that it is"
        variable = at.partition("=")[0]
        fix = f"correct {variable}, or unset it for the {engine} of this machine; the background process keeps the"
        fix += f" variables that it began with: {_ANEW}"
    if kind.archive and archive:
        fix += "; or --engine archive, which needs no engine"
    return ShipFailed(what, why=why, fix=fix, kind=kind.name)


def advised(output: str) -> str:
    """An engine's words that it runs no containers, and what to do about it where that is known."""
    kind = kind_of(output)
    return output if kind is None else f"{output} ({kind.fix.format(engine='the engine', base='the base image')})"
