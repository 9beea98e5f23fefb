"""What the stream has told so far, merged: what somebody is sent who joins it late."""

from __future__ import annotations

import msgspec

from autodeploy_magic.live import Activity, Glance, Hello, Message

__all__ = ["Picture", "only"]

ABSENT = Message(glances=())
"""There is no supervisor, or it has no deployments."""


class Picture:
    """The state of now, from a stream as `live.Message` tells it. Points and events pass by: calls bring those back."""

    def __init__(self) -> None:
        self.known = False
        """Whether anything was told yet, be it that there is no supervisor."""
        self._hello: Hello | None = None
        self._glances: dict[str, Glance] = {}
        self._activities: dict[str, Activity] = {}
        self._complete = False

    def messages(self) -> list[Message]:
        """The full picture, as a stream begins with it."""
        if self._hello is None:
            return [ABSENT] if self.known else []
        if not self._complete:  # the rest is about to come
            return [Message(hello=self._hello)]
        return [
            Message(hello=self._hello),
            Message(glances=tuple(self._glances.values())),
            Message(activities=tuple(self._activities.values())),
        ]

    def take(self, message: Message) -> list[Message]:
        """Merge one message in; what to tell those who have seen all before it."""
        before: list[Message] = []
        if message.hello is not None:  # a stream begins: its first glances are all that there is
            self._hello, self._complete, self.known = message.hello, False, True
        if message.glances is not None:
            fresh = {glance.status.name: glance for glance in message.glances}
            if not self._complete:
                gone = tuple(name for name in self._glances if name not in fresh)
                before = [Message(gone=gone)] if gone else []
                self._glances, self._complete = {}, True
            self._glances |= fresh
        if message.gone is not None:
            for name in message.gone:
                self._glances.pop(name, None)
        if message.activities is not None:
            self._activities = {activity.id: activity for activity in message.activities}
        if message.activity is not None:
            if message.activity.state == "running":
                self._activities[message.activity.id] = message.activity
            else:
                self._activities.pop(message.activity.id, None)
        return [*before, message]

    def lose(self) -> list[Message]:
        """The supervisor is gone, or was never there: what it told holds no longer. The names stay, for the next."""
        news = [ABSENT] if self._hello is not None or not self.known else []
        self.known, self._hello, self._activities = True, None, {}
        return news


def only(message: Message, names: frozenset[str]) -> Message | None:
    """What of a message is about those deployments; None where nothing is."""
    for part in (message.point, message.event, message.activity):
        if part is not None:
            return message if part.name in names else None
    if message.glances is not None:
        kept = tuple(glance for glance in message.glances if glance.status.name in names)
        return msgspec.structs.replace(message, glances=kept) if kept or not message.glances else None
    if message.gone is not None:
        gone = tuple(name for name in message.gone if name in names)
        return msgspec.structs.replace(message, gone=gone) if gone else None
    if message.activities is not None:
        mine = tuple(activity for activity in message.activities if activity.name in names)
        return msgspec.structs.replace(message, activities=mine)
    return message
