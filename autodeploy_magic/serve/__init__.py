"""BENTO → TRAFFIC: what runs in a worker.

model.py     a version, loaded: decode → validate → preprocess → run → postprocess → encode
inputs.py    what a request may hold, checked against the signature with the field named
answers.py   the live object's answer ↔ JSON
runtime/     what runs a model's format: ONNX, or the pickled object
app.py       the outer ASGI app: token, limits, the fast road; everything else goes to the Bento's own app
bento.py     the same model behind BentoML's own road, for stock `bentoml serve`
replay.py    the sample through a packaged version in a clean process, measured
worker.py    the process: uvicorn on an inherited socket, ready pipe, drain
"""
