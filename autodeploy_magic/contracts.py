"""Frozen records that cross a room or a process.

Every record is JSON on the wire and on disk. A record that is kept on disk carries `schema`, and the recipe that reads
older ones stands in `UPGRADES` beside it. Units are in the names: `_s` seconds, `_bytes` bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from autodeploy_magic.errors import UnreadableRecord

__all__ = [
    "SCHEMA",
    "Artifact",
    "Candidate",
    "CleanRunner",
    "Column",
    "Desired",
    "Difference",
    "Environment",
    "Lineage",
    "Output",
    "Progress",
    "Record",
    "Report",
    "Signature",
    "Status",
    "Traffic",
    "Trust",
    "Version",
    "WorkerState",
    "decode",
    "encode",
]

SCHEMA = 1
"""The version of the records on disk. Raise it with a change of meaning, and add the upgrade to `UPGRADES`."""

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From schema N to N + 1. Applied in turn by `decode`."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the records: immutable, compared by value, unknown fields ignored so that newer writers can add some."""


R = TypeVar("R", bound=Record)

Container = Literal["dataframe", "ndarray", "list", "dict"]
State = Literal["starting", "running", "degraded", "failed", "stopped"]


class Column(Record, frozen=True, kw_only=True):
    """One input of a model.

    `dtype` is numpy's name of it ("float64", "int32", "bool", "datetime64[ns]"), "str" for text, "object" for whatever
    JSON can say, "image" for a picture and "bytes" for a file, which JSON has in base64.
    `shape` is the shape of one row's value: () for a table's column, (4,) for a row of a 2-D array, (3, 224, 224) for a
    picture; -1 stands for a length that varies. `categories` are the values of a pandas categorical, in its order;
    `known` the only texts that the model was made to answer, where it is plain text.
    `minimum` and `maximum` are over the sample, and inform: a request outside them is answered. `label` is the name
    that the model knows the column by where that is a number: JSON has its text.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    label: int | None = None


class Signature(Record, frozen=True, kw_only=True):
    """What a request must look like: the container the person's sample came in, and its columns in order.

    An ndarray or a list is one column named "inputs"; a dataframe and a dict have one for each name. `library` is the
    one, of `registry.LIBRARIES`, whose arrays or frames the model takes in place of numpy's and pandas' ("torch").
    """

    container: Container
    columns: tuple[Column, ...]
    library: str = ""


class Output(Record, frozen=True, kw_only=True):
    """One named answer: "predictions" always, "probabilities" and others where the model has them.

    `container` says what the live object returns, so that a client can rebuild it: a numpy array, a pandas Series or
    DataFrame (`columns` are its names), a list, or any other JSON value ("json").
    `shape` is the shape of one row's value. `per_row` is false where the answer is not one item a row. `method` is the
    live object's method that gives it ("predict", "predict_proba", "transform", "__call__"). `streams` says that the
    answer is a generator's: its items come one after the other.
    """

    name: str
    container: Literal["ndarray", "series", "dataframe", "list", "json"]
    dtype: str = "object"
    shape: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    series_name: str | None = None
    per_row: bool = True
    method: str = ""
    streams: bool = False


class Artifact(Record, frozen=True, kw_only=True):
    """One file of a version. `path` is relative to the version's folder; `sha256` is checked at every load."""

    role: str
    format: str
    path: str
    sha256: str
    size_bytes: int


class Environment(Record, frozen=True, kw_only=True):
    """What the model was seen to import when it answered its sample in a clean process.

    `requirements` are exact pins ("scikit-learn==1.9.1"); `local_modules` are top-level names copied into the Bento;
    `system_libraries` are what it loaded that no distribution brings ("libgomp.so.1"). `conflicts` are lines that say
    why an installer elsewhere would refuse the requirements, `notes` what else is to know where it is moved.
    """

    python: str
    platform: str
    requirements: tuple[str, ...] = ()
    local_modules: tuple[str, ...] = ()
    system_libraries: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Candidate(Record, frozen=True, kw_only=True):
    """One format of the model, replayed in a clean process and compared with the live object.

    `one_row_s` and `batch_s` are median seconds of one call on 1 and on `batch_rows` rows, of the model alone.
    `max_difference` is the largest absolute difference between numbers (probabilities for a classifier, else relative
    to the spread of the live predictions); `agreement` the share of rows whose label or value is equal within
    tolerance. `provider` is onnxruntime's execution provider, "" for the CPU's.
    """

    format: str
    passed: bool
    reason: str
    size_bytes: int = 0
    agreement: float | None = None
    max_difference: float | None = None
    one_row_s: float | None = None
    batch_s: float | None = None
    batch_rows: int = 0
    provider: str = ""


