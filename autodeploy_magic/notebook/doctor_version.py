"""`doctor NAME`: whether a version lives from its Bento alone, in an environment that is made for it and removed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from autodeploy_magic import settings
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.notebook.progress import Steps, steps_of, timed
from autodeploy_magic.notebook.text import seconds_text, size_text
from autodeploy_magic.notebook.views import Check, Checks
from autodeploy_magic.store import Store

__all__ = ["doctor_version", "environment_checks"]


def doctor_version(store: Store, name: str) -> Checks:
    """Rebuild the environment of the version that serves `name`, answer its sample in it, and say what came of it.

    Takes a minute or more. Raises `UnknownDeployment` or `UnknownVersion`; all else is a finding.
    """
    from autodeploy_magic.build.environment.rebuild import rebuilt_environment

    version = store.version(name, store.desired(name).version)
    found = Checks(environment_checks(version, notes=True))
    steps = steps_of(f"doctor {name}")
    try:
        with rebuilt_environment(store, version) as rebuilt:
            found += _rebuild(rebuilt, steps)
    finally:
        steps.close()
    return found


def environment_checks(version: Version, *, notes: bool = False) -> Iterator[Check]:
    """What is known of a version's environment without building it: conflicts, and notes where they are asked for."""
    environment = version.environment
    for line in (*environment.conflicts, *(environment.notes if notes else ())):
        what, _, fix = line.partition(": ")
        yield Check("warn", f"{version.deployment} v{version.number}: {what}", fix)


def _rebuild(rebuilt: object, steps: Steps) -> Iterator[Check]:
    from autodeploy_magic.build.environment.rebuild import Rebuilt

    assert isinstance(rebuilt, Rebuilt)
    version, limit_s = rebuilt.version, float(settings.get("build_timeout_s"))
    who, started = f"{version.deployment} v{version.number}", time.monotonic()
    try:
        with timed(steps, "environment") as step:
            step.detail = f"Python {rebuilt.create()}, empty"
        with timed(steps, "install") as step:
            size_bytes = rebuilt.install(limit_s)
            step.detail = f"{len(version.environment.requirements)} packages, {size_text(size_bytes)}"
        text = f"{len(version.environment.requirements)} packages install from the Bento's requirements"
        yield Check("ok", f"{who}: {text} ({size_text(size_bytes)}, {seconds_text(step.seconds)})")
        with timed(steps, "replay") as step:
            comparison = rebuilt.replay(limit_s)
            step.detail = comparison.words
    except AutodeployError as error:
        why = f": {error.why}" if error.why else ""
        yield Check("fail", f"{who}: {error.what}{why}", error.fix)
        return
    if comparison.passed:
        took = seconds_text(time.monotonic() - started)
        words = f"from its Bento alone it answers its sample as verified ({comparison.words}), {took} in all"
        yield Check("ok", f"{who}: {words}")
    else:
        fix = "the packages are the same: does it depend on the machine, the clock, or files that are not in the Bento?"
        yield Check("fail", f"{who}: from its Bento alone it answers its sample otherwise ({comparison.words})", fix)
