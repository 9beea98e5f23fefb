"""Reads what engines tell of images, and keeps it in files that the shell reads.

image.py read     out/image.json, of `autodeploy containerize` → out/built.env
image.py digest   out/digests, one reference by digest a line → out/digest, that of IMAGE_REPOSITORY
image.py pushed   out/digest → out/image.env
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def main() -> int:
    out = Path(os.environ["OUT"])
    repository = os.environ["IMAGE_REPOSITORY"]
    if sys.argv[1] == "read":
        image = json.loads((out / "image.json").read_text("utf-8"))
        engine, archive = str(image.get("engine") or "archive"), str(image.get("archive") or "")
        (out / "built.env").write_text(f"BUILT_ENGINE={shlex.quote(engine)}\nBUILT_ARCHIVE={shlex.quote(archive)}\n")
        return 0
    if sys.argv[1] == "digest":
        lines = (out / "digests").read_text("utf-8").split()
        told = (line.partition("@") for line in lines)
        digests = [digest for name, _, digest in told if familiar(name) == familiar(repository)]
        (out / "digest").write_text("".join(digests[:1]))
        return 0 if digests else 1
    digest = (out / "digest").read_text("utf-8").strip()
    if DIGEST.fullmatch(digest) is None:
        sys.stderr.write(f"image: {digest!r} is no digest\n")
        return 1
    (out / "digest").write_text(f"{digest}\n")
    (out / "image.env").write_text(f"IMAGE={shlex.quote(f'{repository}@{digest}')}\n")
    return 0


def familiar(name: str) -> str:
    """A repository as Docker tells it: of its own registry, Docker Hub, without the host."""
    return re.sub(r"^(?:(?:index\.)?docker\.io/)?(?:library/)?", "", name)


if __name__ == "__main__":
    sys.exit(main())
