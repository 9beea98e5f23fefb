"""Loading and unloading versions as Triton's clients ask for it: by a model configuration with a version policy.

The champion answers whatever is loaded besides; what it is, the deployment's owner decides.

Source: Triton's extension_model_repository.md, and ModelVersionPolicy of its model_config.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from autodeploy_magic.errors import InvalidInputs, RequestRefused, Unavailable
from autodeploy_magic.serve.protocols import model_card
from autodeploy_magic.serve.road import Repository, Road

__all__ = ["load", "unload"]

_FIX = """send {"parameters": {"config": "{\\"version_policy\\": {\\"specific\\": {\\"versions\\": [1, 2]}}}"}}"""


async def load(road: Road, parameters: Mapping[str, Any]) -> None:
    """Have the versions answer that the policy in `parameters["config"]` names, and the champion; without one, no more.

    The policy is Triton's: {"specific": {"versions": [1, 3]}}, {"latest": {"num_versions": 2}} or {"all": {}}.
    Raises `InvalidInputs`, `NotFound` or `Unavailable`.
    """
    for name in parameters:
        if name != "config":
            raise InvalidInputs(
                f"the parameter {name!r} is not read here",
                why="a version's files are what was built, and are not replaced by a request",
                fix=_FIX,
                field=f"parameters.{name}",
            )
    if "config" not in parameters:
        return  # the champion is loaded as long as there is somebody to ask
    wanted = _config(parameters["config"])
    repository = _repository(road)
    known = await model_card.known(road)
    policy = wanted.pop("version_policy", None)
    ours = model_card.config(road, known)
    for key, value in wanted.items():
        if ours.get(key) != value:
            raise InvalidInputs(
                f"config sets {key!r}, which is as the version was built", fix=_FIX, field=f"config.{key}"
            )
    if policy is not None:
        await repository.load(_numbers(policy, [listed.number for listed in known.listed]))


async def unload(road: Road) -> None:
    """Let the champion alone answer. Raises `RequestRefused` (400) where it does already: it cannot be unloaded."""
    repository = _repository(road)
    ready = (await model_card.known(road)).ready
    if len(ready) <= 1:
        raise RequestRefused(
            f"{road.version.deployment} has no version loaded but the one that it serves",
            why="that one is unloaded by stopping the deployment, which its owner can",
            fix=f"%deploy stop {road.version.deployment}",
        )
    await repository.load([])


def _repository(road: Road) -> Repository:
    if road.repository is None:
        raise Unavailable(
            "this worker cannot load other versions",
            why="it was started for one version alone",
            fix="deploy it with %%deploy or %deploy start: a supervised deployment can",
        )
    return road.repository


def _config(text: Any) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        raise InvalidInputs(f"config is not JSON in a string: {error}", fix=_FIX, field="config") from error
    if not isinstance(found, dict):
        raise InvalidInputs("config is not a JSON object", fix=_FIX, field="config")
    return found


def _numbers(policy: Any, kept: list[int]) -> list[int]:
    """The versions that a policy chooses among those kept; `specific` ones whether they are kept or not."""
    if not isinstance(policy, dict) or len(policy) != 1:
        raise InvalidInputs("version_policy is not one of specific, latest, all", fix=_FIX, field="version_policy")
    ((kind, given),) = policy.items()
    values = given if isinstance(given, dict) else {}
    if kind == "all":
        return kept
    if kind == "latest":
        count = _whole(values.get("num_versions", 1), "latest.num_versions")
        return sorted(kept)[-count:]
    if kind == "specific":
        numbers = values.get("versions")
        if isinstance(numbers, list) and numbers:
            return sorted({_whole(number, f"specific.versions[{i}]") for i, number in enumerate(numbers)})
    raise InvalidInputs("version_policy names no versions", fix=_FIX, field=f"version_policy.{kind}")


def _whole(value: Any, field: str) -> int:
    """A whole number above 0; protobuf writes its 64-bit ones as texts in JSON."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if type(value) is not int or value < 1:
        raise InvalidInputs(
            f"{field} is {str(value)[:80]!r}, not a version's number", fix=_FIX, field=f"version_policy.{field}"
        )
    return value
