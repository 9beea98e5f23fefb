"""A real kernel and its messages, as a front end sees them: outputs, comms, and who each message belongs to."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

__all__ = ["WIDGET", "Kernel", "running_kernel"]

WIDGET = "application/vnd.jupyter.widget-view+json"
WAIT_S = 60.0


@dataclass
class Kernel:
    """Runs cells, and speaks to widgets. `heard` holds every message of the kernel, in order."""

    manager: KernelManager
    client: BlockingKernelClient
    heard: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, code: str) -> str:
        """Send a cell; returns the id of the request."""
        return str(self.client.execute(code))

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell that must not fail; returns its outputs."""
        request = self.begin(code)
        self.idle(request)
        outputs = self.outputs(request)
        failed = [output for output in outputs if "ename" in output]
        assert failed == [], failed
        return outputs

    def value(self, code: str) -> str:
        """The text of an expression's value."""
        return str(self.run(code)[-1]["data"]["text/plain"])

    def idle(self, request: str) -> None:
        """Wait until the kernel has done all of a request."""
        self.until(lambda message: _is_end(message, request))

    def ended(self, request: str) -> bool:
        """Whether the kernel has been heard to have done all of a request."""
        return any(_is_end(message, request) for message in self.heard)

    def outputs(self, request: str) -> list[dict[str, Any]]:
        """What a cell has shown so far; what an output was replaced by is not followed."""
        kinds = ("stream", "display_data", "execute_result", "error")
        return [
            message["content"]
            for message in self.heard
            if message["msg_type"] in kinds and message["parent_header"].get("msg_id") == request
        ]

    def until(self, wanted: Callable[[dict[str, Any]], object], within_s: float = WAIT_S) -> dict[str, Any]:
        """Hear messages until one is as wanted; one that was heard before does not count."""
        end = time.monotonic() + within_s
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError("the kernel did not say it in time") from None
            self.heard.append(message)
            if wanted(message):
                return message

    def listen(self, seconds: float) -> list[dict[str, Any]]:
        """What it says within so much time."""
        before = len(self.heard)
        with contextlib.suppress(AssertionError):
            self.until(lambda message: False, seconds)
        return self.heard[before:]

    def subshell(self) -> str:
        """Begin a subshell, which hears messages while the main one runs a cell; returns its id."""
        self.client.control_channel.send(self.client.session.msg("create_subshell_request", {}))
        return str(self.client.get_control_msg(timeout=WAIT_S)["content"]["subshell_id"])

    def tell(self, comm: str, content: Any, subshell: str = "") -> str:
        """Send a custom message to a widget, as its script does; returns the id of the message."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if subshell:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def told(self, comm: str, wanted: Callable[[Any], object], within_s: float = WAIT_S) -> tuple[Any, dict[str, Any]]:
        """Hear until a widget's script would be told something; returns that and the message's parent header."""
        message = self.until(lambda heard: (custom := _custom(heard, comm)) is not None and wanted(custom), within_s)
        return _custom(message, comm), message["parent_header"]

    def ask(
        self, comm: str, method: str, path: str, body: Any = None, call: str = "1", subshell: str = ""
    ) -> dict[str, Any]:
        """Make a call as the panel does; returns what ends it."""
        self.tell(comm, {"id": call, "call": {"method": method, "path": path, "body": body}}, subshell)
        return self.told(comm, lambda custom: custom.get("id") == call and ("result" in custom or "error" in custom))[0]

    def state(self, comm: str) -> dict[str, Any]:
        """The state of a widget as a front end has it now."""
        found: dict[str, Any] = {}
        for message in self.heard:
            content = message["content"]
            if content.get("comm_id") == comm and "state" in content.get("data", {}):
                found |= content["data"]["state"]
        return found

    def threads(self) -> list[str]:
        """The names of this package's threads in the kernel."""
        names = self.run("import threading; print(*(thread.name for thread in threading.enumerate()))")[0]["text"]
        return [name for name in names.split() if name.startswith("autodeploy")]


def _is_end(message: dict[str, Any], request: str) -> bool:
    state = message["content"].get("execution_state") if message["msg_type"] == "status" else None
    return state == "idle" and message["parent_header"].get("msg_id") == request


def _custom(message: dict[str, Any], comm: str) -> Any:
    content = message["content"]
    if message["msg_type"] != "comm_msg" or content["comm_id"] != comm or content["data"]["method"] != "custom":
        return None
    return content["data"]["content"]


@contextlib.contextmanager
def running_kernel() -> Iterator[Kernel]:
    """A kernel of this environment, ended at the end."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(extra_arguments=["--log-level=ERROR"])
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=WAIT_S)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
        manager.cleanup_resources()
