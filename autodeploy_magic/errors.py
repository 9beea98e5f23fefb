"""Every error this package raises on purpose, as one tree.

    AutodeployError
    ├── BadInput                what the person typed or passed cannot be used
    │   ├── InvalidName
    │   ├── InvalidOption
    │   ├── UnknownDeployment
    │   ├── UnknownVersion
    │   ├── NoModel
    │   ├── AmbiguousModel
    │   ├── UnfittedModel
    │   ├── BadSample
    │   └── CellFailed
    ├── MissingPackage          a feature needs a package that is not installed
    ├── BrokenPackage           a package is installed and fails to import
    ├── BuildFailed             model → Bento did not work; nothing was changed
    │   ├── ExportFailed
    │   ├── ParityFailed
    │   ├── ModelTooLarge
    │   └── PackageFailed
    ├── ServeFailed             Bento → traffic did not work; the old version still serves
    │   ├── StartFailed
    │   ├── PortTaken
    │   └── ArtifactChanged
    ├── RetuneFailed            a re-tune, or one candidate of it, did not work; what serves was not touched
    │   └── NotApplicable       an optimiser has nothing for this model
    ├── ShipFailed              Bento → elsewhere did not work; what serves here was not touched
    │   └── ShipCancelled       it was ended before its end, as somebody asked; nothing is left of it
    ├── StoreFailed             the state folder could not be read or written
    │   ├── DiskFull
    │   └── UnreadableRecord
    ├── SupervisorFailed        the background process did not start, or did not answer
    └── RequestRefused          a request to a deployment's port was refused
        ├── Unauthorized            401
        ├── Forbidden               403
        ├── NotFound                404
        ├── MethodNotAllowed        405
        ├── NotAcceptable           406
        ├── BodyTooLarge            413
        ├── UnsupportedContent      415
        ├── Misdirected             421
        ├── InvalidInputs           422
        ├── Overloaded              429
        ├── ModelFailed             500
        ├── Unavailable             503
        └── TimedOut                504

A message has three parts: `what` happened (with the person's own names and values), `why`, and what to do (`fix`).
Errors cross processes as JSON through `to_payload` and `from_payload`.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AmbiguousModel",
    "ArtifactChanged",
    "AutodeployError",
    "BadInput",
    "BadSample",
    "BodyTooLarge",
    "BrokenPackage",
    "BuildFailed",
    "CellFailed",
    "DiskFull",
    "ExportFailed",
    "Forbidden",
    "InvalidInputs",
    "InvalidName",
    "InvalidOption",
    "MethodNotAllowed",
    "Misdirected",
    "MissingPackage",
    "ModelFailed",
    "ModelTooLarge",
    "NoModel",
    "NotAcceptable",
    "NotApplicable",
    "NotFound",
    "Overloaded",
    "PackageFailed",
    "ParityFailed",
    "PortTaken",
    "RequestRefused",
    "RetuneFailed",
    "ServeFailed",
    "ShipCancelled",
    "ShipFailed",
    "StartFailed",
    "StoreFailed",
    "SupervisorFailed",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "UnfittedModel",
    "UnknownDeployment",
    "UnknownVersion",
    "UnreadableRecord",
    "UnsupportedContent",
    "from_payload",
]


class AutodeployError(Exception):
    """Base of every error of this package.

    `what` happened, `why` it happened, and `fix`: what the person can do. `details` are JSON values a program can read.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", **details: Any) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.details = details

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"why: {self.why}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "\n".join(parts)

    def to_payload(self) -> dict[str, Any]:
        """Return the error as JSON values, for the wire between the supervisor and its clients."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
            "details": self.details,
        }


class BadInput(AutodeployError):
    """What the person typed or passed cannot be used."""


class InvalidName(BadInput):
    """A deployment's name does not follow the rules of `store.check_name`."""


class InvalidOption(BadInput):
    """An option has a value that cannot be used."""


class UnknownDeployment(BadInput):
    """No deployment of that name exists."""


class UnknownVersion(BadInput):
    """The deployment has no version of that number."""


class NoModel(BadInput):
    """The cell holds nothing that looks like a model."""


class AmbiguousModel(BadInput):
    """The cell holds several models and none was named."""


class UnfittedModel(BadInput):
    """The model was found and has not been fitted."""


