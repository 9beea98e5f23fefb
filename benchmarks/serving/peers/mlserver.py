"""MLServer with its scikit-learn runtime, in the process that serves (`parallel_workers` 0 spares it a second one)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from serving.peers import MODEL, PORT

SETTINGS = {
    "http_port": PORT,
    "grpc_port": PORT + 1,
    "metrics_port": PORT + 2,
    "host": "127.0.0.1",
    "parallel_workers": 0,
    "debug": False,
}
MODEL_SETTINGS = {
    "name": "iris",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": MODEL, "version": "1"},
}

if __name__ == "__main__":
    Path("settings.json").write_text(json.dumps(SETTINGS))
    Path("model-settings.json").write_text(json.dumps(MODEL_SETTINGS))
    program = Path(sys.executable).with_name("mlserver")
    os.execv(program, [str(program), "start", "."])
