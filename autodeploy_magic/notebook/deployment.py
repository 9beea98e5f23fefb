"""The handle of one deployment, and the functions that find one."""

from __future__ import annotations

import builtins
import math
import os
import time
import webbrowser
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic import settings, tls
from autodeploy_magic.address import url_of
from autodeploy_magic.calling.http import Connection
from autodeploy_magic.calling.probe import as_verified, connection_to
from autodeploy_magic.calling.snippets import first_rows, sample_of, snippets
from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.errors import InvalidOption, NotAcceptable, Unauthorized, UnknownVersion
from autodeploy_magic.metrics import recent
from autodeploy_magic.notebook.access import Access, Token
from autodeploy_magic.notebook.feedback import Labelling
from autodeploy_magic.notebook.operated import Operated
from autodeploy_magic.notebook.picture import changed
from autodeploy_magic.notebook.progress import steps_of
from autodeploy_magic.notebook.result import Card, Outcome, ShownStatus
from autodeploy_magic.notebook.screen import in_notebook
from autodeploy_magic.notebook.shipping import Shipping
from autodeploy_magic.notebook.traffic import (
    ShownTraffic,
    newest_beside,
    share_of,
    traffic_of,
)
from autodeploy_magic.notebook.views import (
    Answer,
    Deployments,
    Link,
    Log,
    Removed,
    ShownDifference,
    Versions,
    View,
)
from autodeploy_magic.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from autodeploy_magic.notebook.explained import Explanations
    from autodeploy_magic.notebook.report import Report
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Deployment", "attach", "list_deployments"]


