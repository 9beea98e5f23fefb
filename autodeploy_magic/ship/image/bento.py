"""The flavour "bento": BentoML's own image of the Bento, and over it our entry, so that both kinds run and prove alike.

BentoML's recipe installs what the Bento wrote down with uv, which needs an engine that runs steps, and an index. It is
given a copy of the Bento in a store of its own for the time of the build. In it two things are otherwise: the image
that it stands on, which is ours to choose, and compilers, of which it installs 334 MB for wheels that need none.

What is in it is known once it is built: its own Python lists its packages then, for the SBOM in the layer over it.

uv's cache and what tells it where packages come from are mounted while it installs, where the engine can mount (Podman
and Buildah): neither is in a layer afterwards.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import msgspec

from autodeploy_magic.build.environment.installer import find_uv, pip_environment, uv_environment
from autodeploy_magic.build.source import copy_serving_files
from autodeploy_magic.contracts import Version
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image import layers
from autodeploy_magic.ship.image.built import Base, build, find_base
from autodeploy_magic.ship.image.containerfile import containerfile
from autodeploy_magic.ship.image.context import ENTRY, Context, Part, environment_of, labels_of, python_of
from autodeploy_magic.ship.image.engines import Chosen, environment
from autodeploy_magic.ship.image.installing import cache_folder
from autodeploy_magic.ship.image.inventory import inventory
from autodeploy_magic.ship.image.known import inspect, remove
from autodeploy_magic.ship.image.made import Made
from autodeploy_magic.ship.image.said import explained
from autodeploy_magic.ship.image.sbom import SBOM, write_sbom
from autodeploy_magic.ship.image.stream import stream
from autodeploy_magic.ship.telling import Telling

__all__ = ["OfBento", "build_volumes", "stage_bento"]

_PYTHON = "/app/.venv/bin/python"
_PLACE = "/home/bentoml/bento"
"""Where BentoML puts the Bento into an image (its template's BENTO_PATH), with the models below "models"."""
_COMPILERS = "build-essential"
_BOOT = "import sys; from autodeploy_magic.ship.image.bento import child; sys.exit(child(sys.argv[1]))"


def stage_bento(version: Version, folder: Path, settings: Mapping[str, Any], platform: str) -> Context:
    """Lay out what goes over BentoML's image: the part of this package that serves. Raises `DiskFull`."""
    env, notes = environment_of(settings, version)
    with disk_full(folder):
        copy_serving_files(folder / "app" / "autodeploy")
    layers.normalise(folder / "app" / "autodeploy")
    env |= {"PYTHONPATH": "/app/autodeploy", "AUTODEPLOY_MODEL": f"{_PLACE}/models/{version.bento.replace(':', '/')}"}
    return Context(
        root=folder,
        parts=(Part("ours", ("app/autodeploy",)),),
        env=env,
        labels=labels_of(version),
        entrypoint=(_PYTHON, "-m", ENTRY),
        health=(_PYTHON, "-m", ENTRY, "health"),
        python=python_of(version),
        platform=platform,
        created=version.created_at,
        content=layers.content(folder, ["app"]),
        notes=(*notes, "BentoML's own image: it holds all that the Bento asks for"),
    )


class OfBento:
    """Builds BentoML's image of a Bento, then ours on it. The base image is had at once."""

    def __init__(
        self,
        chosen: Chosen,
        reference: str,
        job: str,
        base: str,
        platform: str,
        version: Version,
        home: Path,
        telling: Telling,
        ends: float,
    ) -> None:
        if not version.bento:
            raise ShipFailed("this version has no Bento", fix="use --flavour lean, or deploy it again")
        if not chosen.engine.lists:
            raise ShipFailed(
                f"{chosen.name} cannot build BentoML's own image",
                why="its recipe runs steps, for which a container engine is needed that keeps what it builds",
                fix="use --flavour lean, or an engine such as Podman",
            )
        self._chosen, self._reference, self._version, self._home = chosen, reference, version, home
        self._job = job
        self._inner = f"localhost/{job}-bento:latest"
        self._base = find_base(chosen, base, job, platform, telling, ends)

    def make(self, context: Context, work: Path, telling: Telling, ends: float) -> Made:
        """Build both. Raises `ShipFailed`; what was built by then is removed."""
        engine, base = self._chosen.name, self._base
        context = context.on(base.name, base.digest)
        try:
            self._bentoml(work, telling, ends)
            known = inspect(engine, self._inner)
            if known is None:
                raise ShipFailed(f"{engine} does not have what BentoML built", fix="use --flavour lean")
            context = self._listed(context)
            file = work / "Containerfile"
            file.write_text(containerfile(context, self._inner), "utf-8")
            inner = Base(base.name, self._inner, known.digest, known.size_bytes)
            made = build(self._chosen, context.root, file, self._reference, inner, telling, ends)
        finally:
            remove(engine, self._inner)
            base.forget(engine)
        assert made is not None  # an engine that keeps images was chosen
        return Made(made.digest, made.size_bytes, max(made.size_bytes - base.size_bytes, 0), base.name, known=made)

    def discard(self, made: Made) -> None:
        """Remove the image."""
        del made
        remove(self._chosen.name, self._reference)

    def _listed(self, context: Context) -> Context:
        """The same with a list of what is in the image that BentoML built. Raises `ShipFailed`."""
        model = self._home / "models" / self._version.bento.replace(":", "/")
        found = inventory(self._chosen, self._inner, _PYTHON, self._job)
        bill = context.root / SBOM
        write_sbom(self._version, model, found, bill)
        bill.chmod(0o644)
        os.utime(bill, (layers.TIME, layers.TIME))
        return replace(context, parts=(*context.parts, Part("bill", (SBOM,))))

    def _bentoml(self, work: Path, telling: Telling, ends: float) -> None:
        """Have BentoML build, in a process of its own whose words are told. Raises `ShipFailed`."""
        home = work / "bentoml"
        self._copy(home)
        options: dict[str, Any] = {}
        if self._chosen.name in ("podman", "buildah"):
            options = {"pull_never": True, "force_rm": True, "format": ["docker"], "volume": build_volumes(work)}
        spec = {"tag": self._version.bento, "engine": self._chosen.name, "image": self._inner, "options": options}
        words = [sys.executable, "-P", "-c", _BOOT, msgspec.json.encode(spec).decode()]
        package = str(Path(__file__).resolve().parents[3])
        variables = {**environment(), "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "PYTHONPATH": package}
        code, output = stream(words, telling, timeout_s=max(ends - time.monotonic(), 1), env=variables, cwd=work)
        if code:
            raise explained(
                self._chosen.name,
                output,
                f"BentoML could not build an image of {self._version.bento}",
                base=self._base.name,
            )

    def _copy(self, home: Path) -> None:
        """The Bento and its model in a store of their own, with another base image and without compilers."""
        import yaml

        place = self._version.bento.replace(":", "/")
        for kind in ("bentos", "models"):
            shutil.copytree(self._home / kind / place, home / kind / place)
            layers.normalise(home / kind / place)  # for a user who is not their owner to read
        file = home / "bentos" / place / "bento.yaml"
        told = yaml.safe_load(file.read_text("utf-8"))
        image = told.get("image") or {}
        image["base_image"] = self._base.local
        image["commands"] = [line for line in image.get("commands") or () if _COMPILERS not in line]
        told["image"] = image
        file.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")


def child(text: str) -> int:
    """Build with BentoML, whose words go to standard error; the exit code. The process's whole work."""
    import bentoml.container

    os.umask(0o022)  # the steps have it too, and another user runs what they install; the supervisor's is stricter
    spec = msgspec.json.decode(text, type=dict[str, Any])
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    logging.getLogger("bentoml").setLevel(logging.INFO)
    # It logs what fails, and returns None; so does it for some engines where all went well: the image is looked for.
    bentoml.container.build(spec["tag"], backend=spec["engine"], image_tag=(spec["image"],), **spec["options"])
    return 0 if inspect(spec["engine"], spec["image"]) is not None else 1


def build_volumes(work: Path) -> list[str]:
    """What uv is shown while it installs: its cache, where packages come from, and folders of wheels that are here."""
    found = []
    uv = find_uv()
    if uv:
        done = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0 and (cache := Path(done.stdout.strip())).is_absolute():
            cache = cache if _for_all(cache) else cache_folder() / "uv"
            cache.mkdir(parents=True, exist_ok=True)
            found.append(f"{cache}:{PurePosixPath('/root', '.cache', 'uv')}")
    words = [sys.executable, "-m", "pip", "config", "list"]
    config = subprocess.run(words, capture_output=True, text=True, timeout=60, env=pip_environment(), check=False)
    told = uv_environment(config.stdout if config.returncode == 0 else "")
    file = work / "uv.toml"
    file.write_text(_uv_toml(told), "utf-8")
    os.chmod(file, 0o644)
    found.append(f"{file}:/etc/uv/uv.toml:ro")
    found += [f"{place}:{place}:ro" for place in _folders(told)]
    certificates = told.get("SSL_CERT_FILE", "")
    if certificates and Path(certificates).is_file():
        found.append(f"{Path(certificates).resolve()}:/etc/ssl/certs/ca-certificates.crt:ro")
    return found


def _for_all(cache: Path) -> bool:
    """Whether all may read what is installed from a cache of uv's: its files keep their modes, and who filled it may
    have had a strict umask. The image's user could not start then."""
    return all(file.stat().st_mode & stat.S_IROTH for file in cache.glob("archive-v*/*/*.dist-info/METADATA"))


def _uv_toml(told: Mapping[str, str]) -> str:
    """uv's configuration, of the same as its variables say."""
    lines = ['index-strategy = "unsafe-best-match"']
    if index := told.get("UV_DEFAULT_INDEX"):
        lines.append(f"index-url = {_quoted(index)}")
    for name, variable, between in (
        ("extra-index-url", "UV_EXTRA_INDEX_URL", " "),
        ("find-links", "UV_FIND_LINKS", ","),
        ("allow-insecure-host", "UV_INSECURE_HOST", " "),
    ):
        if values := [value for value in told.get(variable, "").split(between) if value]:
            lines.append(f"{name} = [{', '.join(map(_quoted, values))}]")
    if "UV_NO_INDEX" in told:
        lines.append("no-index = true")
    if "SSL_CERT_FILE" in told:
        lines.append("system-certs = true")  # where they are mounted
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """A text of TOML: JSON's form is one."""
    return msgspec.json.encode(value).decode()


def _folders(told: Mapping[str, str]) -> list[Path]:
    """The folders of this machine among the places that packages come from."""
    found = []
    values = [*told.get("UV_FIND_LINKS", "").split(","), *told.get("UV_EXTRA_INDEX_URL", "").split()]
    for value in (*values, told.get("UV_DEFAULT_INDEX", "")):
        parts = urlsplit(value)
        path = Path(parts.path if parts.scheme == "file" else value)
        if value and parts.scheme in ("", "file") and path.is_absolute() and path.is_dir():
            # The files of an index that is a folder lie beside its pages as often as among them.
            found.append(path.parent if path.name == "simple" else path)
    return list(dict.fromkeys(found))
