"""The Bento's own app behind ours: loaded when it is asked for, started and ended as its service needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
import bentoml

@bentoml.service
class Deployment:
    def __init__(self) -> None:
        print("started", flush=True)

    @bentoml.api
    def double(self, x: int) -> int:
        return 2 * x

    @bentoml.on_shutdown
    def end(self) -> None:
        print("ended", flush=True)
"""

ASK = """
import asyncio, sys
from pathlib import Path
import httpx
from autodeploy_magic.errors import ModelFailed
from autodeploy_magic.serve.http.mount import LazyBento

async def main() -> None:
    app = LazyBento(Path(sys.argv[1]))
    print("bentoml" in sys.modules)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        try:
            answers = await asyncio.gather(*(client.post("/double", json={"x": i}) for i in range(4)))
            print([answer.json() for answer in answers])
        except ModelFailed as error:
            print(error.what)
    await app.shutdown()

asyncio.run(main())
"""


def _ask(folder: Path, service: str) -> list[str]:
    (folder / "service.py").write_text(service)
    env = os.environ | {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "true"}
    env["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(folder)], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.timeout(120)
def test_it_is_loaded_once_and_its_lifespan_is_run(tmp_path: Path) -> None:
    assert _ask(tmp_path, SERVICE) == ["False", "started", "[0, 2, 4, 6]", "ended"]


@pytest.mark.timeout(120)
def test_one_that_cannot_be_loaded_is_a_clear_failure(tmp_path: Path) -> None:
    assert _ask(tmp_path, "raise RuntimeError('broken')") == ["False", "the Bento's own app did not start"]
