"""Alerts as JSON, posted to any address, signed.

The body is `Message.plain`. Where a secret is set (the file `alert_secret_file`, or the supervisor's environment
variable AUTODEPLOY_ALERT_SECRET) a header says who sent it and when:

    X-Autodeploy-Signature: t=1763770000,v1=HEX        HEX = HMAC-SHA256(secret, "1763770000." + body)

A receiver verifies it in five lines, and refuses what is older than some minutes:

    sent = dict(part.split("=", 1) for part in request.headers["X-Autodeploy-Signature"].split(","))
    wanted = hmac.new(secret, sent["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(sent["v1"], wanted) or abs(time.time() - int(sent["t"])) > 300:
        raise PermissionError("not from my deployments")

X-Autodeploy-Delivery is the same where a message is sent again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time

import msgspec

from autodeploy_magic.operate.alert.channels.base import Deadline, Facts, Undelivered, listed, resolved
from autodeploy_magic.operate.alert.channels.posting import host_of, post
from autodeploy_magic.operate.alert.message import Message

__all__ = ["Webhook", "signature"]

SECRET = "AUTODEPLOY_ALERT_SECRET"  # noqa: S105 - the variable's name


def signature(secret: bytes, body: bytes, at_s: int) -> str:
    """The value of the header; see the module."""
    digest = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


class Webhook:
    """Posts to each address of `alert_webhook`."""

    groups = True

    def targets(self, facts: Facts) -> list[str]:
        return listed(facts.settings.get("alert_webhook"))

    def label(self, target: str) -> str:
        return host_of(target)

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None:
        body = msgspec.json.encode(message.plain())
        headers = {"X-Autodeploy-Delivery": message.id}
        secret = _secret(facts)
        if secret:
            headers["X-Autodeploy-Signature"] = signature(secret, body, int(time.time()))
        post(target, body, headers, deadline)


def _secret(facts: Facts) -> bytes:
    file = str(facts.settings.get("alert_secret_file") or "")
    if file:
        try:
            return resolved(f"file:{file}").encode()
        except Undelivered as error:
            raise Undelivered(f"it cannot be signed: {error}", again=False) from error
    return os.environ.get(SECRET, "").strip().encode()
