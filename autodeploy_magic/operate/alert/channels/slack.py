"""Alerts to a chat, in Slack's JSON: Mattermost takes the same, Discord at an address that ends in /slack, too."""

from __future__ import annotations

from typing import Any

import msgspec

from autodeploy_magic.operate.alert.channels.base import Deadline, Facts, listed
from autodeploy_magic.operate.alert.channels.posting import host_of, post
from autodeploy_magic.operate.alert.message import Message

__all__ = ["Slack", "payload"]

_SIGNS = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}
_OVER = ":white_check_mark:"
_LONGEST = 2900
"""Slack refuses a section with more than 3000 characters."""


class Slack:
    """Posts to each address of `alert_slack`."""

    groups = True

    def targets(self, facts: Facts) -> list[str]:
        return listed(facts.settings.get("alert_slack"))

    def label(self, target: str) -> str:
        return host_of(target)

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None:
        post(target, msgspec.json.encode(payload(message)), {}, deadline)


def payload(message: Message) -> dict[str, Any]:
    """What is posted: `text` alone says all, `blocks` say it nicely where they are understood."""
    sign = _OVER if message.state == "resolved" else _SIGNS[message.severity]
    title = f"{sign} *{_plain(message.title)}*"
    lines = [_plain(line) for line in message.lines]
    where = f"`%deploy alerts {message.name}`" + (f"  {_plain(message.url)}" if message.url else "")
    return {
        "text": "\n".join([title, *lines])[:_LONGEST],
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": title[:_LONGEST]}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:_LONGEST] or "–"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": where[:_LONGEST]}]},
        ],
    }


def _plain(text: str) -> str:
    """Text that calls nobody and links nowhere, whatever a request or a model put into it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
