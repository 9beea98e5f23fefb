"""A Starlette route under uvicorn (uvloop, httptools)."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.peers import PORT
from serving.peers.session import predictor

model = predictor()


async def predict(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse({"predictions": model(body["inputs"])})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
