"""The TLS end of a worker: the certificate it serves with, read again when its files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from autodeploy_magic import tls
from autodeploy_magic.disk import Stamp, stamp
from autodeploy_magic.errors import InvalidOption

__all__ = ["Secure"]

log = logging.getLogger(__name__)


class Secure:
    """What servers get their contexts from. Call `tick` every second.

    So whatever renews certificates on this machine needs to tell nobody: new connections get the new one.
    Raises `InvalidOption` for a certificate that cannot be used, or that no client would take now.
    """

    def __init__(self, chosen: str, folder: Path) -> None:
        self._chosen = chosen
        self._folder = folder
        self.certificate = tls.read(chosen, folder)
        tls.usable(self.certificate)
        self._contexts: list[ssl.SSLContext] = []
        self._stamps = self._look()

    def context(self, *protocols: str) -> ssl.SSLContext:
        """A context for one server, which speaks `protocols` by their ALPN names; it is kept up to date."""
        self._contexts.append(tls.server_context(self.certificate.chain, self.certificate.key, *protocols))
        return self._contexts[-1]

    def tick(self) -> None:
        """Serve with the certificate that the files hold now; where it is no good, go on with the one before."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            found = tls.read(self._chosen, self._folder)
            tls.usable(found)
            for context in self._contexts:
                tls.load(context, found.chain, found.key)
        except InvalidOption as error:  # half of a pair is there before the other half
            log.warning("the certificate stays as it was: %s", error)
        else:
            self.certificate = found
            log.info("a new certificate is served")

    def _look(self) -> tuple[Stamp | None, Stamp | None]:
        return stamp(self.certificate.chain), stamp(self.certificate.key)