class Deployment(Operated, Shipping, Labelling, View):
    """A deployment: a name, a URL, and the version that serves there.

    It outlives this process; `autodeploy_magic.attach(name)` returns a handle again. A handle holds no state but the
    name: what it tells is asked for each time.
    """

    def __init__(self, name: str, *, store: Store | None = None, outcome: Outcome | None = None) -> None:
        self.name = name
        self._store = store or Store()
        self._outcome = outcome
        self._connection: Connection | None = None
        self._reached: Desired | None = None
        self._known: dict[int, Version] = {}

    # --- what it is

    @property
    def url(self) -> str:
        """Where it answers; the same for every version."""
        return url_of(self._desired)

    @property
    def token(self) -> Token:
        """The bearer token that requests carry; as the value of a cell it is masked."""
        return Token(self._store.token(self.name))

    @property
    def certificate(self) -> Path | None:
        """The PEM file that clients verify the HTTPS URL against, to hand out; None over plain HTTP."""
        return self._trusted(self._desired)

    @property
    def version(self) -> int:
        """The number of the version that serves."""
        return self._desired.version

    @property
    def status(self) -> ShownStatus:
        """How it is now, as the supervisor sees it."""
        status = self._supervisor.status(self.name)
        version = self._version(status.version) if status.version else None
        return ShownStatus.of(status, recent(self._store.metrics_file(self.name), 60), version)

    def versions(self) -> Versions:
        """The versions kept, oldest first."""
        found = Versions(self._store.versions(self.name))
        desired = self._desired
        found.name, found.serving, found.traffic = self.name, desired.version, desired.traffic
        return found

    def logs(self, lines: int = 200) -> Log:
        """The last lines that the workers logged."""
        return Log(self._supervisor.logs(self.name, lines))

    def metrics(self, last: str = "1h", points: int = 60, version: int | None = None) -> pd.DataFrame:
        """Return what was measured in a period, in at most `points` rows: a table indexed by time, in UTC.

        Its columns are `live.COLUMNS`, NaN for what was not measured. With `version` it is what that one answered,
        without what the processes took. Raises `InvalidOption` for no period, `MissingPackage` without pandas.
        """
        from autodeploy_magic.notebook.measured import measured

        return measured(self._store, self._supervisor, self.name, last, points, version)

    def report(
        self, last: str = "24h", format: str | None = None, file: str | os.PathLike[str] | None = None
    ) -> Report:
        """Write what happened in a period to a file, as "html", "png" or "pdf"; by default NAME-report.html here.

        An earlier report is replaced, any other file is refused: `InvalidOption`. Returns the report, which is a path
        wherever one is taken.
        """
        from autodeploy_magic.notebook.report import make_report

        return make_report(self._store, self._supervisor, self.name, last, format, file)

    # --- calling it

    def predict(self, X: Any, outputs: str | Sequence[str] | None = None) -> Any:  # noqa: N803  # as everywhere in the field
        """Return what the live object would for the rows of `X`: same values, dtype, shape and container.

        `outputs` names what is wanted: None for the predictions, a name for that output, several for a dict of them.
        Raises `InvalidInputs` with the field named, or another `RequestRefused`; `StartFailed` where nobody answers.
        """
        __tracebackhide__ = True
        from autodeploy_magic.wire import restore, to_request

        several = outputs is not None and not isinstance(outputs, str)
        names = [outputs] if isinstance(outputs, str) else builtins.list(outputs or ["predictions"])
        body: dict[str, Any] = {"inputs": to_request(X)}
        if names != ["predictions"]:
            body["outputs"] = names
        answer = self._call(body)
        self._answered(answer["id"], body["inputs"])
        described = {output.name: output for output in self._version(answer["version"]).outputs}
        index = X.index if hasattr(X, "iloc") else None
        values = {name: restore(described[name], answer[name], index=index) for name in names}
        return values if several else values[names[0]]

    def stream(self, X: Any) -> Iterator[Any]:  # noqa: N803
        """Yield the items of a streamed answer for the rows of `X` as they come; leaving the loop ends it.

        For a model whose predict yields. Raises `NotAcceptable` where it does not, and what `predict` raises, also in
        the middle.
        """
        __tracebackhide__ = True
        from autodeploy_magic.wire import to_request

        body = {"inputs": to_request(X)}
        try:
            for said in connection_to(self._store, self._desired).stream("/predict", body):
                yield said["prediction"]
        except NotAcceptable as error:
            raise NotAcceptable(
                f"{self.name} does not stream",
                why="its predict returns an answer, and does not yield the parts of one",
                fix="call predict; or deploy it with a predict function that yields",
            ) from error

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Return the probabilities of the classes, shape (rows, classes)."""
        __tracebackhide__ = True
        return self.predict(X, outputs="probabilities")

    def test(self, rows: int = 1) -> Answer:
        """Send rows of the version's own sample; tells the answer, the time, and whether it is what was verified."""
        version = self._version(self.version)
        inputs = first_rows(sample_of(self._store, version), rows)
        started = time.perf_counter()
        answer = self._call({"inputs": inputs})
        seconds = time.perf_counter() - started
        return Answer(
            name=self.name,
            inputs=inputs,
            predictions=answer["predictions"],
            version=answer["version"],
            seconds=seconds,
            as_verified=as_verified(self._store, version, rows, answer),
        )

    def explain(self, rows: Any = None, method: str = "auto", target: int | None = None) -> Explanations:
        """Return what each column of `rows` adds to the answers: Shapley values, shown as a plot.

        `rows` are like those of `predict`, 100 at most; by default the first five of the sample. `method` is "shap",
        "permutation", or "auto": SHAP where it is installed. `target` is the class whose probability is explained; by
        default the one predicted. A clean process does the work, and requests are answered as ever; clients have
        `POST /explain`. Raises `InvalidInputs` for rows that are none of a table.
        """
        from autodeploy_magic.notebook.explained import explained

        return explained(self._store, self._supervisor, self._version(self.version), rows, method, target)

    # --- changing it

    def diff(self, old: int | None = None, new: int | None = None) -> ShownDifference:
        """Replay the sample through two versions in a clean process and tell which predictions differ."""
        import sys

        from autodeploy_magic.build import difference

        new = self.version if new is None else new
        if old is None:
            older = [number for number in self._desired.history if number != new]
            if not older:
                raise UnknownVersion(
                    f"{self.name} has served no version before v{new}",
                    fix=f"name two: `%deploy diff {self.name} OLD NEW`; `%deploy versions {self.name}` lists them",
                )
            old = older[-1]
        for number in (old, new):
            self._version(number)
        runner = self._supervisor.runner(sys.executable)
        return ShownDifference.of(difference(self._store, runner, self.name, old, new))

    def rollback(self, version: int | None = None) -> Deployment:
        """Serve an older version again, without building it; by default the one served before this one.

        Called again it goes further back. The version left behind is kept: `rollback(its_number)` returns to it.
        """
        self._reported("rollback", lambda report: self._supervisor.rollback(self.name, report, version))
        return self

    def canary(self, version: int | None = None, share: float | str = "10%") -> ShownTraffic:
        """Let a version answer a share of the requests that name none; by default the newest that is not the champion.

        `share` is 0.1 or "10%". The champion answers the rest. Raises `InvalidOption` where its inputs are others.
        """
        desired = self._desired
        wanted = {"canary": self._beside(version, desired), "share": share_of(share)}
        if wanted["canary"] == desired.traffic.shadow:
            wanted["shadow"] = 0
        self._reported("canary", lambda report: self._supervisor.steer(self.name, report, **wanted))
        return self.traffic()

    def shadow(self, version: int | None = None) -> ShownTraffic:
        """Give a version copies of the requests, and compare its answers with the champion's; nobody else gets them."""
        desired = self._desired
        wanted = {"shadow": self._beside(version, desired)}
        if wanted["shadow"] == desired.traffic.canary:
            wanted["canary"] = 0
        self._reported("shadow", lambda report: self._supervisor.steer(self.name, report, **wanted))
        return self.traffic()

    def promote(self, version: int | None = None) -> Deployment:
        """Make a version the champion, by default the canary or the shadow; it gets all requests.

        `rollback` returns to the one before.
        """
        self._reported("promote", lambda report: self._supervisor.promote(self.name, report, version))
        return self

    def traffic(self, off: bool = False) -> ShownTraffic:
        """What each version is given, and how they compare; with `off` the champion gets all from now on."""
        if off:
            ended = {"canary": 0, "share": 0.0, "shadow": 0}
            self._reported("traffic", lambda report: self._supervisor.steer(self.name, report, **ended))
        return traffic_of(self._store, self._desired)

    def restart(self) -> Deployment:
        """Replace the workers by fresh ones, with the settings as they are here and now, without a failed request."""
        import msgspec

        desired = self._desired
        kept = settings.travelling(desired.settings)
        wanted = msgspec.structs.replace(desired, settings=kept, state="running")
        self._reported("restart", lambda report: self._supervisor.serve(wanted, report, fresh=True))
        return self

    def scale(self, workers: int) -> Deployment:
        """Serve with that many worker processes, from now on; no request is lost. Raises `InvalidOption`."""
        self._reported("scale", lambda report: self._supervisor.scale(self.name, workers, report))
        return self

    def access(self, rotate: bool = False, grace: int = 0, show: bool = False) -> Access:
        """How requests get in: where the token is, and the token itself with `show`.

        With `rotate` a new one is made, which is good at once; the old one stays good for `grace` seconds, and is then
        refused by all workers within about a second. Nothing is restarted, and no request is lost.
        """
        if grace and not rotate:
            raise InvalidOption(
                "--grace goes with --rotate", fix=f"`%deploy token {self.name} --rotate --grace {grace}`"
            )
        if grace < 0:
            raise InvalidOption(f"--grace {grace} is not a number of seconds", fix="use 0 or more")
        desired = self._desired
        if rotate:
            self._store.rotate_token(self.name, grace_s=float(grace))
        token, *_ = tokens = self._store.tokens(self.name)
        return Access(
            name=self.name,
            auth=desired.auth,
            file=self._store.token_file(self.name),
            masked=Token(token).masked,
            token=token if show else "",
            rotated=rotate,
            older=tuple(until for until in tokens.values() if until != math.inf),
        )

    def stop(self) -> Deployment:
        """Stop serving. Versions, token and port are kept for `start`."""
        self._supervisor.stop(self.name)
        changed(self.name)
        return self

    def start(self) -> Deployment:
        """Serve again after a stop, at the same URL."""
        self._reported("start", lambda report: self._supervisor.start(self.name, report))
        return self

    def rm(self, versions: bool = False) -> Removed:
        """Remove the deployment with all its versions; with `versions` only those that are not in use."""
        if not versions:
            self._desired  # noqa: B018  # raises UnknownDeployment
            self._supervisor.remove(self.name)
            changed(self.name)
            return Removed(f"{self.name} is removed, with all its versions")
        with self._store.building(self.name):
            removed = self._store.trim(self.name, keep=0)
        desired = self._desired
        stay = sorted({desired.version, *desired.traffic.versions})
        names = ", ".join(f"v{number}" for number in stay)
        return Removed(
            f"{self.name}: {len(removed)} unused versions are removed; {names} stay{'' if len(stay) > 1 else 's'}"
        )

    def open(self) -> Link:
        """Return the deployment's page, opened in a browser where this process can open one."""
        link = Link(f"{self.url}/")
        if not in_notebook():  # a notebook's reader may sit elsewhere: they get the link to click on
            # In the fragment, which no server sees; the page takes it out of the address.
            webbrowser.open(f"{link}#token={self.token}" if self._desired.auth else str(link))
        return link

    # --- how it shows itself

    def panel(self) -> Any:
        """Return the live panel, a widget: a cell's last line shows it, and boxes of ipywidgets hold several.

        There is one in a kernel, however often it is shown. Raises `InvalidOption` outside a notebook.
        """
        from autodeploy_magic.notebook.panel import panel_of

        self._desired  # noqa: B018  # raises UnknownDeployment
        return panel_of(self._store, self.name, self._bundle)

    def text(self) -> str:
        return self._card().text()

    def html(self) -> Any:
        return self._card().html()

    def __repr__(self) -> str:
        return f"Deployment({self.name!r})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        from autodeploy_magic.notebook.panel import with_panel

        return with_panel(self._store, self.name, self._bundle)

    def _bundle(self) -> dict[str, Any]:
        """The card, for front ends that show no widgets, and for terminals."""
        if not self._store.exists(self.name):
            return {"text/plain": f"{self.name} has been removed"}
        return dict(self._card()._repr_mimebundle_())

    def _card(self) -> Card:
        status = self.status
        version = self._version(status.version)
        outcome = self._outcome
        told = status.traffic.versions if outcome is not None and outcome.role else (version.number,)
        if outcome is not None and outcome.version not in told:
            outcome = None
        desired = self._desired
        called = snippets(self._store, version, url_of(desired), auth=desired.auth, trusted=self._trusted(desired))
        return Card(status, version, called, outcome)

    # --- inside

    @cached_property
    def _supervisor(self) -> Supervisor:
        from autodeploy_magic.supervisor.client import connect

        return connect(self._store)

    @property
    def _desired(self) -> Desired:
        return self._store.desired(self.name)

    def _version(self, number: int) -> Version:
        if number not in self._known:
            self._known[number] = self._store.version(self.name, number)
        return self._known[number]

    def _beside(self, version: int | None, desired: Desired) -> int:
        if version is None:
            return newest_beside([kept.number for kept in self._store.versions(self.name)], desired)
        return self._version(version).number

    def _call(self, body: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        desired = self._desired
        # A replaced worker answers once more on a connection that it holds: what is new gets a new connection.
        if self._connection is None or self._reached != desired:
            self._connection = connection_to(self._store, desired)
            self._reached = desired
        try:
            return self._connection.post("/predict", body)
        except Unauthorized:
            if self._connection.token == self._token_of(desired):
                raise
            # It was rotated, here or by another process, since this connection was made.
            self._connection = connection_to(self._store, desired)
            return self._connection.post("/predict", body)

    def _token_of(self, desired: Desired) -> str:
        return self._store.token(self.name) if desired.auth else ""

    def _trusted(self, desired: Desired) -> Path | None:
        return tls.trusted_file(desired.tls, self._store.tls_folder(self.name)) if desired.tls else None

    def _reported(self, title: str, job: Any, hint: str = "") -> Any:
        steps = steps_of(f"{title} {self.name}", hint=hint)
        try:
            return job(steps)
        finally:
            steps.close()
            changed(self.name)


def attach(name: str) -> Deployment:
    """Return a handle to a deployment that exists. Raises `UnknownDeployment` with the nearest name."""
    store = Store()
    store.desired(name)
    return Deployment(name, store=store)


def list_deployments() -> Deployments:
    """Return how each deployment is now."""
    from autodeploy_magic.supervisor.client import connect

    store = Store()
    return Deployments(connect(store).list()) if store.names() else Deployments()
