"""autodeploy/api/hello, and that the extension costs a Jupyter Server nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import autodeploy_magic
from autodeploy_magic import server_extension
from autodeploy_magic.contracts import encode
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.records import API, SupervisorInfo
from autodeploy_magic.supervisor.workers.watch import boot_id


async def test_it_says_that_it_is_here_and_starts_nothing(ask: Any, home: Path) -> None:
    answer = await ask("api/hello")
    assert answer.code == 200
    assert json.loads(answer.body) == {"result": {"release": autodeploy_magic.__version__, "supervisor": False}}
    assert not Store(home).supervisor_file.exists()


async def test_it_tells_of_a_supervisor(ask: Any, world: Any) -> None:
    assert json.loads((await ask("api/hello", who="program")).body)["result"]["supervisor"] is True


async def test_a_supervisor_that_hangs_is_not_waited_for(ask: Any, store: Store) -> None:
    path = str(store.runtime_dir / "deaf.sock")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(path)
        deaf.listen()
        info = SupervisorInfo(pid=1, create_time=0.0, boot_id=boot_id(), socket=path, token="t", version="0", api=API)
        store.supervisor_file.write_bytes(encode(info))
        async with asyncio.timeout(5):
            answer = await ask("api/hello")
        assert json.loads(answer.body)["result"]["supervisor"] is False
    store.supervisor_file.unlink()


async def test_nobody_is_told(ask: Any) -> None:
    answer = await ask("api/hello", who="nobody")
    assert answer.code == 403
    assert json.loads(answer.body)["error"]["error"] == "Forbidden"


def test_asking_for_the_extension_imports_nothing_more() -> None:
    script = (
        "import sys, autodeploy_magic.server_extension as s\n"
        "assert s._jupyter_server_extension_points()\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('jupyter_server', 'tornado', 'msgspec', 'bentoml', 'IPython', 'numpy')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    assert server_extension._jupyter_server_extension_points() == [{"module": "autodeploy_magic.server_extension"}]


def test_loading_it_brings_no_heavy_package_and_writes_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, os, jupyter_server.serverapp\n"
        "before = set(sys.modules)\n"
        "import autodeploy_magic.server_extension as s\n"
        "from types import SimpleNamespace as N\n"
        "app = N(web_app=N(settings={'base_url': '/'}, add_handlers=lambda *_: None))\n"
        "s._load_jupyter_server_extension(app)\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'bentoml', 'onnxruntime', 'IPython', 'numpy', 'pandas', 'starlette', 'uvicorn'}))\n"
        "assert not os.path.exists(os.environ['AUTODEPLOY_HOME'])\n"
    )
    environment = {"AUTODEPLOY_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
