"""What a request is told that is not answered, by one of our errors and the HTTP status that goes with it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from tornado import web

from autodeploy_magic.errors import (
    AutodeployError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    RequestRefused,
    SupervisorFailed,
)

__all__ = ["RESOURCE", "Refused", "told"]

RESOURCE = "autodeploy"
"""What Jupyter's authorizer is asked about: `read` or `write` of it."""

_BY_STATUS: dict[int, type[RequestRefused]] = {403: Forbidden, 404: NotFound, 405: MethodNotAllowed}


class Refused(web.HTTPError):
    """An error of ours, on its way to the answer."""

    def __init__(self, status: int, error: AutodeployError) -> None:
        super().__init__(status, str(error).replace("%", "%%"))
        self.error = error


def told(status: int, found: Any) -> AutodeployError:
    """What to tell of an exception: ours as it is, Jupyter's refusals in our words, and nothing of a mistake's inside.

    `found` is what `write_error` is given as `exc_info`.
    """
    error = found[1] if found else None
    if isinstance(error, Refused):
        return error.error
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return SupervisorFailed(
            "the Jupyter Server failed",
            why="this is a mistake in autodeploy_magic; the server's log has the details",
            fix="try again, and please report it",
        )
    why = (error.log_message if isinstance(error, web.HTTPError) else "") or ""
    return _BY_STATUS.get(status, RequestRefused)(
        f"Jupyter refuses the request: {HTTPStatus(status).phrase}",
        why=why,
        fix="load the page again and log in; a program sends Jupyter's token: «Authorization: token TOKEN»",
    )
