"""Where the owner of a deployment looks, as its clients are told: in a notebook, or at what runs an image."""

from __future__ import annotations

__all__ = ["log_of", "page", "stands_alone", "token"]

_DEP_TOKEN = "the notebook: <code>dep.token</code>"  # noqa: S105 - where one is found
_alone = False


def stands_alone() -> None:
    """This process serves from an image, which no notebook watches. Said once, before it begins."""
    global _alone  # noqa: PLW0603 - a fact of the process
    _alone = True


def log_of(name: str = "") -> str:
    """What shows the log of a deployment."""
    return "the container's log" if _alone else f"`%deploy logs {name}".rstrip() + "`"


def token() -> str:
    """Where its token is found."""
    return "AUTODEPLOY_TOKEN or its file, as the container was given it" if _alone else "dep.token"


def page(html: str) -> str:
    """The page for browsers, which says where the token is found."""
    return html.replace(_DEP_TOKEN, "what its container was given: <code>AUTODEPLOY_TOKEN</code>") if _alone else html
