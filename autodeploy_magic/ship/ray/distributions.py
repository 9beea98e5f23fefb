"""What the cluster's Python must have for a version: the serving road's own packages, and the model's."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.formats import format_of

__all__ = ["distributions", "pins"]

ROAD = ("msgspec", "numpy", "prometheus_client", "platformdirs", "filelock")
"""What a replica imports whatever its model is."""


def distributions(version: Version) -> dict[str, str]:
    """Each distribution that the version needs, and the version that it must be, "" for any.

    An ONNX graph runs with any onnxruntime; what pickled code or a framework's own format needs is exact.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    onnx = format_of(version.format).runtime in ("onnx", "transformers-onnx")
    exact = not onnx or any(artifact.role == "code" for artifact in version.artifacts)
    found = dict.fromkeys(ROAD, "") | ({"onnxruntime": ""} if onnx else {}) | ({"cloudpickle": ""} if exact else {})
    if exact:
        package_only = _closure("bentoml")
        for line in version.environment.requirements:
            pin = Requirement(line)
            name = canonicalize_name(pin.name)
            if name not in package_only and name not in found:
                found[name] = next((one.version for one in pin.specifier if one.operator == "=="), "")
    return found


def pins(version: Version) -> list[str]:
    """The same, for an installer. Raises `ShipFailed` where the version cannot be installed elsewhere."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    conflicts = version.environment.conflicts
    if conflicts:
        raise ShipFailed(
            f"what v{version.number} of {version.deployment} needs cannot be installed together",
            why="; ".join(conflicts),
            fix="install it on the nodes by hand, and leave packages=pip out",
        )
    known = {canonicalize_name(Requirement(line).name): line for line in version.environment.requirements}
    lines = []
    for name, exact in distributions(version).items():
        line = known.get(canonicalize_name(name), f"{name}=={exact}" if exact else "")
        lines.append(line or f"{name}=={installed(name)}")
    return sorted(lines)


def _closure(name: str) -> set[str]:
    """A distribution and all that it requires, as installed here; empty where it is not."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    pending = [name]
    while pending:
        one = canonicalize_name(pending.pop())
        if one in found:
            continue
        try:
            needs = requires(one) or []
        except PackageNotFoundError:
            continue
        found.add(one)
        for line in needs:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                pending.append(need.name)
    return found
