"""Which Python packages an image has: it is started, and its own Python reads their metadata. It has no network."""

from __future__ import annotations

import msgspec

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.engines import Chosen, ask
from autodeploy_magic.ship.image.known import ASK_S
from autodeploy_magic.ship.image.run import JOB, Container, command
from autodeploy_magic.ship.image.sbom import Distribution

__all__ = ["inventory"]

_READ = """\
import glob, hashlib, json, os, sys
found = []
for folder in sys.path:
    for place in glob.glob(os.path.join(glob.escape(folder), "*.dist-info", "METADATA")):
        with open(place, encoding="utf-8", errors="replace") as file:
            head = file.read().partition("\\n\\n")[0]
        record = os.path.join(os.path.dirname(place), "RECORD")
        read = open(record, "rb").read() if os.path.isfile(record) else b""
        found.append({"metadata": head, "record": hashlib.sha256(read).hexdigest() if read else ""})
print(json.dumps(found))
"""


_OWNER = "0:0"
"""Who has installed them, and may read all of it. What a wheel gives to its owner alone is no less installed."""


def inventory(chosen: Chosen, image: str, python: str, job: str) -> list[Distribution]:
    """What the Python `python` of `image` can import. Raises `ShipFailed` where it cannot be started here."""
    code, output, errors = _asked(chosen, image, (python, "-I", "-c", _READ), f"{job}-list", job)
    try:
        if code == 0:
            return msgspec.json.decode(output.strip().rpartition("\n")[2], type=list[Distribution])
    except msgspec.DecodeError as error:
        errors = f"{errors}\n{error}"
    raise ShipFailed(
        f"{chosen.name} could not list what BentoML put into its image",
        why="\n".join(line for line in errors.splitlines() if line.strip())[-2000:] or f"exit code {code}",
        fix="build it where containers can be started, or use --flavour lean",
    )


def _asked(chosen: Chosen, image: str, words: tuple[str, ...], name: str, job: str) -> tuple[int, str, str]:
    """The exit code, the output and the errors of a command in the image."""
    engine = chosen.name
    if chosen.engine.starts:
        container = Container(
            engine=engine,
            image=image,
            name=name,
            entrypoint=words[0],
            words=words[1:],
            labels={JOB: job},
            network="none",
            user=_OWNER,
            watched=False,
        )
        try:
            return ask(*command(container), timeout_s=ASK_S)
        finally:
            ask(engine, "rm", "--force", name, timeout_s=ASK_S)  # where it was ended before it ended by itself
    code, output, errors = ask(engine, "from", "--name", name, "--pull-never", image, timeout_s=ASK_S)
    if code:
        return code, output, errors
    try:
        return ask(engine, "run", "--isolation", "chroot", "--user", _OWNER, name, "--", *words, timeout_s=ASK_S)
    finally:
        ask(engine, "rm", name, timeout_s=ASK_S)
