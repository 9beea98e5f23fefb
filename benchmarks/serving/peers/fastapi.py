"""FastAPI with pydantic models for request and answer, under uvicorn (uvloop, httptools). The route is `async def`: a
plain `def` runs in a thread and costs more.
"""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]
from pydantic import BaseModel

from serving.peers import PORT
from serving.peers.session import predictor

model = predictor()


class Body(BaseModel):
    inputs: list[list[float]]


class Answer(BaseModel):
    predictions: list[int]


async def predict(body: Body) -> Answer:
    return Answer(predictions=model(body.inputs))


app = FastAPI()
app.post("/predict")(predict)

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
