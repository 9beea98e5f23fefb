"""A staged version, built as a Bento and made a version of the store."""

from __future__ import annotations

from pathlib import Path

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.build import environment
from autodeploy_magic.build.sign import sign, signed_by
from autodeploy_magic.build.source import stage_source
from autodeploy_magic.contracts import CleanRunner, Version, encode
from autodeploy_magic.errors import PackageFailed
from autodeploy_magic.store import Store

__all__ = ["package"]


def package(version: Version, folder: Path, store: Store, runner: CleanRunner) -> Version:
    """Build the Bento of what `build.stage` laid out in `folder`, in a clean process, and put it into the store.

    `version` has its number by now. Raises `PackageFailed` or `DiskFull`; the store is then as it was.
    """
    model, source, scratch, record = (folder / part for part in ("model", "source", "scratch", "record"))
    scratch.mkdir()
    home = store.bentoml_home(version.deployment)
    tag = f"{version.deployment}:{version.number:04d}-{version.digest[:12]}"
    version = msgspec.structs.replace(
        version,
        bento=tag,
        bento_path=f"{home.name}/bentos/{tag.replace(':', '/')}",
        model_path=f"{home.name}/models/{tag.replace(':', '/')}",
        signed_by=signed_by(),
    )
    (model / "version.json").write_bytes(encode(version))
    sign(model)
    stage_source(version, source)
    made = runner.run(
        "autodeploy_magic.build.bento:make",
        {
            "tag": tag,
            "model_folder": str(model),
            "source_folder": str(source),
            "scratch_folder": str(scratch),
            "requirements": list(version.environment.requirements),
            "system_packages": list(environment.debian_packages(version.environment.system_libraries)),
            "python": ".".join(version.environment.python.split(".")[:2]),
            "labels": {"autodeploy_magic.version": str(version.number), "autodeploy_magic.format": version.format},
        },
        env={"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"},
        timeout_s=float(settings.get("build_timeout_s")),
    )
    if (made["bento"], f"{home.name}/{made['model_path']}") != (tag, version.model_path):
        raise PackageFailed(
            f"BentoML put {tag} elsewhere than expected",
            why=f"it says {made}",
            fix="use a release of BentoML that constraints.txt names",
        )
    store.commit(version, record)
    return version
