"""Alerts as lines of the deployment's log, and of the supervisor's; always on."""

from __future__ import annotations

import logging
import os
import time

from autodeploy_magic.operate.alert import words
from autodeploy_magic.operate.alert.channels.base import Deadline, Facts, Undelivered
from autodeploy_magic.operate.alert.message import Message

__all__ = ["Log"]

log = logging.getLogger(__name__)

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


class Log:
    """Writes a line for each alert."""

    groups = False

    def targets(self, facts: Facts) -> list[str]:
        return ["log"]

    def label(self, target: str) -> str:
        return ""

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None:
        test = "test: " if message.test else ""
        lines = [f"{test}{words.line(alert)}" for alert in message.alerts]
        for alert, line in zip(message.alerts, lines, strict=True):
            log.log(_LEVELS[alert.severity] if alert.state == "firing" else logging.INFO, "%s: %s", message.name, line)
        if facts.log_file is None or not facts.log_file.parent.is_dir():
            return  # no worker has ever written there
        at = time.strftime("%Y-%m-%d %H:%M:%S")
        text = "".join(f"{at} alert: {line}\n" for line in lines).encode()
        try:
            descriptor = os.open(facts.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, text)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Undelivered(f"{facts.log_file}: {error.strerror}", again=False) from error
