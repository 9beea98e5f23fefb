"""HTTPS: what a certificate says of itself, and the contexts of both ends.

The standard library does it all: a certificate is read by a handshake with itself, in memory, which finds whatever a
client would. Only making one takes a package; see `supervisor.selfsigned`.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from autodeploy_magic.disk import Stamp, stamp
from autodeploy_magic.errors import InvalidOption

__all__ = [
    "AUTO",
    "SOON_S",
    "Certificate",
    "chosen",
    "client_context",
    "load",
    "made_files",
    "read",
    "server_context",
    "trusted_file",
    "usable",
]

AUTO = "auto"
"""The value of `Desired.tls` that stands for a certificate that we make."""
SOON_S = 30 * 24 * 3600.0
"""So long before its end a certificate that we made is made anew, and one that we did not is warned of."""
_ANY_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: what has ended is read too, so that we can say when."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, PEM files both, and perhaps one and the same; clients verify against `trusted`.

    `names` are the host names and IP addresses that it covers; `since` and `until` seconds since the epoch.
    """

    chain: Path
    key: Path
    trusted: Path
    names: tuple[str, ...]
    since: float
    until: float

    def covers(self, host: str) -> bool:
        """Whether a client that calls `host` takes this certificate."""
        host = _plain(host)
        return host in self.names or f"*.{host.partition('.')[2]}" in self.names

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names among `names`, without the addresses."""
        return tuple(name for name in self.names if not _is_address(name))


def chosen(text: str) -> str:
    """What a person typed as `Desired.tls`: "" for "off", "auto", or absolute paths of files that were looked at.

    Raises `InvalidOption` where the files cannot serve.
    """
    if text in ("off", AUTO):
        return "" if text == "off" else AUTO
    # Not resolved: what renews certificates likes to replace a link.
    files = ",".join(str(Path(part).expanduser().absolute()) for part in _parts(text))
    usable(read(files, Path()))
    return files


def made_files(folder: Path) -> tuple[Path, Path]:
    """Of a certificate that we made, in `folder`: the file with its key too, and the one to hand out."""
    return folder / "server.pem", folder / "certificate.pem"


def trusted_file(tls: str, folder: Path) -> Path:
    """The file that clients verify against, whether or not it is there."""
    return made_files(folder)[1] if tls == AUTO else Path(_parts(tls)[0])


def read(tls: str, folder: Path) -> Certificate:
    """Return the certificate that `Desired.tls` stands for; one that we made lies in `folder`.

    It may have ended. Raises `InvalidOption` where there is none, or its key does not fit.
    """
    if tls == AUTO:
        chain, trusted = made_files(folder)
        return _read(chain, chain, trusted, stamp(chain), stamp(chain))
    chain, key = (Path(part) for part in (_parts(tls) * 2)[:2])
    return _read(chain, key, chain, stamp(chain), stamp(key))


def usable(certificate: Certificate) -> None:
    """Raise `InvalidOption` for a certificate that no client would take now."""
    now = time.time()
    fix = "bring one that is valid now, or let one be made: --tls auto"
    if certificate.until <= now:
        raise InvalidOption(f"the certificate in {certificate.chain} ended on {_day(certificate.until)}", fix=fix)
    if certificate.since > now:
        raise InvalidOption(f"the certificate in {certificate.chain} begins on {_day(certificate.since)}", fix=fix)
    if not certificate.names:
        raise InvalidOption(
            f"the certificate in {certificate.chain} names no host",
            why="clients look for the host in its subjectAltName, and nowhere else",
            fix=fix,
        )


def server_context(chain: Path, key: Path, *protocols: str) -> ssl.SSLContext:
    """The context of a server that speaks `protocols`: TLS 1.2 and up, with the ciphers that Python chooses.

    Raises `InvalidOption` saying what is wrong with the files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(protocols)
    load(context, chain, key)
    return context


def load(context: ssl.SSLContext, chain: Path, key: Path) -> None:
    """Put a certificate into a server's context, in place of the one before. Raises `InvalidOption`."""
    _look_for(chain, b"-----BEGIN CERTIFICATE-----", "certificate")
    _look_for(key, b"PRIVATE KEY-----", "key")
    try:
        context.load_cert_chain(chain, key, password=_no_password)
    except _Encrypted:
        raise InvalidOption(
            f"the key in {key} is encrypted",
            why="workers start by themselves, and nobody is there to type its password",
            fix=f"decrypt it into a file of yours alone: openssl pkey -in {key} -out key.pem",
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidOption(
                f"the key in {key} is not that of the certificate in {chain}",
                fix="bring the two that were made together; the server's own certificate stands first in its file",
            ) from error
        raise _unfit(chain, error) from error
    except OSError as error:
        raise _unfit(chain, error) from error


def client_context(trusted: Path) -> ssl.SSLContext:
    """The context of a client that trusts what is in one file, and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file need not go up to a root: it is the trust
    context.load_verify_locations(trusted)
    return context


@lru_cache(maxsize=32)
def _read(chain: Path, key: Path, trusted: Path, _chain: Stamp | None, _key: Stamp | None) -> Certificate:
    server = server_context(chain, key)
    client = client_context(chain)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags(_ANY_TIME)
    try:
        found = _handshake(server, client)
    except ssl.SSLError as error:
        raise _unfit(chain, error) from error
    names = (_plain(name) for kind, name in found.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    since, until = (float(ssl.cert_time_to_seconds(found[key])) for key in ("notBefore", "notAfter"))
    return Certificate(chain, key, trusted, tuple(dict.fromkeys(names)), since, until)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """What the client learns of the server's certificate."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    waiting = set(ends)
    for _ in range(8):  # TLS 1.3 takes three turns, TLS 1.2 four
        for end in ends:
            try:
                end.do_handshake()
                waiting.discard(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            break
    return dict(ends[0].getpeercert() or {})


def _look_for(file: Path, mark: bytes, what: str) -> None:
    try:
        if mark in file.read_bytes():
            return
    except FileNotFoundError:
        why = "there is no such file"
    except OSError as error:
        why = str(error)
    else:
        why = f"no line in it says {mark.decode().strip('-')}"
    raise InvalidOption(
        f"{file} gives no {what} for HTTPS",
        why=why,
        fix="--tls FILE with certificate and key in PEM format, --tls CERTIFICATE,KEY, or --tls auto to have one made",
    )


def _unfit(chain: Path, error: Exception) -> InvalidOption:
    return InvalidOption(
        f"the certificate in {chain} cannot be used",
        why=str(error),
        fix="bring a PEM file with the server's certificate first, or let one be made: --tls auto",
    )


class _Encrypted(Exception):
    """OpenSSL asked for a password."""


def _no_password() -> str:
    raise _Encrypted


def _parts(text: str) -> list[str]:
    """One file, or two with a comma between."""
    before, comma, after = text.partition(",")
    return [before.strip(), after.strip()] if comma and not Path(text).expanduser().is_file() else [text]


def _plain(name: str) -> str:
    """A name or an address as it is compared: IPv6 has many spellings."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
