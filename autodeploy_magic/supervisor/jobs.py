"""A build's functions in a clean process: JSON in, JSON or an error out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from typing import Any

import msgspec
import psutil

from autodeploy_magic.errors import AutodeployError, BuildFailed, from_payload
from autodeploy_magic.supervisor.workers.processes import Child
from autodeploy_magic.supervisor.workers.watch import Ending
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Interrupted", "Job", "run_job"]

_LAST_LINES = 20
_LAST_BYTES = 16 * 1024
_EXIT_S = 5.0
_LOOK_S = 0.5
"""How often its memory is looked at."""
_AGAIN_S = 0.5
"""After so long it is interrupted once more: the first time it may not have listened yet."""


class Interrupted(Exception):
    """A job was ended as asked, and has taken back what it began."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One call of "module:function" in a process of its own; see `contracts.CleanRunner`.

    `nice` and `cores` have it give way to what serves. It is ended where it, with all it started, has more than
    `memory_bytes` of memory; 0 for as much as there is. One that is ended early is interrupted (SIGINT), and has
    `tidy_s` to take back what it began; with 0 it is killed at once.
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
    tidy_s: float = 0.0


async def run_job(zygotes: Zygotes, job: Job, stop: asyncio.Event | None = None) -> dict[str, Any]:
    """Run a job and return what its function returned. Cancelled, it ends the process.

    Raises the `AutodeployError` the function raised, or `BuildFailed` with the last lines of its output where the
    process ended or took longer than `timeout_s`. Once `stop` is set it is ended early, and `Interrupted` is raised;
    a job that was through by then has its result returned all the same.
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
                line = await _answer(child, job, stop or asyncio.Event())
        except TimeoutError:
            raise BuildFailed(
                f"{job.target} took longer than {job.timeout_s:g} s and was ended",
                why=_last_lines(output.fileno()),
                fix="use a smaller sample, or raise AUTODEPLOY_BUILD_TIMEOUT_S",
            ) from None
        finally:
            if child is not None:
                ending = await _end(child, *((_EXIT_S, 0.0) if line is not None else (0.0, job.tidy_s)))
        if not line.endswith(b"\n"):
            if stop is not None and stop.is_set():
                raise Interrupted
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


async def _answer(child: Child, job: Job, stop: asyncio.Event) -> bytes:
    """The line that it answers, b"" where it was stopped. Raises `BuildFailed` where it takes too much memory."""
    answer = asyncio.ensure_future(child.reader.readline())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while True:
            period = _LOOK_S if job.memory_bytes else None
            await asyncio.wait([answer, stopped], timeout=period, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                break
            if stopped.done():
                await _end_early(child, job.tidy_s)
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
        stopped.cancel()


def _family(pid: int) -> list[psutil.Process]:
    """A process and all it started, in whichever session; none where it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _memory(pid: int) -> int:
    """What a process and all it started have in memory, in bytes; 0 where it has ended."""
    total = 0
    for one in _family(pid):
        with contextlib.suppress(psutil.Error):  # it has ended
            total += int(one.memory_info().rss)
    return total


async def _end(child: Child, grace_s: float, tidy_s: float) -> Ending:
    """A job that has answered is about to end by itself; one that has not is ended."""
    child.writer.close()
    try:
        async with asyncio.timeout(grace_s):
            return await asyncio.shield(child.ended)
    except TimeoutError:
        await _end_early(child, tidy_s)
        return await child.ended


async def _end_early(child: Child, tidy_s: float) -> None:
    """End a job with all it started; within `tidy_s` it may take back what it began."""
    family = await asyncio.to_thread(_family, child.pid)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(tidy_s):
                while tidy_s and not child.ended.done():
                    child.process.signal(signal.SIGINT)
                    await asyncio.wait([child.ended], timeout=_AGAIN_S)
    finally:
        if not child.ended.done():
            family += await asyncio.to_thread(_family, child.pid)
            child.kill()
        for one in family[1:]:  # those in sessions of their own are in no group of its
            with contextlib.suppress(psutil.Error):
                one.kill()
    await child.ended


def _with_output(error: AutodeployError, descriptor: int) -> AutodeployError:
    error.details.setdefault("output", _last_lines(descriptor))
    return error


def _last_lines(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, _LAST_BYTES, max(0, size - _LAST_BYTES))
    return "\n".join(data.decode("utf-8", "replace").splitlines()[-_LAST_LINES:])
