"""The zygote: it forks only while it is single-threaded, and says how its children ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from world import WAIT_S, World

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

pytestmark = pytest.mark.timeout(120)


def test_it_is_single_threaded_and_forks(tmp_path: Path) -> None:
    async def scenario() -> None:
        zygotes = Zygotes(tmp_path / "log")
        try:
            zygote = zygotes.get(sys.executable)
            assert zygotes.get(sys.executable) is zygote
            warm = await asyncio.wait_for(asyncio.shield(zygote.warm), WAIT_S)
            assert (warm.forks, warm.reason) == (sys.platform == "linux", "")
            with tempfile.TemporaryFile() as output:
                order = {"target": "os:getcwd_missing", "spec": {}, "paths": [], "env": {}}
                child = await zygote.start("job", order, output.fileno())
                assert b"AttributeError" in await asyncio.wait_for(child.reader.readline(), WAIT_S)
                child.writer.close()
                assert str(await asyncio.wait_for(child.ended, WAIT_S)) == "it ended with exit code 1"
        finally:
            zygotes.close()
            await asyncio.wait_for(asyncio.to_thread(zygote._process.wait), WAIT_S)

    asyncio.run(scenario())


def test_what_was_given_up_before_it_was_forked_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "import pathlib, time\ndef work(spec):\n    time.sleep(1)\n    pathlib.Path(spec['done']).touch()\n"
    )
    order = {"target": "late:work", "spec": {"done": str(tmp_path / "done")}, "paths": [str(tmp_path)], "env": {}}

    async def scenario() -> None:
        zygotes = Zygotes(tmp_path / "log")
        try:
            zygote = zygotes.get(sys.executable)
            await asyncio.wait_for(asyncio.shield(zygote.warm), WAIT_S)
            with tempfile.TemporaryFile() as output:
                os.kill(zygote.pid, signal.SIGSTOP)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(zygote.start("job", order, output.fileno()), 0.1)
                os.kill(zygote.pid, signal.SIGCONT)
                after = await zygote.start("job", {**order, "spec": {"done": str(tmp_path / "after")}}, output.fileno())
                await asyncio.wait_for(after.ended, WAIT_S)
                after.writer.close()
        finally:
            zygotes.close()
            await asyncio.wait_for(asyncio.to_thread(zygote._process.wait), WAIT_S)

    asyncio.run(scenario())
    assert (tmp_path / "after").exists()
    assert not (tmp_path / "done").exists()


def test_with_a_thread_in_it_it_starts_children_afresh(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys, threading, time\n"
        "if sys.orig_argv[1:3] == ['-m', 'autodeploy_magic.zygote']:\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    world = World(store, connect(store))
    try:
        status = world.serve(world.version(), workers=2)
        assert world.predict().status_code == 200
        job = world.supervisor.runner(sys.executable)
        assert "answers" in job.run(
            "autodeploy_magic.serve.clean.replay:main", {"folder": str(store.version_folder("iris", 1))}
        )
        assert "started afresh, which is slower: 2 threads" in store.supervisor_log.read_text()
        world.kill_supervisor()
        assert world.supervisor.status("iris").workers == status.workers
    finally:
        world.end()
