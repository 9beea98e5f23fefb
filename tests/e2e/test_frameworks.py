"""Models of every framework through the whole road: built, packaged, served, and asked over HTTP."""

from __future__ import annotations

import sys

import pytest
from cases import Case, cases
from world import World

from autodeploy_magic.build import BuildRequest, build
from autodeploy_magic.build.compare import compare
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.live import live_answers
from autodeploy_magic.build.sample import head, read_sample
from autodeploy_magic.notebook.deployment import Deployment
from autodeploy_magic.wire import in_library, to_plain

SERVED = [case for case in cases() if case.served]

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", SERVED, ids=lambda case: f"{case.framework}: {case.name}")
def test_what_is_served_answers_as_the_live_object(case: Case, world: World) -> None:
    made = case.make()
    name = "".join(letter if letter.isalnum() else "-" for letter in case.name.lower()).strip("-")
    request = BuildRequest(name, made.model, made.sample, labels=made.labels, code=dict(made.code))
    built = build(request, world.store, world.supervisor.runner(sys.executable), lambda progress: None)
    world.serve(built.number, name)
    exporter = exporter_of(made.model)
    assert exporter is not None
    sample = read_sample(made.sample)
    dep = Deployment(name, store=world.store)
    for rows in (1, 7):
        asked = head(sample.container, rows)
        live = live_answers(request, exporter, asked, sample)
        outputs = built.version.outputs
        found = dep.predict(in_library(sample.signature, asked), outputs=[output.name for output in outputs])
        compared = compare(outputs, live.plain, {key: to_plain(value) for key, value in found.items()})
        assert compared.passed, f"{rows} rows: {compared.words}"
    world.supervisor.stop(name)  # its memory is for the next
