"""deploy(): build → compare → serve → first prediction."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from autodeploy_magic import settings
from autodeploy_magic.address import url_of
from autodeploy_magic.contracts import CleanRunner, Desired, Progress, Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Recovery
from autodeploy_magic.notebook import panel, picture, recording
from autodeploy_magic.notebook.asked import Format, Order, Place, check, check_access, check_beside
from autodeploy_magic.notebook.deployment import Deployment
from autodeploy_magic.notebook.html import Markup
from autodeploy_magic.notebook.progress import steps_of, timed
from autodeploy_magic.notebook.result import Outcome, Plan, news
from autodeploy_magic.notebook.telling import Telling
from autodeploy_magic.notebook.text import share_text
from autodeploy_magic.notebook.traffic import share_of
from autodeploy_magic.notebook.views import ShownDifference
from autodeploy_magic.slo import parse
from autodeploy_magic.store import Store, check_name
from autodeploy_magic.tls import chosen

if TYPE_CHECKING:
    from autodeploy_magic.build import Built, Loaded
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["Connecting", "connecting", "deploy", "launch"]

Connecting = Future["Supervisor"]


@overload
def deploy(
    model: Any,
    name: str,
    sample: Any = ...,
    *,
    file: str | os.PathLike[str] | None = ...,
    allow_pickle: bool = ...,
    labels: Any = ...,
    format: Format = ...,
    workers: int | None = ...,
    port: int | None = ...,
    auth: bool | None = ...,
    tls: str | None = ...,
    grpc: bool | None = ...,
    slo: str | None = ...,
    recovery: Recovery | None = ...,
    target: Place | None = ...,
    address: str | None = ...,
    canary: float | str | None = ...,
    shadow: bool = ...,
    record: str | None = ...,
    record_share: float | str | None = ...,
    record_drop: str | None = ...,
    record_hash: str | None = ...,
    note: str = ...,
    dry_run: Literal[False] = ...,
    quiet: bool = ...,
    preprocess: Callable[..., Any] | None = ...,
    predict: Callable[..., Any] | None = ...,
    postprocess: Callable[..., Any] | None = ...,
    retrain: Callable[..., Any] | None = ...,
) -> Deployment: ...


@overload
def deploy(
    model: Any,
    name: str,
    sample: Any = ...,
    *,
    file: str | os.PathLike[str] | None = ...,
    allow_pickle: bool = ...,
    labels: Any = ...,
    format: Format = ...,
    workers: int | None = ...,
    port: int | None = ...,
    auth: bool | None = ...,
    tls: str | None = ...,
    grpc: bool | None = ...,
    slo: str | None = ...,
    recovery: Recovery | None = ...,
    target: Place | None = ...,
    address: str | None = ...,
    canary: float | str | None = ...,
    shadow: bool = ...,
    record: str | None = ...,
    record_share: float | str | None = ...,
    record_drop: str | None = ...,
    record_hash: str | None = ...,
    note: str = ...,
    dry_run: Literal[True],
    quiet: bool = ...,
    preprocess: Callable[..., Any] | None = ...,
    predict: Callable[..., Any] | None = ...,
    postprocess: Callable[..., Any] | None = ...,
    retrain: Callable[..., Any] | None = ...,
) -> Plan: ...


def deploy(
    model: Any,
    name: str,
    sample: Any = None,
    *,
    file: str | os.PathLike[str] | None = None,
    allow_pickle: bool = False,
    labels: Any = None,
    format: Format = "auto",  # the word of the field
    workers: int | None = None,
    port: int | None = None,
    auth: bool | None = None,
    tls: str | None = None,
    grpc: bool | None = None,
    slo: str | None = None,
    recovery: Recovery | None = None,
    target: Place | None = None,
    address: str | None = None,
    canary: float | str | None = None,
    shadow: bool = False,
    record: str | None = None,
    record_share: float | str | None = None,
    record_drop: str | None = None,
    record_hash: str | None = None,
    note: str = "",
    dry_run: bool = False,
    quiet: bool = False,
    preprocess: Callable[..., Any] | None = None,
    predict: Callable[..., Any] | None = None,
    postprocess: Callable[..., Any] | None = None,
    retrain: Callable[..., Any] | None = None,
) -> Deployment | Plan:
    """Build, verify and serve `model` as `name`; again under the same name: a new version at the same URL.

    `model` is a fitted estimator, a function, or a path: of an ONNX, skops, Keras, … file, a folder, or MLflow's
    "models:/NAME/1". `file` is such a path too; weights alone are put into a copy of `model`. A pickle runs code while
    it is read, which `allow_pickle` allows. `sample` are rows like those that requests will
    send, as a DataFrame, an array, a list of rows or a dict of columns; `labels` their true answers. `preprocess(x)`,
    `predict(model, x)` and `postprocess(y)` travel with the model; `retrain(model, X, y)` returns the model trained
    further, and is called by re-tuning alone. With `dry_run` a `Plan` is returned and nothing is changed. Raises
    `BadInput`, `BuildFailed` or `ServeFailed`; whatever served before is then still serving.

    `auth` false lets in requests without the token, on this machine alone; `tls` "auto" serves HTTPS with a certificate
    that is made, or takes the path of one; `grpc` opens a port for gRPC. `slo` is what it promises, "p99<50ms,
    errors<0.1%"; "learn" and "off" are others; `recovery` says what is done about faults. `target` says what serves:
    "local" processes, a "container" of the version's own image, or "ray", a cluster whose dashboard is at `address`.
    They stay as they are where they are left out.

    `record` says what is kept of requests: "all", "inputs" or "off"; `record_share` of how many of them (0.1 or "10%");
    `record_drop` and `record_hash` name columns ("ssn,name") that are not kept, or as keyed hashes.

    With `canary` (0.1 or "10%") the new version gets that share of the requests while the champion stays, with `shadow`
    copies of them.
    """
    check_name(name)
    code = {"preprocess": preprocess, "predict": predict, "postprocess": postprocess, "retrain": retrain}
    order = Order(
        name=name,
        model=model,
        sample=sample,
        labels=labels,
        file=file,
        allow_pickle=allow_pickle,
        format=format,
        workers=workers,
        port=port,
        auth=auth,
        tls=tls,
        grpc=grpc,
        slo=slo,
        recovery=recovery,
        target=target,
        address=address,
        canary=canary,
        shadow=shadow,
        record=record,
        record_share=record_share,
        record_drop=record_drop,
        record_hash=record_hash,
        note=note,
        code={key: function for key, function in code.items() if function is not None},
        namespace=vars(sys.modules["__main__"]),
        typed=f"ad.deploy(model, {name!r}, …)",
    )
    store = Store()
    return launch(order, store, connecting(store), dry_run=dry_run, quiet=quiet)


def connecting(store: Store) -> Connecting:
    """Start, find and warm the supervisor in a thread, while the caller does something else."""

    def connect_and_warm() -> Supervisor:
        from autodeploy_magic.supervisor.client import connect

        supervisor = connect(store)
        supervisor.warm(sys.executable)
        return supervisor

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="autodeploy-connect")
    try:
        return pool.submit(connect_and_warm)
    finally:
        pool.shutdown(wait=False)


def launch(
    order: Order, store: Store, connecting: Connecting, *, dry_run: bool = False, quiet: bool = False
) -> Deployment | Plan:
    """Do what was ordered, with the steps shown; returns a `Deployment`, or the `Plan` of a dry run."""
    if order.file is None and isinstance(order.model, str | os.PathLike):
        order = replace(order, file=order.model, model=None)
    check(order)
    check_access(store, order.name, order.auth, order.tls)
    title = f"{'dry run' if dry_run else 'deploy'} {order.name}"
    steps = steps_of(title, quiet=quiet)
    told = Telling(order.name, title, store, connecting, steps)
    if not quiet:
        panel.warm()
        picture.warm()
    try:
        answer = _launch(order, store, connecting, dry_run, told)
    except BaseException as error:
        steps.close()
        told.end(error)
        raise
    steps.close(_news(answer, store))
    told.end()
    return answer


def _news(answer: Deployment | Plan, store: Store) -> Markup | None:
    if isinstance(answer, Plan) or answer._outcome is None:  # noqa: SLF001
        return None
    return news(store.version(answer.name, answer._outcome.version), answer._outcome)  # noqa: SLF001


def _launch(order: Order, store: Store, connecting: Connecting, dry_run: bool, report: Report) -> Deployment | Plan:
    before = store.desired(order.name) if store.exists(order.name) else None
    check_beside(store, order.name, order.canary, shadow=order.shadow)
    chosen_settings = recording.settings_of(order, before)
    runner = _Runner(connecting)
    built = _build(order, store, runner, dry_run, report)
    supervisor = connecting.result()
    if dry_run:
        serving = None if before is None else before.version
        url = "" if before is None else url_of(before)
        return Plan(order.name, built.version, built.fresh, serving, url)
    difference = _compare(store, runner, before, built)
    if before is not None and (order.canary is not None or order.shadow):
        role = _put_beside(order, before, built.version.number, supervisor, report)
        _trim(store, order.name)
        deployment = Deployment(order.name, store=store)
        deployment._outcome = Outcome(built.version.number, None, built.fresh, None, difference, role)  # noqa: SLF001
        return deployment
    wanted = _desired(order, before, built.version.number, chosen_settings)
    if wanted == before and supervisor.status(order.name).state == "running":
        report(Progress(step="start", state="skipped", detail=f"version {wanted.version} serves already"))
    else:
        supervisor.serve(wanted, report)
        _trim(store, order.name)
    deployment = Deployment(order.name, store=store)
    with timed(report, "first prediction"):
        answer = deployment.test()
    previous = None if before is None or before.version == built.version.number else before.version
    deployment._outcome = Outcome(built.version.number, previous, built.fresh, answer.seconds, difference)  # noqa: SLF001
    return deployment


class _Runner:
    """Clean processes of the supervisor, which may still be starting while the model is captured and exported."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting

    def run(
        self,
        target: str,
        spec: dict[str, Any],
        *,
        paths: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> dict[str, Any]:
        runner = self._connecting.result().runner(sys.executable)
        return runner.run(target, spec, paths=paths, env=env, timeout_s=timeout_s)


def _build(order: Order, store: Store, runner: CleanRunner, dry_run: bool, report: Report) -> Built:
    from autodeploy_magic import build

    read = _read(order, report)
    request = build.BuildRequest(
        name=order.name,
        model=order.model if read is None else read.model,
        sample=order.sample,
        labels=order.labels,
        code=dict(order.code or {}),
        format=order.format,
        note=order.note,
        source="" if read is None else read.source,
        allowed_by="" if read is None else read.allowed_by,
        namespace=order.namespace or {},
    )
    return build.build(request, store, runner, report, dry_run=dry_run)


def _read(order: Order, report: Report) -> Loaded | None:
    """The model that a file holds; None where it is an object of the kernel. What its reader notes is a warning."""
    if order.file is None:
        return None
    from autodeploy_magic import build

    with timed(report, "read") as step:
        found = build.read_model(order.file, allow_pickle=order.allow_pickle, into=order.model)
        step.detail = found.source
    for note in found.notes:
        warnings.warn(f"{order.file}: {note}", stacklevel=2)
    return found


def _compare(store: Store, runner: CleanRunner, before: Desired | None, built: Built) -> ShownDifference | None:
    """What the new version answers differently from the one that serves; None where there is nothing to compare."""
    from autodeploy_magic import build

    new = built.version.number
    if before is None or before.version == new:
        return None
    return ShownDifference.of(build.difference(store, runner, before.name, before.version, new))


def _trim(store: Store, name: str) -> None:
    with store.building(name):
        store.trim(name, keep=int(settings.get("keep_versions")))


def _put_beside(order: Order, before: Desired, version: int, supervisor: Supervisor, report: Report) -> str:
    """Give the new version a share, or copies, while the champion stays; returns its role in words."""
    if version == before.version:
        raise InvalidOption(
            f"the cell makes the very model that serves {order.name} as v{version}",
            why="the champion cannot be its own canary or shadow",
            fix="change the model, or leave --canary and --shadow out",
        )
    change: dict[str, Any] = {"shadow": version}
    role = "shadow: it gets copies of the requests"
    if order.canary is not None:
        share = share_of(order.canary)
        change = {"canary": version, "share": share}
        role = f"canary: it gets {share_text(share)} of the requests"
    # One that was the other until now is it no longer.
    other, now = ("canary", before.traffic.canary) if order.shadow else ("shadow", before.traffic.shadow)
    supervisor.steer(order.name, report, **change, **({other: 0} if now == version else {}))
    return role


def _desired(order: Order, before: Desired | None, version: int, kept: dict[str, Any]) -> Desired:
    if before is None:
        return Desired(
            name=order.name,
            version=version,
            executable=sys.executable,
            host=str(settings.get("host")),
            port=order.port or 0,
            workers=order.workers or int(settings.get("workers")),
            settings=kept,
            auth=order.auth is not False,
            tls=chosen(order.tls) if order.tls else "",
            grpc=order.grpc is True,
            slo=parse(str(settings.get("slo")) if order.slo is None else order.slo).text,
            recovery=order.recovery or "act",
            target=order.target or "local",
            address=order.address or "",
        )
    history = before.history if before.version == version else (*before.history, before.version)
    return Desired(
        name=order.name,
        version=version,
        executable=sys.executable,
        host=before.host,
        port=order.port or before.port,
        workers=order.workers or before.workers,
        history=history,
        settings=kept,
        traffic=before.traffic if before.version == version else before.traffic.after_swap(),
        auth=before.auth if order.auth is None else order.auth,
        tls=chosen(order.tls) if order.tls else before.tls,
        grpc=before.grpc if order.grpc is None else order.grpc,
        grpc_port=before.grpc_port,
        slo=before.slo if order.slo is None else parse(order.slo).text,
        recovery=order.recovery or before.recovery,
        target=order.target or before.target,
        address=order.address or (before.address if order.target in (None, before.target) else ""),
        url=before.url if order.target in (None, before.target) and order.address in (None, before.address) else "",
    )
