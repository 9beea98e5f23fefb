"""A build's functions in a clean process: JSON in, JSON or an error out."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import Any

import msgspec

from autodeploy_magic.errors import AutodeployError, BuildFailed, from_payload
from autodeploy_magic.supervisor.processes import Child
from autodeploy_magic.supervisor.watch import Ending
from autodeploy_magic.supervisor.zygotes import Zygotes

__all__ = ["Job", "run_job"]

_LAST_LINES = 20
_LAST_BYTES = 16 * 1024
_EXIT_S = 5.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One call of "module:function" in a process of its own; see `contracts.CleanRunner`."""

    executable: str
    target: str
    spec: dict[str, Any]
    paths: tuple[str, ...] = ()
    env: dict[str, str] = {}
    timeout_s: float = 600.0


async def run_job(zygotes: Zygotes, job: Job) -> dict[str, Any]:
    """Run a job and return what its function returned. Cancelled, it ends the process.

    Raises the `AutodeployError` the function raised, or `BuildFailed` with the last lines of its output where the
    process ended or took longer than `timeout_s`.
    """
    with tempfile.TemporaryFile() as output:
        order = {"target": job.target, "spec": job.spec, "paths": job.paths, "env": job.env}
        child: Child | None = None
        line: bytes | None = None
        try:
            async with asyncio.timeout(job.timeout_s):
                child = await zygotes.start(job.executable, "job", order, output.fileno())
                line = await child.reader.readline()
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
