"""Alerts by e-mail, through the SMTP server of `alert_smtp`.

    smtp://host[:port]                 port 25; TLS by STARTTLS where the server offers it
    smtp://user@host[:port]            port 587, with a login, which needs STARTTLS
    smtps://user@host[:port]           port 465, TLS from the first byte
    …?from=alerts@example.org          the sender; by default the user, where that is an address
    …?tls=off                          for a server whose certificate nobody can verify: no TLS, and no login

The password is read at each message: of the file `alert_smtp_password_file`, the supervisor's environment variable
AUTODEPLOY_ALERT_SMTP_PASSWORD, or the address itself ("user:password@") where that stands in a file ("file:/path").
"""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from autodeploy_magic.operate.alert import words
from autodeploy_magic.operate.alert.channels.base import Deadline, Facts, Undelivered, listed, resolved
from autodeploy_magic.operate.alert.message import Message

__all__ = ["Email"]

PASSWORD = "AUTODEPLOY_ALERT_SMTP_PASSWORD"  # noqa: S105 - the variable's name
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_TEMPORARY = range(400, 500)


class _Server(NamedTuple):
    host: str
    port: int
    implicit: bool
    tls: bool
    user: str
    password: str
    sender: str


class Email:
    """Sends one message to all addresses of `alert_email`."""

    groups = True

    def targets(self, facts: Facts) -> list[str]:
        return [",".join(to)] if (to := listed(facts.settings.get("alert_email"))) else []

    def label(self, target: str) -> str:
        return target

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None:
        server, to = _server(facts), listed(target)
        wrong = [address for address in to if not _ADDRESS.fullmatch(address) or not address.isprintable()]
        if wrong:
            raise Undelivered(f"{words.clean(', '.join(wrong))}: not an address", again=False)
        letter = _letter(message, server.sender, to)
        try:
            refused = _sent(server, letter, to, deadline)
        except ssl.SSLCertVerificationError as error:
            why = f"{server.host}: its certificate is not trusted: {error.verify_message}"
            raise Undelivered(why, again=False) from error
        except smtplib.SMTPException as error:
            if deadline.passed:
                raise Undelivered(f"{server.host} did not answer in time") from error
            raise _undelivered(server.host, error) from error
        except OSError as error:
            if deadline.passed or isinstance(error, TimeoutError):
                raise Undelivered(f"{server.host} did not answer in time") from error
            raise Undelivered(f"{server.host}:{server.port}: {error}") from error
        if refused:  # the others have it: it is not sent again
            why = "; ".join(f"{address}: {_said(*answer)}" for address, answer in refused.items())
            raise Undelivered(f"{server.host} refused {why}", again=False)


def _sent(server: _Server, letter: EmailMessage, to: list[str], deadline: Deadline) -> dict[str, tuple[int, bytes]]:
    """Send it, and return who was refused."""
    context = ssl.create_default_context()
    client = (
        smtplib.SMTP_SSL(timeout=deadline.left_s, context=context)
        if server.implicit
        else smtplib.SMTP(timeout=deadline.left_s)
    )
    client._host = server.host  # type: ignore[attr-defined]  # noqa: SLF001 - what TLS verifies; only the constructor that connects sets it

    def cut() -> None:
        if client.sock is not None:
            with contextlib.suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    try:
        with deadline.cutting(cut):
            client.connect(server.host, server.port)
            deadline.left_s  # noqa: B018 - raises where it passed while there was no socket to cut
            client.ehlo_or_helo_if_needed()
            if server.tls and not server.implicit and client.has_extn("starttls"):
                client.starttls(context=context)
                client.ehlo()
                encrypted = True
            else:
                encrypted = server.implicit
            if server.user:
                if not encrypted:
                    why = f"{server.host} offers no TLS: the password is not sent in the clear"
                    raise Undelivered(why, again=False)
                client.login(server.user, server.password)
            refused = client.send_message(letter, server.sender, to)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()  # it has taken the message: how it says good-bye does not matter
            return refused
    finally:
        client.close()


def _letter(message: Message, sender: str, to: list[str]) -> EmailMessage:
    letter = EmailMessage(policy=SMTP)
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    letter["Subject"] = words.clean(message.title, 200)
    letter["Date"] = formatdate(message.sent_s or None)
    letter["Message-ID"] = make_msgid(message.id, "autodeploy.invalid")
    if message.alerts:  # what belongs to one alert is one thread in the reader's mailbox
        letter["References"] = f"<{message.alerts[0].id}@autodeploy.invalid>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.body + "\n")
    return letter


def _undelivered(host: str, error: smtplib.SMTPException) -> Undelivered:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        why = "; ".join(f"{address}: {_said(*answer)}" for address, answer in error.recipients.items())
        again = all(code in _TEMPORARY for code, _ in error.recipients.values())
        return Undelivered(f"{host} refused {why}", again=again)
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = _said(error.smtp_code, said if isinstance(said, bytes) else str(said).encode())
        return Undelivered(f"{host}: {text}", again=error.smtp_code in _TEMPORARY or error.smtp_code == -1)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Undelivered(f"{host}: {words.clean(str(error))}", again=False)
    return Undelivered(f"{host}: {words.clean(str(error)) or type(error).__name__}")


def _said(code: int, text: bytes) -> str:
    return words.clean(f"{code} {text.decode('utf-8', 'replace')}", 200)


def _server(facts: Facts) -> _Server:
    typed = str(facts.settings.get("alert_smtp") or "")
    if not typed:
        raise Undelivered("alert_smtp names no server; for example smtp://user@smtp.example.org:587", again=False)
    address = resolved(typed)
    try:
        url = urlsplit(address)
        port = url.port
        asked = parse_qs(url.query)
    except ValueError as error:
        raise Undelivered(f"alert_smtp cannot be read: {error}", again=False) from error
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise Undelivered("alert_smtp is not of the form smtp://user@host:587 or smtps://user@host", again=False)
    user = unquote(url.username or "")
    implicit = url.scheme == "smtps"
    sender = asked.get("from", [user if "@" in user else f"autodeploy@{socket.gethostname() or 'localhost'}"])[0]
    if not _ADDRESS.fullmatch(sender) or not sender.isprintable():
        raise Undelivered(f"{words.clean(sender)}: not an address to send from", again=False)
    return _Server(
        host=url.hostname,
        port=port or (465 if implicit else 587 if user else 25),
        implicit=implicit,
        tls=asked.get("tls", ["on"])[0] != "off",
        user=user,
        password=_password(facts, unquote(url.password or "")),
        sender=sender,
    )


def _password(facts: Facts, typed: str) -> str:
    file = str(facts.settings.get("alert_smtp_password_file") or "")
    return resolved(f"file:{file}") if file else typed or os.environ.get(PASSWORD, "")
