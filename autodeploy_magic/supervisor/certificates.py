"""The certificates of deployments: looked at before anything is swapped, and made where we are to make them."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
import time
from pathlib import Path

import psutil

from autodeploy_magic import tls
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.store import Store, write_atomic
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["provide", "wanted_names"]

log = logging.getLogger(__name__)

MAKE_S = 60.0
_HOST_NAME = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


async def provide(store: Store, zygotes: Zygotes, desired: Desired) -> None:
    """Have the certificate of `desired` ready, so that workers can serve with it.

    One of ours is made where there is none, where it ends within `tls.SOON_S`, or where it does not cover the host.
    Raises `InvalidOption` for a person's own that cannot be used, and `MissingPackage`.
    """
    folder = store.tls_folder(desired.name)
    if not desired.tls:
        return
    if desired.tls != tls.AUTO:
        tls.usable(await asyncio.to_thread(tls.read, desired.tls, folder))
        return
    old = await asyncio.to_thread(_made, folder)
    if old is not None and old.until - time.time() > tls.SOON_S and all(map(old.covers, _needed(desired))):
        return
    names = await asyncio.to_thread(wanted_names, desired)
    log.info("%s: making a certificate for %s", desired.name, ", ".join(names))
    target = "autodeploy_magic.supervisor.selfsigned:make"
    spec = {"title": f"autodeploy {desired.name}", "names": names}
    pem = await run_job(zygotes, Job(executable=desired.executable, target=target, spec=spec, timeout_s=MAKE_S))
    await asyncio.to_thread(_write, store, desired.name, pem["certificate"], pem["key"])


def wanted_names(desired: Desired) -> list[str]:
    """What a certificate of ours covers: this machine as itself and others may call it, and what the person listed."""
    names = [desired.host, "localhost", "127.0.0.1", "::1", socket.gethostname().lower(), *_needed(desired)]
    address = ipaddress.ip_address(desired.host)
    if address.is_unspecified:  # every interface
        kinds = (socket.AF_INET, socket.AF_INET6)
        found = (entry for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in kinds)
        names += [entry.address for entry in found if "%" not in entry.address]
    return [name for name in dict.fromkeys(names) if _is_name(name)]


def _needed(desired: Desired) -> list[str]:
    """The names without which a certificate is no good; others may change with the network it is used in."""
    listed = [name.strip().lower() for name in str(desired.settings.get("hosts", "")).split(",")]
    return [desired.host, *(re.sub(r":\d+$", "", name) for name in listed if name not in ("", "*"))]


def _is_name(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _HOST_NAME.fullmatch(name) is not None
    return True


def _made(folder: Path) -> tls.Certificate | None:
    """The certificate that was made, if it can still be used."""
    try:
        certificate = tls.read(tls.AUTO, folder)
        tls.usable(certificate)
        return certificate if certificate.trusted.is_file() else None
    except InvalidOption:
        return None


def _write(store: Store, name: str, certificate: str, key: str) -> None:
    """Write both files. What clients trust comes first, and holds the certificate before too while that is served."""
    folder = store.tls_folder(name)
    folder.mkdir(mode=0o700, exist_ok=True)
    served, trusted = tls.made_files(folder)
    before = _first_certificate(served) if _made(folder) is not None else ""
    write_atomic(trusted, (certificate + before).encode("ascii"))
    write_atomic(served, (certificate + key).encode("ascii"))


def _first_certificate(file: Path) -> str:
    end = "-----END CERTIFICATE-----\n"
    before, found, _ = file.read_text("ascii").partition(end)
    return before + found
