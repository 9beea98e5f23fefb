"""The container that serves a version, its pod, and what stands around it in any cluster, as plain values.

Other targets that run containers in pods (KServe, Knative) take `container`, `container_security`, `pod_security` and
`volumes` from here, and leave out what their platform does itself.
"""

from __future__ import annotations

from typing import Any

from autodeploy_magic.settings import KNOBS, of_workers
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.sizing import PRE_STOP_S, START_S, Sizing, sized
from autodeploy_magic.ship.text import check_label, check_text, holds_secret
from autodeploy_magic.shipping import APP_USER, PORT

__all__ = [
    "GRPC_PORT",
    "TOKEN_KEY",
    "TRACK",
    "container",
    "container_security",
    "deployment",
    "described",
    "environment",
    "labels",
    "left_out",
    "metadata",
    "pod",
    "pod_security",
    "selector",
    "service",
    "service_account",
    "token_secret",
    "volumes",
]

GRPC_PORT = 3001
TOKEN_KEY = "token"  # noqa: S105 - a name, no token
TRACK = "autodeploy-magic/track"
"""The label that tells what serves from what is tried beside it: "stable" or "canary"."""

_TOKEN_FOLDER = "/var/run/secrets/autodeploy"  # noqa: S105 - a place, no token
_TMP = "/tmp"  # noqa: S108 - the pod's own, an emptyDir
_SAID = frozenset({"host", "threads", "drain_s", "hosts", "home", "workers"})
"""Knobs that `environment` sets by itself."""


def token_secret(cargo: Cargo) -> str:
    """The name of the Secret that a person makes, with the token under the key `TOKEN_KEY`. No file holds its value."""
    return f"{cargo.name}-token"


def labels(cargo: Cargo, *, track: str = "") -> dict[str, str]:
    """The recommended labels, https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/."""
    found = {
        "app.kubernetes.io/name": cargo.name,
        "app.kubernetes.io/instance": cargo.name,
        "app.kubernetes.io/version": f"v{cargo.version.number}",
        "app.kubernetes.io/component": "model",
        "app.kubernetes.io/part-of": "autodeploy-magic",
    }
    return {**found, TRACK: track} if track else found


def selector(cargo: Cargo, *, track: str = "") -> dict[str, str]:
    """The labels that its pods are found by: they never change, whichever version runs. "" is for both tracks."""
    found = {"app.kubernetes.io/name": cargo.name, "app.kubernetes.io/instance": cargo.name}
    return {**found, TRACK: track} if track else found


def described(cargo: Cargo) -> dict[str, str]:
    """What is told of the version. Raises `InvalidOption` for a note that holds control characters."""
    version = cargo.version
    found = {
        "autodeploy-magic/digest": version.digest,
        "autodeploy-magic/created": version.created_at,
        "autodeploy-magic/model": check_label(version.model_type) or "unknown",
        "autodeploy-magic/format": version.format,
        "autodeploy-magic/task": version.task,
    }
    if version.note:
        found["autodeploy-magic/note"] = "\n".join(
            check_text(line, "the version's note") for line in version.note.split("\n")
        )
    return found


def container(
    cargo: Cargo,
    *,
    image: str = "",
    name: str = "model",
    port: int = PORT,
    port_name: str = "http",
    hosts: str = "",
    probes: bool = True,
    pre_stop: bool = True,
    cpu_limit: bool = False,
    token: bool = True,
) -> dict[str, Any]:
    """The container of `cargo`'s image, hardened and sized: for the `containers` of a pod.

    `image` goes before `cargo.reference`; one of them is needed. `hosts` are the names it answers to besides its
    Service's, "*" for any, as where a platform's own proxy stands before it. A platform that has its own probes or
    refuses `lifecycle` gets neither. Without `token` it asks for none (AUTODEPLOY_AUTH=off): only where a platform
    guards the door. It mounts the volumes of `volumes`. Threads match the CPU; there is no CPU limit unless
    `cpu_limit`, since a throttled server is late though a node has time to spare.
    """
    size = sized(cargo)
    ports: list[dict[str, Any]] = [{"name": port_name, "containerPort": port, "protocol": "TCP"}]
    if cargo.desired.grpc and port_name == "http":
        ports.append({"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"})
    mounts = [{"name": "tmp", "mountPath": _TMP}]
    if token:
        mounts.append({"name": "token", "mountPath": _TOKEN_FOLDER, "readOnly": True})  # type: ignore[dict-item]
    limits = {"cpu": size.cpu} if cpu_limit else {}
    found: dict[str, Any] = {
        "name": name,
        "image": image or cargo.need_image("a pod"),
        "imagePullPolicy": "IfNotPresent",
        "ports": ports,
        "env": environment(cargo, size, port=port, hosts=hosts, token=token),
        "resources": {
            "requests": {"cpu": size.cpu, "memory": size.memory},
            "limits": {**limits, "memory": size.memory_limit},
        },
    }
    if probes:
        found |= _probes(port_name)
    if pre_stop:
        found["lifecycle"] = {"preStop": {"sleep": {"seconds": PRE_STOP_S}}}
    found["securityContext"] = container_security()
    found["volumeMounts"] = mounts
    return found


