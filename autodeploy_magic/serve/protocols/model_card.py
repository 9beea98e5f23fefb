"""What there is to know about a deployment as a model: its tensors, its versions, what it answered so far.

As plain records with Triton's names (metadata, configuration, repository index, statistics), whichever protocol asks.
What is not known is left out: a zero would look as if it had been measured.

Source: Open Inference Protocol v2 (kserve/open-inference-protocol); Triton's extension_model_configuration.md,
extension_model_repository.md and extension_statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autodeploy_magic import __version__
from autodeploy_magic.contracts import Column, Output
from autodeploy_magic.errors import NotFound
from autodeploy_magic.metrics import Totals
from autodeploy_magic.serve.protocols.tensors import datatype_of, input_shape, output_shape
from autodeploy_magic.serve.road import Listed, Road

__all__ = ["Known", "alone", "check_model", "config", "index", "known", "metadata", "server", "statistics", "tensors"]

SERVER = "autodeploy_magic"


@dataclass(frozen=True, slots=True)
class Known:
    """What a road knows of its deployment at one moment: the versions kept, oldest first, and what each answered."""

    listed: Sequence[Listed]
    totals: Mapping[int, Totals] | None = None

    @property
    def ready(self) -> list[int]:
        """The numbers of the versions that answer."""
        return [listed.number for listed in self.listed if listed.ready]


async def known(road: Road, *, totals: bool = False) -> Known:
    """Ask the road's repository; a road without one knows its own version alone."""
    if road.repository is None:
        return alone(road)
    listed = await road.repository.index()
    return Known(listed, await road.repository.statistics() if totals else None)


def alone(road: Road) -> Known:
    """The road's own version, and nothing of others."""
    return Known([Listed(road.version.number, not road.draining, "draining" if road.draining else "")])


def check_model(road: Road, name: str, version: str | None) -> None:
    """Raise `NotFound` unless the road is that model, and that version where one is named."""
    if name != road.version.deployment:
        raise NotFound(f"there is no model {name!r} here", fix=f"ask for {road.version.deployment!r}")
    if version and version != str(road.version.number):
        raise NotFound(
            f"version {version} of {name} is not loaded",
            fix=f"ask for version {road.version.number}, or for none; POST /v2/repository/index lists them all",
        )


def server(road: Road) -> dict[str, Any]:
    """The server's name, version, and the extensions that it has."""
    extensions = ["binary_tensor_data", "model_configuration", "model_repository"]
    if road.repository is not None:
        extensions.append("statistics")
    return {"name": SERVER, "version": __version__, "extensions": extensions}


def metadata(road: Road, known: Known) -> dict[str, Any]:
    """The model's tensors, and the versions that answer."""
    version = road.version
    return {
        "name": version.deployment,
        "versions": [str(number) for number in known.ready],
        "platform": _platform(road),
        **tensors(road),
    }


def config(road: Road, known: Known) -> dict[str, Any]:
    """Triton's model configuration. `dims` are those of one row; `version_policy` is what `load` takes."""
    described = tensors(road)
    named = {
        side: [
            {"name": t["name"], "data_type": f"TYPE_{_config_type(t['datatype'])}", "dims": t["shape"][1:] or [1]}
            for t in described[f"{side}s"]
        ]
        for side in ("input", "output")
    }
    return {
        "name": road.version.deployment,
        "platform": _platform(road),
        "max_batch_size": road.served.max_rows,
        "version_policy": {"specific": {"versions": known.ready}},
        **named,
    }


def tensors(road: Road) -> dict[str, list[dict[str, Any]]]:
    """The inputs and outputs of a version, each with name, datatype and shape."""
    signature = road.version.signature
    table = signature.container == "dataframe"
    return {"inputs": [_input(c, table=table) for c in signature.columns], "outputs": _outputs(road.version.outputs)}


def index(road: Road, known: Known, *, ready: bool = False) -> list[dict[str, str]]:
    """Every version kept and whether it answers; with `ready` only those that do."""
    return [
        {
            "name": road.version.deployment,
            "version": str(listed.number),
            "state": "READY" if listed.ready else "UNAVAILABLE",
            "reason": listed.reason,
        }
        for listed in known.listed
        if listed.ready or not ready
    ]


def statistics(road: Road, known: Known, version: str | None = None) -> list[dict[str, Any]]:
    """What each version that answers has answered since it was first served; one of them where `version` names it.

    Counted over all workers. The last second or two may be missing: workers write once a second.
    """
    numbers = known.ready if not version else [road.version.number]
    return [_statistics(road.version.deployment, number, (known.totals or {}).get(number)) for number in numbers]


def _statistics(name: str, number: int, totals: Totals | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "version": str(number)}
    if totals is None:
        return found
    unanswered = totals.refused + totals.failed
    answered = totals.requests - unanswered
    if totals.last is not None:
        found["last_inference"] = totals.last * 1000
    return {
        **found,
        "inference_count": totals.rows,
        "execution_count": totals.executions,
        "inference_stats": {
            "success": _duration(answered, totals.seconds - totals.unanswered_s),
            "fail": _duration(unanswered, totals.unanswered_s),
            "queue": _duration(answered, totals.queue_s),
            "compute_infer": _duration(totals.executions, totals.run_s),
        },
        # How long runs of each size took is not written down.
        "batch_stats": [
            {"batch_size": rows, "compute_infer": {"count": count}} for rows, count in sorted(totals.runs.items())
        ],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


def _platform(road: Road) -> str:
    return "onnxruntime_onnx" if road.version.format.startswith("onnx") else "python"


def _input(column: Column, *, table: bool) -> dict[str, Any]:
    return {"name": column.name, "datatype": datatype_of(column.dtype), "shape": input_shape(column, table=table)}


def _outputs(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    return [{"name": o.name, "datatype": _output_type(o), "shape": output_shape(o)} for o in outputs]


def _output_type(output: Output) -> str:
    return datatype_of(output.dtype) if output.container in ("ndarray", "series") else "BYTES"


def _config_type(datatype: str) -> str:
    return "STRING" if datatype == "BYTES" else datatype
