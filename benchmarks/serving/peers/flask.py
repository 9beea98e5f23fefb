"""Flask with the fitted scikit-learn object (joblib), under gunicorn: one gthread worker, which keeps connections alive
where a sync worker makes each request a connection. Eight threads, one for each client.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import joblib
import numpy as np
from flask import Flask, jsonify, request  # type: ignore[import-not-found,unused-ignore]

from serving.peers import MODEL, PORT

GUNICORN = ["--worker-class", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75", "--timeout", "0"]

model = joblib.load(MODEL)
app = Flask(__name__)


def predict() -> Any:
    rows = np.asarray(request.get_json()["inputs"], dtype=float)
    return jsonify(predictions=model.predict(rows).tolist())


app.post("/predict")(predict)

if __name__ == "__main__":
    command = [sys.executable, "-m", "gunicorn", *GUNICORN, "--bind", f"127.0.0.1:{PORT}", "--log-level", "warning"]
    os.execv(sys.executable, [*command, "serving.peers.flask:app"])
