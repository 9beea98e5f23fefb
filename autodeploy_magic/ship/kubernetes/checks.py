"""What schemas miss: selectors that find no pod, ports that nobody names, quantities that are none.

Each check takes all objects of one place, as they would be applied together, and yields what is wrong in words. They
are run on what was written before it is handed over: a fault here is ours, and better told than applied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.kubernetes.quantities import quantity
from autodeploy_magic.ship.text import check_reference

__all__ = ["CHECKS", "assert_good", "faults", "folder_faults", "read"]

Object = Mapping[str, Any]

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_LONGEST_NAME = 253
_SECRET_WORDS = ("token", "password", "secret", "credential", "apikey", "api_key")


def assert_good(objects: Sequence[Object], where: str) -> None:
    """Raise `ShipFailed` with all that is wrong."""
    found = list(faults(objects))
    if found:
        raise ShipFailed(
            f"the manifests of {where} are not right", why="; ".join(found), fix="please report it: nothing was written"
        )


def faults(objects: Sequence[Object]) -> Iterator[str]:
    """All that is wrong with objects that are applied together."""
    for check in CHECKS:
        yield from check(objects)


def read(file: Path) -> list[dict[str, Any]]:
    """The objects of a file of YAML."""
    import yaml

    return [one for one in yaml.safe_load_all(file.read_text("utf-8")) if one]


def folder_faults(folder: Path) -> Iterator[str]:
    """What a kustomization below `folder` lists and is not there, and what is there and nobody lists."""
    for file in sorted(folder.rglob("kustomization.yaml")):
        [said] = read(file)
        place = file.parent
        listed = [*said.get("resources", ()), *said.get("components", ())]
        listed += [one["path"] for one in said.get("patches", ()) if "path" in one]
        where = place.relative_to(folder)
        for name in listed:
            target = place / name
            if not (target.is_file() or (target / "kustomization.yaml").is_file()):
                yield f"{where}: {name} is listed and is not there"
        if len(set(listed)) != len(listed):
            yield f"{where}: a file is listed twice"
        for other in sorted(place.glob("*.y*ml")):
            if other != file and other.name not in listed:
                yield f"{where}: {other.name} is there and nobody lists it"


def _of(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def _told(one: Object) -> str:
    return f"{one['kind']} {one.get('metadata', {}).get('name', '?')}"


def _pods(objects: Iterable[Object]) -> Iterator[tuple[Object, Object, Mapping[str, str]]]:
    """What runs pods, with its pods' spec and labels."""
    for one in objects:
        if one["kind"] == "InferenceService":
            yield one, one["spec"]["predictor"], one["spec"]["predictor"].get("labels", {})
        elif "template" in one.get("spec", {}):
            template = one["spec"]["template"]
            yield one, template["spec"], template.get("metadata", {}).get("labels", {})


def _containers(objects: Iterable[Object]) -> Iterator[tuple[str, Object, Object]]:
    for one, spec, _ in _pods(objects):
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            yield f"{_told(one)}, {container['name']}", container, spec


def names(objects: Sequence[Object]) -> Iterator[str]:
    """Names are DNS names; nothing is there twice."""
    seen: set[tuple[str, str, str]] = set()
    for one in objects:
        name = one.get("metadata", {}).get("name", "")
        short = one["kind"] in ("Service", "Namespace", "InferenceService")
        if not _NAME.fullmatch(name) or len(name) > (63 if short else _LONGEST_NAME) or (short and "." in name):
            yield f"{_told(one)}: the name is not valid"
        key = (str(one["apiVersion"]), one["kind"], name)
        if key in seen:
            yield f"{_told(one)}: there are two"
        seen.add(key)
    for where, container, _ in _containers(objects):
        for port in container.get("ports", ()):
            if "name" in port and not _PORT_NAME.fullmatch(port["name"]):
                yield f"{where}: the port's name {port['name']!r} is not valid"


def namespaces(objects: Sequence[Object]) -> Iterator[str]:
    """All are in one namespace, or none says which."""
    found = {one["metadata"].get("namespace") for one in objects if one["kind"] != "Namespace"}
    if len(found) > 1:
        yield f"several namespaces: {', '.join(sorted(map(str, found)))}"


def label_values(objects: Sequence[Object]) -> Iterator[str]:
    """Labels are at most 63 of the characters that may stand there."""
    for one in objects:
        places = [one["metadata"].get("labels", {})]
        places += [labels for owner, _, labels in _pods([one]) if owner is one]
        for key, value in (pair for place in places for pair in place.items()):
            if not _LABEL_KEY.fullmatch(key):
                yield f"{_told(one)}: {key!r} is no label"
            if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
                yield f"{_told(one)}: the label {key} cannot be {value!r}"


