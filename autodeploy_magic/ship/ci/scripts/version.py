"""Keeps what is known of the version that was just built: out/version.json, and what it requires.

What is in the repository may give the same version as before: that is a version too. But it has to be deployed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    out = Path(os.environ["OUT"])
    name = os.environ["DEPLOYMENT"]
    status: dict[str, Any] = json.loads((out / "status.json").read_text("utf-8"))
    if status["state"] != "running":
        sys.stderr.write(f"build: BUILD ran, and did not deploy {name}: it is {status['state']} {status['reason']}\n")
        return 1
    versions: list[dict[str, Any]] = json.loads((out / "versions.json").read_text("utf-8"))
    version = next(one for one in versions if one["number"] == status["version"])
    (out / "version.json").write_text(json.dumps(version, indent=2) + "\n", "utf-8")
    (out / "requirements.txt").write_text("\n".join(version["environment"]["requirements"]) + "\n", "utf-8")
    sys.stdout.write(f"build: {name} v{version['number']}, {version['format']}, {version['digest'][:12]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