def environment(cargo: Cargo, size: Sizing, *, port: int, hosts: str, token: bool = True) -> list[dict[str, Any]]:
    """The container's environment. What a person chose is said here, too, so that it can be changed in the cluster.

    Kubernetes expands $(NAME) in a value; what a person typed stands for itself.
    """
    typed = str(cargo.desired.settings.get("hosts", ""))
    service = [cargo.name, *(f"{cargo.name}.$(POD_NAMESPACE){end}" for end in ("", ".svc", ".svc.cluster.local"))]
    names = "*" if "*" in (hosts, typed) else ",".join(filter(None, [*service, hosts, _literal(typed, "hosts")]))
    values = {
        "PORT": str(port),
        "AUTODEPLOY_WORKERS": str(size.workers),
        "AUTODEPLOY_THREADS": str(size.threads),
        "OMP_NUM_THREADS": str(size.threads),
        "AUTODEPLOY_DRAIN_S": str(size.drain_s),
        "AUTODEPLOY_STATE": f"{_TMP}/autodeploy",
        "AUTODEPLOY_HOSTS": names,
    }
    values |= {"AUTODEPLOY_TOKEN_FILE": f"{_TOKEN_FOLDER}/{TOKEN_KEY}"} if token else {"AUTODEPLOY_AUTH": "off"}
    if cargo.desired.grpc:
        values["AUTODEPLOY_GRPC_PORT"] = str(GRPC_PORT)
    for name, value in sorted(of_workers(cargo.desired.settings).items()):
        if _travels(name, value):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            values[KNOBS[name].env] = _literal(text, name)
    first: list[dict[str, Any]] = []
    if names != "*":  # what others are made of has to stand before them
        first = [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]
    return [*first, *({"name": name, "value": value} for name, value in values.items())]


def left_out(cargo: Cargo) -> tuple[str, ...]:
    """Settings of the deployment that mean nothing in a cluster, or must not stand in a file."""
    settings = of_workers(cargo.desired.settings)
    return tuple(
        sorted(
            name
            for name, value in settings.items()
            if name in KNOBS and name not in _SAID and value != KNOBS[name].default and not _travels(name, value)
        )
    )


def _travels(name: str, value: bool | float | str) -> bool:
    if name not in KNOBS or name in _SAID or value == KNOBS[name].default or KNOBS[name].unit == "path":
        return False
    return not holds_secret(value)


def _literal(value: str, what: str) -> str:
    """A value in which Kubernetes expands nothing."""
    return check_text(value, what).replace("$(", "$$(")


def _probes(port: str) -> dict[str, Any]:
    ready, live = ({"httpGet": {"path": path, "port": port}} for path in ("/readyz", "/livez"))
    return {
        "startupProbe": {**ready, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": START_S},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
        "livenessProbe": {**live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
    }


def container_security() -> dict[str, Any]:
    """A container's `securityContext`: what the "restricted" Pod Security Standard asks for, and a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": APP_USER,
        "runAsGroup": APP_USER,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_security() -> dict[str, Any]:
    """A pod's `securityContext`. The group reads the token, and writes the temporary folder."""
    return {
        "runAsNonRoot": True,
        "runAsUser": APP_USER,
        "runAsGroup": APP_USER,
        "fsGroup": APP_USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def volumes(cargo: Cargo, *, token: bool = True, group: bool = True) -> list[dict[str, Any]]:
    """What `container` mounts: a temporary folder of limited size, and the token, as a file that follows its Secret.

    Without `group`, where a platform lets nobody say `pod_security`, the token is readable by all of the pod's users.
    """
    empty: dict[str, Any] = {"sizeLimit": sized(cargo).storage}
    if cargo.options.get("storage") == "memory":
        empty = {"medium": "Memory", **empty}
    found: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": empty}]
    if token:
        items = [{"key": TOKEN_KEY, "path": TOKEN_KEY}]
        secret = {"secretName": token_secret(cargo), "items": items, "defaultMode": 0o440 if group else 0o444}
        found.append({"name": "token", "secret": secret})
    return found


def pod(cargo: Cargo, *, image: str = "", track: str = "stable") -> dict[str, Any]:
    """A pod's template, for a Deployment. `host`, an option, is a name that it answers to."""
    spread = {"labelSelector": {"matchLabels": selector(cargo, track=track)}, "maxSkew": 1}
    return {
        "metadata": {"labels": labels(cargo, track=track), "annotations": described(cargo)},
        "spec": {
            "serviceAccountName": cargo.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": sized(cargo).grace_s,
            "securityContext": pod_security(),
            "topologySpreadConstraints": [
                {**spread, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
                for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
            "containers": [container(cargo, image=image, hosts=str(cargo.options.get("host", "")))],
            "volumes": volumes(cargo),
        },
    }


def metadata(cargo: Cargo, namespace: str, *, name: str = "", track: str = "") -> dict[str, Any]:
    """An object's `metadata`. `namespace` is "" where another file says it, as an overlay does for its base."""
    place = {"namespace": namespace} if namespace else {}
    return {"name": name or cargo.name, **place, "labels": labels(cargo, track=track)}


def deployment(cargo: Cargo, namespace: str = "", *, image: str = "", track: str = "stable") -> dict[str, Any]:
    """The Deployment of a track. It says no number of replicas: that is the autoscaler's, or an overlay's."""
    name = cargo.name if track == "stable" else f"{cargo.name}-{track}"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(cargo, namespace, name=name, track=track) | {"annotations": described(cargo)},
        "spec": {
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 300,
            "minReadySeconds": 5,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": selector(cargo, track=track)},
            "template": pod(cargo, image=image, track=track),
        },
    }


def service(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """The Service before both tracks: a canary gets its share by the number of its replicas."""
    ports: list[dict[str, Any]] = [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
    ]
    if cargo.desired.grpc:
        grpc = {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"}
        ports.append({**grpc, "appProtocol": "kubernetes.io/h2c"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cargo, namespace),
        "spec": {"type": "ClusterIP", "selector": selector(cargo), "ports": ports},
    }


def service_account(cargo: Cargo, namespace: str = "") -> dict[str, Any]:
    """An account of its own, which may do nothing, and whose token no pod is given."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(cargo, namespace),
        "automountServiceAccountToken": False,
    }
