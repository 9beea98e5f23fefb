"""One JSON object a line, whoever writes."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime

import msgspec

from autodeploy_magic.serve.alone.logs import JsonLines

NOISE = """
import logging, threading, warnings
from autodeploy_magic.serve.alone.logs import log_as_json
log_as_json("info")
logging.getLogger("uvicorn.error").warning("of %s", "uvicorn")
logging.getLogger("x").debug("not wanted")
warnings.warn("a warning\\nof two lines")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise ValueError("at the end \\u2603")
"""


def test_a_line_has_all_its_parts() -> None:
    record = logging.LogRecord("room", logging.WARNING, "file", 1, "%d rows\nmore", (3,), None)
    line = msgspec.json.decode(JsonLines().format(record))
    assert datetime.fromisoformat(line.pop("time")).astimezone(UTC).timestamp() == int(record.created * 1000) / 1000
    assert line == {"level": "warning", "logger": "room", "message": "3 rows\nmore", "pid": record.process}


def test_warnings_threads_and_the_end_are_lines_too() -> None:
    found = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, timeout=30, check=False)
    lines = [msgspec.json.decode(line) for line in found.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "warning", "critical", "critical"]
    assert lines[0]["message"] == "of uvicorn"
    assert "a warning\nof two lines" in lines[1]["message"]
    assert (lines[2]["message"], "Traceback" in lines[2]["exception"]) == ("ZeroDivisionError: division by zero", True)
    assert lines[3]["message"] == "ValueError: at the end \u2603"
