"""A fresh process for one function: `SubprocessRunner`, the plain form of a `contracts.CleanRunner`.

The supervisor's pre-warmed processes answer in milliseconds; this one needs nothing but a Python executable, and works
where there is no supervisor: in CI, in a script, in a test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import AutodeployError, BuildFailed, from_payload

__all__ = ["SubprocessRunner"]

_BOOT = "import sys; sys.path.append(sys.argv[1]); from autodeploy_magic.build.clean import child; child(*sys.argv[2:])"
"""Our own package goes last on the path: an installed one wins, and nothing else of its folder is shadowed."""

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_LAST_LINES = 15


class SubprocessRunner:
    """Runs functions from JSON to JSON, each in a new process of `executable` (default: this Python).

    With `own_session` what a function starts ends with it. Without, the process stays in the group of this one, for
    whoever ends all of that.
    """

    def __init__(self, executable: str | None = None, *, own_session: bool = True) -> None:
        self.executable = executable or sys.executable
        self._own_session = own_session

    def run(
        self,
        target: str,
        spec: dict[str, Any],
        *,
        paths: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> dict[str, Any]:
        """Return what `target` ("module:function") answers to `spec`.

        Raises the `AutodeployError` that it raised, or `BuildFailed` with the last lines of its output where it died,
        hung or raised anything else.
        """
        with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
            job, result, output = (Path(folder) / name for name in ("job.json", "result.json", "output"))
            job.write_text(json.dumps({"target": target, "spec": spec, "paths": paths}), "utf-8")
            command = [self.executable, "-P", "-c", _BOOT, str(_PACKAGE_ROOT), str(job), str(result)]
            with output.open("wb") as stream:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env={**os.environ, **(env or {})},
                    start_new_session=self._own_session,
                )
                try:
                    code = process.wait(timeout_s)
                except subprocess.TimeoutExpired as error:
                    raise BuildFailed(
                        f"{target} did not end within {timeout_s:g} s",
                        why=_tail(output),
                        fix="raise the setting build_timeout_s (AUTODEPLOY_BUILD_TIMEOUT_S) if the model needs longer",
                    ) from error
                finally:
                    _end(process, group=self._own_session)
            if not result.is_file():
                raise BuildFailed(
                    f"the clean process that ran {target} died ({_exit_words(code)})",
                    why=_tail(output) or "it printed nothing",
                    fix="if it was killed, free memory; else the lines above say what failed",
                )
            answer: dict[str, Any] = json.loads(result.read_bytes())
            if "error" in answer:
                raise _failure(target, answer["error"], _tail(output))
            found: dict[str, Any] = answer["value"]
            return found


def child(job_file: str, result_file: str) -> None:
    """Run the job in `job_file` and write its value, or its error, to `result_file`. The process's whole work."""
    from autodeploy_magic.registry import load

    job = json.loads(Path(job_file).read_bytes())
    sys.path[:0] = job["paths"]
    try:
        answer = {"value": load(job["target"])(job["spec"])}
    except AutodeployError as error:
        answer = {"error": error.to_payload()}
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent is told
        import traceback

        traceback.print_exc()
        answer = {"error": {"error": None, "what": f"{type(error).__name__}: {error}"}}
    part = Path(result_file + ".part")
    part.write_text(json.dumps(answer), "utf-8")
    part.replace(result_file)  # a result is there whole or not at all


def _failure(target: str, payload: dict[str, Any], output: str) -> AutodeployError:
    if payload["error"] is not None:
        return from_payload(payload)
    return BuildFailed(f"{target} failed in its clean process: {payload['what']}", why=output)


def _end(process: subprocess.Popen[bytes], *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of the dead
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _exit_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _tail(output: Path) -> str:
    lines = output.read_text("utf-8", "replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:])