class Trust(Record, frozen=True, kw_only=True):
    """Whether loading the version can run code that nobody has read: green no, amber yes; and why.

    `allowed_by` is the person's choice that let an amber one be made: "--format native", "--allow-pickle", or that
    `%%deploy` was run on an object of this kernel.
    """

    level: Literal["green", "amber"]
    reason: str
    allowed_by: str = ""


class Lineage(Record, frozen=True, kw_only=True):
    """Where a version came from that a re-tune made: from which version, by what, with which data, settings and seed.

    `root` is the version whose live object it goes back to: what is trained further is that one's. `data` is the digest
    of the rows that were used; `%deploy retune --replay RETUNE` makes it again.
    """

    retune: str
    contender: str
    parent: int
    root: int
    optimiser: str
    title: str
    settings: dict[str, Any] = {}
    seed: int = 0
    data: str = ""


class Version(Record, frozen=True, kw_only=True):
    """One built Bento, immutable and numbered within its deployment.

    `digest` is over what decides its answers: model, code, signature, requirements. `created_at` is ISO 8601 in UTC.
    `format` names the model artifact that serves. `outputs` are what a request gets; `model_outputs` what the model
    itself returns, where the person's postprocess changes it. `provider` is the execution provider that an ONNX model
    is run by, "" for the CPU's. `source` says where a model came from that was not an object of the kernel. `signed_by`
    is the fingerprint of the key that its folder was signed with; the signature itself is checked at load. `bento` is
    the tag in the deployment's own BentoML store; `bento_path` and `model_path` are relative to the deployment's
    folder. `live_format` is the format in which the live object is kept beside the Bento, for re-tuning, "" where it is
    not; `kept` are the files there (`Store.live_folder`). `lineage` is of a version that a re-tune made.
    """

    schema: int = SCHEMA
    deployment: str
    number: int
    digest: str
    created_at: str
    task: str
    framework: str
    model_type: str
    format: str
    reason: str
    trust: Trust
    signature: Signature
    outputs: tuple[Output, ...]
    model_outputs: tuple[Output, ...] = ()
    artifacts: tuple[Artifact, ...]
    environment: Environment
    candidates: tuple[Candidate, ...]
    sample_rows: int
    bento: str = ""
    bento_path: str = ""
    model_path: str = ""
    size_bytes: int = 0
    note: str = ""
    provider: str = ""
    source: str = ""
    signed_by: str = ""
    live_format: str = ""
    kept: tuple[Artifact, ...] = ()
    lineage: Lineage | None = None


class Traffic(Record, frozen=True, kw_only=True):
    """Which versions beside the champion are loaded, and what each is given; 0 is no version.

    `canary` answers `share` of the requests (0 to 1). `shadow` is given copies, and its answers are compared and thrown
    away. `loaded` ones answer requests that name them. `since` is when canary and shadow became what they are, in
    seconds since the epoch.
    """

    canary: int = 0
    share: float = 0.0
    shadow: int = 0
    loaded: tuple[int, ...] = ()
    since: float = 0.0

    @property
    def versions(self) -> tuple[int, ...]:
        """The numbers of all of them, each once."""
        return tuple(sorted({self.canary, self.shadow, *self.loaded} - {0}))

    def after_swap(self) -> Traffic:
        """What stays when another version becomes the champion: canary and shadow were compared with the one before."""
        return Traffic(loaded=self.loaded)


class Desired(Record, frozen=True, kw_only=True):
    """What the person wants of a deployment; the supervisor makes it so. Kept in `deployment.json`.

    `version` is the champion's number. `executable` is the Python that the workers run in. `port` is fixed at the first
    start and kept, so that the URL stays. `settings` are the knobs that travel with it (`settings.travelling`). `auth`
    false asks for no token, and is for loopback only. `tls` is "" for plain HTTP, "auto" for a certificate that we
    make, or the path of a PEM file with certificate and key. `grpc` opens `grpc_port` besides, chosen like `port`.
    `slo` is the SLO line ("" learns one), `recovery` what is done about faults; see `health.Recovery`. `target` is what
    its workers are: processes of `executable`, containers of the version's image, or replicas in the Ray cluster whose
    dashboard is at `address`; there `url` is where they answer, which the cluster told.
    """

    schema: int = SCHEMA
    name: str
    version: int
    executable: str
    host: str = "127.0.0.1"
    port: int = 0
    workers: int = 1
    state: Literal["running", "stopped"] = "running"
    history: tuple[int, ...] = ()
    settings: dict[str, bool | float | int | str] = {}
    traffic: Traffic = Traffic()
    auth: bool = True
    tls: str = ""
    grpc: bool = False
    grpc_port: int = 0
    slo: str = ""
    recovery: Literal["off", "suggest", "act"] = "act"
    target: Literal["local", "container", "ray"] = "local"
    address: str = ""
    url: str = ""


