"""What people typed comes out of every file as it was, or is refused in words; so is what cannot be shipped."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from clusters import IMAGE, Make, Ship, helm, kustomized, objects_of, one_of
from msgspec.structs import replace

from autodeploy_magic.errors import AutodeployError, InvalidOption, ShipFailed
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.kubernetes.helm import values
from autodeploy_magic.ship.kubernetes.kserve import inference_service
from autodeploy_magic.ship.kubernetes.manifests import deployment
from autodeploy_magic.ship.kubernetes.whole import production
from autodeploy_magic.ship.text import yaml_of
from autodeploy_magic.ship.write import target_of

TARGETS = ("kubernetes", "helm", "kserve")
CORPUS = (
    "no", "1e3", "0123", "null", "~", "", " ", "0x1f", "1_000", "2026-01-01", "=", "<<", "yes: no", "- a", "? a", "# a",
    "a # b", "&a", "*a", "!!python/object/apply:os.system [id]", "%YAML 1.1", "---", "...", "|", ">-", "@a", "[a", "{a",
    "{{ .Values.token }}", "{{ fail `x` }}", "{{- end }}", "{%x%}", "${HOME}", "$(id)", "$$(id)", "$(POD_NAMESPACE)",
    "`id`", "'", '"', '\\"', "\\", "\\n", "a'; rm -rf /; '", "../../etc/passwd", "/etc", "-x", "--flag=a", "a,b", "a=b",
    "é", "漢字", "😀", "\u202e", "\ufeff", "\x85", "<script>", "&amp;", "|", "a|b", "__NAMESPACE__",
    "a\nb", "a\r\nb", "a\n---\nkind: Secret", "a\tb", "\x00", "\x1b[31m", "\ud800", "\u2028", "x" * 300, "A", "iris\n",
)  # fmt: skip
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
"""What no line may hold."""


def documents(target: str, cargo: Cargo, objects: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """What a target writes of a cargo, or `objects` alone, through YAML and back."""
    made: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "kubernetes": lambda: production(cargo, cargo.text("namespace") or cargo.name),
        "helm": lambda: [values(cargo)],
        "kserve": lambda: [inference_service(cargo)],
    }
    return list(yaml.load_all(yaml_of(objects or made[target]()), yaml.CSafeLoader))


def taken(make: Make, target: str, **changes: Any) -> Cargo | None:
    """The cargo, or None where it is refused with what to do."""
    cargo = None
    with contextlib.suppress(InvalidOption):
        found = make(target, slo="off", **changes)
        target_of(target).refuse(found)
        cargo = found
    return cargo


def texts(value: Any) -> list[str]:
    """Every text in a value, keys and all."""
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("target", TARGETS)
def test_notes_and_settings_stand_for_themselves(make: Make, target: str) -> None:
    more = {"monitoring": "no"} if target != "kserve" else {}
    refused = []
    for typed in CORPUS:
        changes = {"version": {"note": typed}, "desired": {"settings": {"record_drop": typed}}}
        cargo = taken(make, target, **changes, **more)
        if cargo is None:
            refused.append(typed)
            continue
        made = [deployment(cargo)] if target == "kubernetes" else None
        found = texts(documents(target, cargo, made))
        assert typed in found or not typed
        assert escaped(typed) in found or not typed
    assert refused == [typed for typed in CORPUS if UNFIT.search(typed)]


def deployed(objects: list[dict[str, Any]]) -> tuple[str | None, str | None]:
    """The note and the setting, as they are in a Deployment."""
    one = one_of([each for each in objects if each["metadata"]["name"] == "iris"], "Deployment")
    [container] = one["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    return one["metadata"]["annotations"].get("autodeploy-magic/note"), env.get("AUTODEPLOY_RECORD_DROP")


def test_the_cluster_s_own_tools_read_the_same(ship: Ship) -> None:
    typed = "|".join(each for each in CORPUS if not UNFIT.search(each))
    changes = {"version": {"note": f"{typed}\nno\n---\n1e3"}, "desired": {"settings": {"record_drop": typed}}}
    _, folder, _ = ship(**changes)
    assert deployed(kustomized(folder / "overlays/production")) == (f"{typed}\nno\n---\n1e3", escaped(typed))


def test_helm_reads_the_same(ship: Ship) -> None:
    typed = "|".join(each for each in CORPUS if not UNFIT.search(each))
    changes = {"version": {"note": f"{typed}\nno\n---\n1e3"}, "desired": {"settings": {"record_drop": typed}}}
    _, folder, _ = ship("helm", **changes)
    run = helm("template", "iris", str(folder))
    assert run.returncode == 0, run.stderr
    assert deployed(objects_of(run.stdout)) == (f"{typed}\nno\n---\n1e3", escaped(typed))


def escaped(text: str) -> str:
    return text.replace("$(", "$$(")


OPTIONS = (
    "namespace", "host", "gateway", "ingress_class", "ingress_namespace", "monitoring_namespace", "prometheus", "cpu",
    "memory", "replicas", "scaling", "ingress", "storage", "monitoring",
)  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_read_back_or_refused(make: Make, option: str) -> None:
    good = {"cpu": "100m", "memory": "64Mi", "prometheus": "http://p:9090", "gateway": "a/b", "replicas": "3"}
    good |= {"scaling": "none", "ingress": "ingress", "storage": "memory", "monitoring": "no"}
    usual = {"scaling": "keda", "ingress": "gateway", "host": "a.example.com", "monitoring": "no"}
    usual |= {"ingress": "ingress"} if option == "ingress_class" else {}
    went = []
    for typed in (*CORPUS, good.get(option, "iris")):
        for target in ("kubernetes", "helm"):
            cargo = taken(make, target, **{**usual, option: typed})
            if cargo is None:
                continue
            went.append(typed)
            assert re.fullmatch(r"[A-Za-z0-9./:-]*", typed), f"{option}={typed!r} went through"
            found = texts(documents(target, cargo))
            if target == "helm" and option == "namespace":
                continue  # it is the release's
            if typed and option in ("namespace", "host", "ingress_class", "ingress_namespace", "prometheus", "cpu"):
                assert typed in found
    assert good.get(option, "iris") in went


@pytest.mark.parametrize("target", TARGETS)
def test_what_cannot_name_an_image_is_refused(make: Make, target: str) -> None:
    with pytest.raises(ShipFailed, match="none was built"):
        target_of(target).refuse(make(target, reference=""))
    for typed in filter(None, CORPUS):
        cargo = taken(make, target, reference=typed)
        assert (cargo is not None) == bool(re.fullmatch(r"[a-z0-9]+((_|__|[.]|-+)[a-z0-9]+)*", typed)), typed
        if cargo is not None:
            assert typed in texts(documents(target, cargo))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too few": ({"replicas": "0"}, "replicas are 0"),
    "the wrong way round": ({"replicas": "5", "max_replicas": "2"}, "replicas are 5, and at most 2"),
    "no number": ({"replicas": "two"}, "replicas of kubernetes is 'two'"),
    "potatoes": ({"cpu": "5potatoes"}, "no quantity"),
    "too much": ({"cpu": "4000"}, "cpu is '4000'"),
    "too little": ({"memory": "1Mi"}, "memory is '1Mi'"),
    "no host": ({"ingress": "gateway"}, "gateway needs the name of a host"),
    "a long namespace": ({"namespace": "n" * 60}, "too long for a namespace"),
    "a namespace": ({"namespace": "My_Space"}, "cannot name a namespace"),
    "a password": ({"scaling": "keda", "prometheus": "http://me:hunter2@p:9090"}, "prometheus is"),
    "another scaling": ({"scaling": "magic"}, "scaling of kubernetes cannot be 'magic'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_with_what_to_do(make: Make, name: str) -> None:
    options, words = REFUSED[name]
    with pytest.raises(InvalidOption, match=re.escape(words)) as caught:
        target_of("kubernetes").refuse(make(**options))
    assert caught.value.fix


@pytest.mark.parametrize("target", TARGETS)
def test_without_an_image_of_ours_there_is_nothing_to_ship(make: Make, target: str) -> None:
    bento = replace(IMAGE, flavour="bento")
    for changes, words in (
        ({"reference": "", "image": None}, "needs an image of v1 of iris, and none was built"),
        ({"reference": bento.name, "image": bento}, "is BentoML's own"),
    ):
        with pytest.raises(AutodeployError, match=words) as caught:
            target_of(target).refuse(make(target, **changes))
        assert "containerize" in caught.value.fix