def selectors(objects: Sequence[Object]) -> Iterator[str]:
    """A Deployment finds its own pods and no other's; what selects pods or services finds some."""
    pods = list(_pods(objects))
    deployments = _of(objects, "Deployment")
    for one in deployments:
        wanted = one["spec"]["selector"]["matchLabels"]
        found = [owner for owner, _, labels in pods if wanted.items() <= labels.items()]
        if found != [one]:
            yield f"{_told(one)}: its selector finds {', '.join(map(_told, found)) or 'no pod'}"
    if not deployments:
        return
    services = [one["metadata"].get("labels", {}) for one in _of(objects, "Service")]
    for one in _of(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor"):
        spec = one["spec"]
        wanted = spec.get("podSelector", spec.get("selector"))
        wanted = wanted.get("matchLabels", {}) if one["kind"] != "Service" else wanted
        among = services if one["kind"] == "ServiceMonitor" else [labels for _, _, labels in pods]
        if not wanted or not any(wanted.items() <= labels.items() for labels in among):
            yield f"{_told(one)}: its selector finds nothing"
    for one, spec, labels in pods:
        for spread in spec.get("topologySpreadConstraints", ()):
            if not spread["labelSelector"]["matchLabels"].items() <= labels.items():
                yield f"{_told(one)}: it is spread among other pods"


def ports(objects: Sequence[Object]) -> Iterator[str]:
    """Ports that are named are there: of probes, Services and network policies."""
    for where, container, _ in _containers(objects):
        known = _known(container)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if probe in container and port not in known:
                yield f"{where}: {probe} asks port {port}, which there is not"
    pods = list(_pods(objects))
    if not pods:
        return
    asked = [(one, one["spec"]["selector"], _targets(one["spec"]["ports"])) for one in _of(objects, "Service")]
    for one in _of(objects, "NetworkPolicy"):
        allowed = [port["port"] for rule in one["spec"].get("ingress", ()) for port in rule.get("ports", ())]
        asked.append((one, one["spec"]["podSelector"].get("matchLabels", {}), allowed))
    for one, wanted, wished in asked:
        offered = _offered(pods, wanted)
        for port in wished:
            if port not in offered:
                yield f"{_told(one)}: no container has the port {port}"


def routes(objects: Sequence[Object]) -> Iterator[str]:
    """What asks a Service asks one that is there, and a port that it has."""
    services = {one["metadata"]["name"]: one["spec"]["ports"] for one in _of(objects, "Service")}
    for one, name, port in _backends(objects):
        if name not in services:
            yield f"{_told(one)}: there is no Service {name}"
        elif not any(port in (each["port"], each["name"]) for each in services[name]):
            yield f"{_told(one)}: Service {name} has no port {port}"
    named = {port["name"] for each in services.values() for port in each}
    for one in _of(objects, "ServiceMonitor"):
        for end in one["spec"]["endpoints"]:
            if end["port"] not in named:
                yield f"{_told(one)}: no Service has a port named {end['port']}"


def _targets(service_ports: Iterable[Object]) -> list[str | int]:
    return [port.get("targetPort", port["port"]) for port in service_ports]


def _known(container: Object) -> set[str | int]:
    return {each[key] for each in container.get("ports", ()) for key in ("name", "containerPort") if key in each}


def _offered(pods: Iterable[tuple[Object, Object, Mapping[str, str]]], wanted: Mapping[str, str]) -> set[str | int]:
    found = [spec for _, spec, labels in pods if wanted.items() <= labels.items()]
    return {port for spec in found for container in spec["containers"] for port in _known(container)}


def _backends(objects: Iterable[Object]) -> Iterator[tuple[Object, str, str | int]]:
    for one in _of(objects, "Ingress"):
        for rule in one["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield one, service["name"], next(iter(service["port"].values()))
    for one in _of(objects, "HTTPRoute"):
        for rule in one["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                yield one, backend["name"], backend["port"]


def scaling(objects: Sequence[Object]) -> Iterator[str]:
    """Autoscalers have a target and a range, and are alone with it; a budget lets a pod go."""
    workloads = {(one["apiVersion"], one["kind"], one["metadata"]["name"]): one for one in _of(objects, "Deployment")}
    least = 0
    for one in _of(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        spec = one["spec"]
        target = spec["scaleTargetRef"]
        low = spec.get("minReplicas", spec.get("minReplicaCount", 1))
        high = spec.get("maxReplicas", spec.get("maxReplicaCount", 0))
        found = workloads.get((target["apiVersion"], target["kind"], target["name"]))
        if found is None:
            yield f"{_told(one)}: there is no {target['kind']} {target['name']}"
        elif "replicas" in found["spec"]:
            yield f"{_told(one)}: {_told(found)} says a number of replicas, too"
        if not 0 < low <= high:
            yield f"{_told(one)}: from {low} to {high} replicas is no range"
        least = max(least, low)
    if len(_of(objects, "HorizontalPodAutoscaler", "ScaledObject")) > 1:
        yield "two autoscalers work against each other"
    least = least or max((one["spec"].get("replicas", 1) for one in workloads.values()), default=1)
    for one in _of(objects, "PodDisruptionBudget"):
        spec = one["spec"]
        kept = spec.get("minAvailable")
        if (isinstance(kept, int) and kept >= least) or kept == "100%" or spec.get("maxUnavailable") in (0, "0%"):
            yield f"{_told(one)}: no node could ever be emptied"


def quantities(objects: Sequence[Object]) -> Iterator[str]:
    """Quantities are some, and no request is more than its limit."""
    for where, container, spec in _containers(objects):
        resources = container.get("resources", {})
        read: dict[tuple[str, str], Any] = {}
        for side in ("requests", "limits"):
            for name, text in resources.get(side, {}).items():
                try:
                    read[side, name] = quantity(str(text))
                except ValueError:
                    yield f"{where}: {name} cannot be {text!r}"
        for (side, name), value in read.items():
            if value <= 0:
                yield f"{where}: {name} is nothing"
            if side == "requests" and value > read.get(("limits", name), value):
                yield f"{where}: it asks for more {name} than its limit"
        if ("requests", "cpu") not in read or ("limits", "memory") not in read:
            yield f"{where}: a request of CPU or a limit of memory is missing"
        for volume in spec.get("volumes", ()):
            try:
                quantity(str(volume.get("emptyDir", {}).get("sizeLimit", "1Mi")))
            except ValueError:
                yield f"{where}: the size of {volume['name']} is no quantity"


def containers(objects: Sequence[Object]) -> Iterator[str]:
    """Images can be named, environments are texts, and what is mounted is there."""
    for where, container, spec in _containers(objects):
        try:
            check_reference(container["image"])
        except InvalidOption as error:
            yield f"{where}: {error.what}"
        env = container.get("env", ())
        for one in env:
            if "value" in one and not isinstance(one["value"], str):
                yield f"{where}: {one['name']} is no text"
        if len({one["name"] for one in env}) != len(env):
            yield f"{where}: a variable is set twice"
        known = {volume["name"] for volume in spec.get("volumes", ())}
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in known:
                yield f"{where}: there is no volume {mount['name']}"


def stopping(objects: Sequence[Object]) -> Iterator[str]:
    """A pod has time to answer what it took before it is killed."""
    for where, container, spec in _containers(objects):
        grace = spec.get("terminationGracePeriodSeconds")
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        env = {one["name"]: one.get("value", "") for one in container.get("env", ())}
        drain = float(env.get("AUTODEPLOY_DRAIN_S", 0))
        if grace is not None and pause + drain >= grace:
            yield f"{where}: {pause} s and a drain of {drain:g} s do not fit into {grace} s"


def hardened(objects: Sequence[Object]) -> Iterator[str]:
    """What the "restricted" Pod Security Standard asks for, and a read-only root."""
    for where, container, _ in _containers(objects):
        said = container.get("securityContext", {})
        wanted = {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for key, value in wanted.items():
            if said.get(key) != value:
                yield f"{where}: {key} is {said.get(key)!r}"
    for one, spec, _ in _pods(objects):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{_told(one)}: its pods are given a token of the cluster"


def secrets(objects: Sequence[Object]) -> Iterator[str]:
    """No Secret stands in a file, and no variable holds one."""
    for one in _of(objects, "Secret"):
        yield f"{_told(one)}: a Secret does not belong in a file"
    for where, container, _ in _containers(objects):
        for one in container.get("env", ()):
            name = one["name"].lower()
            if one.get("value") and any(word in name for word in _SECRET_WORDS) and not name.endswith("_file"):
                yield f"{where}: {one['name']} holds a secret"


CHECKS: tuple[Callable[[Sequence[Object]], Iterator[str]], ...] = (
    names,
    namespaces,
    label_values,
    selectors,
    ports,
    routes,
    scaling,
    quantities,
    containers,
    stopping,
    hardened,
    secrets,
)
"""All of them; each is tested by a fault that it alone finds."""