class BadSample(BadInput):
    """The sample is missing, empty, or not something the model can predict from."""


class CellFailed(BadInput):
    """The cell's own code raised, or was interrupted; IPython has shown its traceback already."""


class MissingPackage(AutodeployError):
    """A feature needs a package that is not installed."""


class BrokenPackage(AutodeployError):
    """A package is installed and fails to import."""


class BuildFailed(AutodeployError):
    """Model → Bento did not work; nothing was changed."""


class ExportFailed(BuildFailed):
    """No format could hold the model."""


class ParityFailed(BuildFailed):
    """The packaged version does not answer what the live object answers."""


class ModelTooLarge(BuildFailed):
    """Building would need more memory than the machine has free."""


class PackageFailed(BuildFailed):
    """BentoML could not build the Bento."""


class ServeFailed(AutodeployError):
    """Bento → traffic did not work; the old version, if any, still serves."""


class StartFailed(ServeFailed):
    """A worker ended, hung or failed its self-check before it was ready."""


class PortTaken(ServeFailed):
    """The port asked for belongs to another program."""


class ArtifactChanged(ServeFailed):
    """A file of a version no longer has the hash it was saved with."""


class RetuneFailed(AutodeployError):
    """A re-tune, or one candidate of it, did not work. What serves was not touched."""


class NotApplicable(RetuneFailed):
    """An optimiser has nothing for this model: `what` says why, in the words of the table of candidates."""


class ShipFailed(AutodeployError):
    """Bento → elsewhere did not work; what serves here was not touched."""


class ShipCancelled(ShipFailed):
    """It was ended before its end, as somebody asked; nothing is left of it."""


class StoreFailed(AutodeployError):
    """The state folder could not be read or written."""


class DiskFull(StoreFailed):
    """The disk that holds the state folder has no room left."""


class UnreadableRecord(StoreFailed):
    """A record in the state folder is damaged or written by a newer release."""


class SupervisorFailed(AutodeployError):
    """The supervisor did not start, or did not answer."""


class RequestRefused(AutodeployError):
    """A request to a deployment was refused; `status` is the HTTP status, `field` names the offending input."""

    status: ClassVar[int] = 400

    @property
    def field(self) -> str | None:
        value = self.details.get("field")
        return None if value is None else str(value)


class Unauthorized(RequestRefused):
    """The bearer token is missing or wrong."""

    status = 401


class Forbidden(RequestRefused):
    """A page of another origin calls a deployment that asks for no token."""

    status = 403


class NotFound(RequestRefused):
    """Nothing answers at that path."""

    status = 404


class MethodNotAllowed(RequestRefused):
    """The path exists and does not answer that method."""

    status = 405


class NotAcceptable(RequestRefused):
    """The client takes none of the forms that the answer can have."""

    status = 406


class BodyTooLarge(RequestRefused):
    """The body has more bytes or more rows than the deployment accepts."""

    status = 413


class UnsupportedContent(RequestRefused):
    """The content type is not one the path reads."""

    status = 415


class Misdirected(RequestRefused):
    """The request names a host that this deployment is not known by: perhaps a page that rebound its own name to us."""

    status = 421


class InvalidInputs(RequestRefused):
    """The inputs do not fit the signature."""

    status = 422


class Overloaded(RequestRefused):
    """The queue is full. `details["retry_after_s"]` says when it is likely to have room."""

    status = 429


class ModelFailed(RequestRefused):
    """The model, or the person's own code around it, raised. The cause is in the log, never in the answer."""

    status = 500


class Unavailable(RequestRefused):
    """What the request asks for cannot be had now."""

    status = 503


class TimedOut(RequestRefused):
    """The request was not answered within the deployment's time limit."""

    status = 504


def from_payload(payload: dict[str, Any]) -> AutodeployError:
    """Return the error that `to_payload` described; a name this release does not know becomes an `AutodeployError`."""
    kind = _BY_NAME.get(str(payload.get("error")), AutodeployError)
    error = kind(
        str(payload.get("what", "unknown error")), why=str(payload.get("why", "")), fix=str(payload.get("fix", ""))
    )
    details = payload.get("details")
    error.details = details if isinstance(details, dict) else {}
    return error


def _tree(root: type[AutodeployError]) -> dict[str, type[AutodeployError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


_BY_NAME = _tree(AutodeployError)
