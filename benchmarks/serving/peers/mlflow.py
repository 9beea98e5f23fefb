"""`mlflow models serve` with one worker, in the environment that is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from serving.peers import MODEL, PORT

if __name__ == "__main__":
    import joblib
    import mlflow.sklearn  # type: ignore[import-not-found,unused-ignore]

    mlflow.sklearn.save_model(joblib.load(MODEL), "model", serialization_format="cloudpickle")
    program = Path(sys.executable).with_name("mlflow")
    os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"  # it looks for its server's program there
    serve = ["models", "serve", "-m", "model", "--env-manager", "local", "--workers", "1"]
    os.execv(program, [str(program), *serve, "--host", "127.0.0.1", "--port", str(PORT)])
