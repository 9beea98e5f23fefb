"""kserve's clients, run by the Python of their own environment: a job as JSON comes in, and what they got goes out."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def v1(job: dict[str, Any]) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v1", timeout=30)) as client:
        url, name, headers = job["url"], job["name"], job["headers"]
        answer = await client.infer(url, {"instances": job["rows"]}, model_name=name, headers=headers)
        try:
            await client.infer(url, {"instances": [[1]]}, model_name=name, headers=headers)
        except httpx.HTTPStatusError as error:
            refused = str(error)
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_model_ready(url, name, headers=headers),
            "answer": answer,
            "refused": refused,
        }


async def v2(job: dict[str, Any], *, binary: bool) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=30)) as client:
        url, name, headers = job["url"], job["name"], job["headers"]
        rows = np.array(job["rows"])
        given = InferInput(name="inputs", shape=list(rows.shape), datatype="FP64")
        given.set_data_from_numpy(rows, binary_data=binary)
        wanted = [RequestedOutput(output, {"binary_data": binary}) for output in ("predictions", "probabilities")]
        request = InferRequest(model_name=name, infer_inputs=[given], request_id="mine", request_outputs=wanted)
        answer = await client.infer(url, request, model_name=name, headers=dict(headers))
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        return {
            "live": await client.is_server_live(url),
            "server_ready": await client.is_server_ready(url),
            "ready": await client.is_model_ready(url, name, headers=headers),
            "missing": await client.is_model_ready(url, "other", headers=headers),
            "id": answer.id,
            "predictions": [v.decode() if isinstance(v, bytes) else v for v in outputs["predictions"].tolist()],
            "probabilities": outputs["probabilities"].tolist(),
        }


async def main(job: dict[str, Any]) -> dict[str, Any]:
    return {"v1": await v1(job), "v2": await v2(job, binary=False), "v2 binary": await v2(job, binary=True)}


json.dump(asyncio.run(main(json.load(sys.stdin))), sys.stdout)
