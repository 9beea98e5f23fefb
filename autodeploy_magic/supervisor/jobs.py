"""A build's functions in a clean process: JSON in, JSON or an error out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from typing import Any

import msgspec
import psutil

from autodeploy_magic.errors import AutodeployError, BuildFailed, from_payload
from autodeploy_magic.supervisor.processes import Child
from autodeploy_magic.supervisor.watch import Ending
from autodeploy_magic.supervisor.zygotes import Zygotes

__all__ = ["Job", "run_job"]

_LAST_LINES = 20
_LAST_BYTES = 16 * 1024
_EXIT_S = 5.0
_LOOK_S = 0.5
"""How often its memory is looked at."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One call of "module:function" in a process of its own; see `contracts.CleanRunner`.

    `nice` and `cores` have it give way to what serves. It is ended where it, with all it started, has more than
    `memory_bytes` of memory; 0 for as much as there is.
    """

    executable: str
    target: str
    spec: dict[str, Any]
    paths: tuple[str, ...] = ()
    env: dict[str, str] = {}
    timeout_s: float = 600.0
    nice: int = 0
    cores: int = 0
    memory_bytes: int = 0


async def run_job(zygotes: Zygotes, job: Job) -> dict[str, Any]:
    """Run a job and return what its function returned. Cancelled, it ends the process.

    Raises the `AutodeployError` the function raised, or `BuildFailed` with the last lines of its output where the
    process ended or took longer than `timeout_s`.
    """
    with tempfile.TemporaryFile() as output:
        order = {
            "target": job.target,
            "spec": job.spec,
            "paths": job.paths,
            "env": job.env,
            "nice": job.nice,
            "cores": job.cores,
        }
        child: Child | None = None
        line: bytes | None = None
        try:
            async with asyncio.timeout(job.timeout_s):
                child = await zygotes.start(job.executable, "job", order, output.fileno())
                line = await _answer(child, job)
        except TimeoutError:
            raise BuildFailed(
                f"{job.target} took longer than {job.timeout_s:g} s and was ended",
                why=_last_lines(output.fileno()),
                fix="use a smaller sample, or raise AUTODEPLOY_BUILD_TIMEOUT_S",
            ) from None
        finally:
            if child is not None:
                ending = await _end(child, _EXIT_S if line is not None else 0)
        if not line.endswith(b"\n"):
            raise BuildFailed(
                f"the process that ran {job.target} died: {ending}",
                why=_last_lines(output.fileno()),
                fix="read the lines above; the deployment that runs was not touched",
            )
        answer = msgspec.json.decode(line, type=dict[str, Any])
        if "error" in answer:
            raise _with_output(from_payload(answer["error"]), output.fileno())
        result: dict[str, Any] = answer["result"]
        return result


async def _answer(child: Child, job: Job) -> bytes:
    """The line that it answers. Raises `BuildFailed` where it takes too much memory meanwhile."""
    answer = asyncio.ensure_future(child.reader.readline())
    try:
        while job.memory_bytes:
            done, _ = await asyncio.wait([answer], timeout=_LOOK_S)
            if done:
                break
            used = await asyncio.to_thread(_memory, child.pid)
            if used > job.memory_bytes:
                raise BuildFailed(
                    f"it took {used / 2**20:.0f} MB of memory and was ended",
                    why=f"it may take {job.memory_bytes / 2**20:.0f} MB",
                    fix="raise AUTODEPLOY_RETUNE_MEMORY_BYTES, or free memory",
                )
        return await answer
    finally:
        answer.cancel()


def _memory(pid: int) -> int:
    """What a process and all it started have in memory, in bytes; 0 where it has ended."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for one in family:
        with contextlib.suppress(psutil.Error):  # it has ended
            total += int(one.memory_info().rss)
    return total


async def _end(child: Child, grace_s: float) -> Ending:
    """A job that has answered is about to end by itself; one that has not is ended."""
    child.writer.close()
    try:
        async with asyncio.timeout(grace_s):
            return await asyncio.shield(child.ended)
    except TimeoutError:
        child.kill()
        return await child.ended


def _with_output(error: AutodeployError, descriptor: int) -> AutodeployError:
    error.details.setdefault("output", _last_lines(descriptor))
    return error


def _last_lines(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, _LAST_BYTES, max(0, size - _LAST_BYTES))
    return "\n".join(data.decode("utf-8", "replace").splitlines()[-_LAST_LINES:])
