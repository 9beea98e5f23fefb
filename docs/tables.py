"""Rewrite the tables of the README from the registries they describe: `python docs/tables.py`, or `--check` to compare.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`; NAME is a key of `TABLES`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.formats import FORMATS
from autodeploy_magic.policy import POLICY
from autodeploy_magic.registry import CHANNELS, DETECTORS, EXPORTERS, OPTIMISERS, PROTOCOLS, READERS, TARGETS, load
from autodeploy_magic.serve.alone.environment import KNOBS as ENVIRONMENT_KNOBS
from autodeploy_magic.serve.alone.environment import VARIABLES
from autodeploy_magic.settings import KNOBS
from autodeploy_magic.slo import METRICS
from autodeploy_magic.verbs import VERBS

README = Path(__file__).parent.parent / "README.md"


def settings() -> str:
    """Every knob, as a person sets it."""
    rows = (
        (f"`{knob.name}`", f"`{knob.default}`" if knob.default != "" else "", knob.unit, f"`{knob.env}`", knob.help)
        for knob in KNOBS.values()
    )
    return _table(("setting", "default", "unit", "environment variable", "meaning"), rows)


def verbs() -> str:
    """Every verb, and the options that it takes in a notebook, or where else it is."""
    rows = (
        (
            f"`{verb.name}`",
            verb.help,
            " ".join(
                f"`{flag}`"
                for option in verb.options_on(verb.only or "magic")
                if not option.positional
                for flag in option.flags
            ),
        )
        for verb in VERBS.values()
    )
    return _table(("verb", "what it does", "options"), rows)


def exporters() -> str:
    """What can be deployed, in the order the frameworks are asked."""
    found = ((name, load(reference)) for name, reference in EXPORTERS.items())
    rows = ((f"`{name}`", _first_sentence(one), ", ".join(one.formats)) for name, one in found)
    return _table(("exporter", "what it takes", "formats"), rows)


def formats() -> str:
    """The formats that a version is kept in, and what each means for trust."""
    rows = (
        (f"`{one.name}`", f"`{one.place}`", "amber" if one.opaque else "green", one.why) for one in FORMATS.values()
    )
    return _table(("format", "kept in", "badge", "what it is"), rows)


def readers() -> str:
    """What `--file` takes, in the order the kinds are asked."""
    found = ((name, load(reference)) for name, reference in READERS.items())
    return _table(("kind", "what it reads"), ((f"`{name}`", _first_sentence(one)) for name, one in found))


def detectors() -> str:
    """What faults are looked for, in the order they are."""
    found = ((name, load(reference).about) for name, reference in DETECTORS.items())
    rows = ((f"`{name}`", about.help, about.defaults, about.detects) for name, about in found)
    return _table(("detector", "what it sees", "defaults", "how soon"), rows)


def channels() -> str:
    """The ways by which alerts reach people."""
    modules = ((name, import_module(reference.partition(":")[0])) for name, reference in CHANNELS.items())
    return _table(("channel", "how"), ((f"`{name}`", _first_sentence(module)) for name, module in modules))


def optimisers() -> str:
    """What a re-tune can make of a model: by family, in the order they are asked."""
    families = {"run": "run it better", "smaller": "smaller and faster", "better": "better answers"}
    found = [(name, load(reference)) for name, reference in OPTIMISERS.items()]
    rows = [(f"`{name}`", families[one.family], _first_sentence(import_module(one.__module__))) for name, one in found]
    return _table(("optimiser", "family", "what it makes"), rows)


def targets() -> str:
    """Where a version can go, and what is chosen there."""
    found = ((name, load(reference)) for name, reference in TARGETS.items())
    rows = (
        (f"`{name}`", _first_sentence(one), ", ".join(f"`{choice.name}`" for choice in one.choices))
        for name, one in found
    )
    return _table(("target", "what is written", "options (`--set`)"), rows)


def image() -> str:
    """What the entry of an image reads from its environment, but for what a deployment's settings say."""
    own = [variable for variable in VARIABLES if variable.name not in ENVIRONMENT_KNOBS]
    rows = [(f"`{one.name}`", f"`{one.default}`" if one.default else "", one.help) for one in own]
    more = "and each setting of a worker below by its own variable; the image has the deployment's values"
    return _table(("variable", "default", "meaning"), [*rows, ("`AUTODEPLOY_…`", "", more)])


def policy() -> str:
    """What recovery does about which fault."""
    rows = (
        (rule.when, "; ".join(f"`{step.action}` ({step.mode}): {step.reason}" for step in rule.steps))
        for rule in POLICY.values()
    )
    return _table(("when", "what is done, in this order"), rows)


def protocols() -> str:
    """What a deployment's port speaks."""
    modules = (import_module(reference.partition(":")[0]) for reference in PROTOCOLS.values())
    return _table(("what a client can call",), ((_first_sentence(module),) for module in modules))


def objectives() -> str:
    """What an SLO line can promise."""
    rows = ((f"`{name}`", f"`{one.example}`", one.help, one.over) for name, one in METRICS.items())
    return _table(("metric", "for example", "what it is", "measured over"), rows)


def refusals() -> str:
    """What a deployment answers to a request that it refuses."""
    rows = ((str(kind.status), f"`{kind.__name__}`", _first_sentence(kind)) for kind in _below(RequestRefused))
    return _table(("status", "error", "when"), sorted(rows))


TABLES: dict[str, Callable[[], str]] = {
    "channels": channels,
    "detectors": detectors,
    "exporters": exporters,
    "formats": formats,
    "objectives": objectives,
    "optimisers": optimisers,
    "policy": policy,
    "readers": readers,
    "protocols": protocols,
    "refusals": refusals,
    "image": image,
    "settings": settings,
    "targets": targets,
    "verbs": verbs,
}


def rewritten(text: str) -> str:
    """Return `text` with every marked table made anew."""
    block = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
    return block.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def main(arguments: list[str]) -> int:
    """Rewrite the README; with --check only tell, by the exit status, whether that would change it."""
    old = README.read_text("utf-8")
    new = rewritten(old)
    if "--check" in arguments:
        if new != old:
            print("README.md: a table is out of date; `make tables` rewrites it")
        return int(new != old)
    README.write_text(new, "utf-8")
    return 0


def _below(root: type[RequestRefused]) -> list[type[RequestRefused]]:
    return [kind for child in root.__subclasses__() for kind in (child, *_below(child))]


def _first_sentence(value: object) -> str:
    text = " ".join((value.__doc__ or "").split())
    if not text:
        raise SystemExit(f"{value!r} has no docstring to make a table from")
    return re.split(r"(?<=[.])\s+(?=[A-Z])", text)[0]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