class WorkerState(Record, frozen=True, kw_only=True):
    """A worker process; `pid`, `create_time` (seconds since the epoch) and `boot_id` together name it beyond doubt.

    `container` is the container that it is in, as ENGINE/NAME; "" for none.
    """

    pid: int
    create_time: float
    boot_id: str
    generation: int
    version: int
    ready: bool = False
    container: str = ""


class Status(Record, frozen=True, kw_only=True):
    """How a deployment is now, as the supervisor sees it. `reason` says why a state is not "running".

    `certificate_until` is when the certificate of an HTTPS URL ends, in seconds since the epoch; 0 for plain HTTP, and
    where it cannot be read.
    """

    name: str
    state: State
    version: int
    generation: int = 0
    url: str = ""
    workers: tuple[WorkerState, ...] = ()
    desired_workers: int = 1
    reason: str = ""
    format: str = ""
    since: float = 0.0
    traffic: Traffic = Traffic()
    grpc_url: str = ""
    auth: bool = True
    certificate_until: float = 0.0


class Progress(Record, frozen=True, kw_only=True):
    """One event of a long job. `step` is one of the named steps, `seconds` the time the step took once it is done.

    `lines` are what a tool has said since the last event, of a job whose log is shown while it runs.
    """

    step: str
    state: Literal["started", "done", "failed", "skipped"]
    seconds: float = 0.0
    detail: str = ""
    lines: tuple[str, ...] = ()


class Difference(Record, frozen=True, kw_only=True):
    """Two versions on the same sample: how many predictions differ, and the first of the rows that do."""

    old: int
    new: int
    rows: int
    differing: int
    examples: tuple[dict[str, Any], ...] = ()
    comparable: bool = True
    reason: str = ""


Report = Callable[[Progress], None]
"""Where progress goes: the notebook's bar, the terminal, a stream."""


class CleanRunner(Protocol):
    """Runs `target` ("module:function", a function from JSON to JSON) in a process that holds nothing of the kernel's.

    `paths` are prepended to its `sys.path`, `env` is added to its environment. Raises the `AutodeployError` that the
    target raised, or `BuildFailed` with the last lines of its output where the process died.
    """

    def run(
        self,
        target: str,
        spec: dict[str, Any],
        *,
        paths: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> dict[str, Any]: ...


def encode(record: Record) -> bytes:
    """Return the record as JSON, readable by people and by `decode`."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2)


def decode(kind: type[R], data: bytes, *, source: str = "record") -> R:
    """Read a record of `kind` from JSON, upgrading an older schema.

    Raises `UnreadableRecord` naming `source` where the bytes are damaged or written by a newer release.
    """
    try:
        raw = msgspec.json.decode(data)
        if isinstance(raw, dict) and "schema" in raw:
            raw = _upgrade(raw, source)
        return msgspec.convert(raw, kind)
    except msgspec.MsgspecError as error:
        raise UnreadableRecord(
            f"{source} cannot be read as a {kind.__name__}",
            why=str(error),
            fix="restore the file from a backup, or remove the deployment with `%deploy rm` and deploy again",
        ) from error


def _upgrade(raw: dict[str, Any], source: str) -> dict[str, Any]:
    schema = raw["schema"]
    if not isinstance(schema, int) or schema < 1:
        raise UnreadableRecord(
            f"{source} has schema {schema!r}, which no release wrote",
            why="the file is damaged",
            fix="restore the file from a backup, or remove the deployment with `%deploy rm` and deploy again",
        )
    if schema > SCHEMA:
        raise UnreadableRecord(
            f"{source} has schema {schema}; this release reads up to {SCHEMA}",
            why="a newer release of autodeploy_magic wrote it",
            fix="pip install --upgrade autodeploy_magic",
        )
    while schema < SCHEMA:
        raw = UPGRADES[schema](raw)
        schema += 1
        raw["schema"] = schema
    return raw
