"""The supervisor process: `python -m autodeploy_magic.supervisor [--detach FD]`.

With `--detach` it leaves whoever started it, and writes one JSON line to FD: {"ready": pid} or {"error": …}.
Without, it runs in the foreground, as a service manager wants it.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    ready_fd = int(sys.argv[2]) if sys.argv[1:2] == ["--detach"] else -1
    if ready_fd >= 0 and os.fork():
        os._exit(0)  # whoever started us reaps this process at once, and the supervisor is nobody's child

    os.umask(0o077)  # of the processes that build and serve too: what they write is its owner's alone

    import asyncio
    import contextlib
    import logging

    import msgspec
    from filelock import FileLock, Timeout

    from autodeploy_magic.errors import AutodeployError, SupervisorFailed
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.loop import Loop

    logging.basicConfig(level=logging.INFO, format="%(asctime)s supervisor %(process)d %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    log = logging.getLogger("autodeploy_magic.supervisor")

    def tell(message: dict[str, object]) -> None:
        if ready_fd >= 0:
            with contextlib.suppress(BrokenPipeError):  # whoever started us was killed meanwhile
                os.write(ready_fd, msgspec.json.encode(message) + b"\n")
            os.close(ready_fd)

    try:
        store = Store()
        with FileLock(store.lock_file, timeout=LOCK_S, mode=0o600):
            asyncio.run(Loop(store).run(lambda: tell({"ready": os.getpid()})))
    except Timeout:
        failure: AutodeployError = SupervisorFailed(
            "another supervisor of yours runs", why=f"it holds {store.lock_file}", fix="try again in a moment"
        )
    except AutodeployError as error:
        failure = error
    else:
        log.info("ended")
        return 0
    log.error("%s", failure)
    tell({"error": failure.to_payload()})
    return 1


LOCK_S = 15.0
"""How long one that is ending may take to let go of the lock."""

if __name__ == "__main__":
    sys.exit(main())
