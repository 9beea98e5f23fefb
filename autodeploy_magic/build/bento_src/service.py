"""A version of a deployment, built by autodeploy_magic: what BentoML serves.

The model, its signature and its code are in the BentoML model named in deployment.json; this file is the same in every
Bento and holds no value of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bentoml

from autodeploy_magic.serve import bento

DEPLOYMENT = json.loads(Path(__file__).with_name("deployment.json").read_text("utf-8"))


# A prefix, since BentoML takes a service "traffic" or "http" for a part of its settings.
@bentoml.service(name=f"deployment-{DEPLOYMENT['name']}")
class Deployment:
    """Answers rows with predictions."""

    model = bentoml.models.BentoModel(DEPLOYMENT["model"])

    def __init__(self) -> None:
        self.served = bento.load_served(str(self.model.path))

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, inputs: Any, outputs: list[str] | None = None, *, ctx: bentoml.Context) -> dict[str, Any]:
        """Answer `inputs` with predictions, and with what else `outputs` names."""
        return bento.answer(self.served, inputs, outputs, ctx)
