"""BENTO → TRAFFIC: what runs in a worker.

worker.py     the process: load, self-check, report ready, serve on an inherited socket, drain
server.py     uvicorn, ended by a drain instead of a hang-up (connection.py: limits on what a client may send, and when)
control.py    who answers here, and the listening sockets handed to the next supervisor; its orders (orders.py)
versions.py   what is loaded beside each other, swapped by one assignment (together.py: what may share a process)
shadow.py     copies for a challenger, compared with the champion's answers (agreement.py); heard by nobody
repository.py the versions that are kept, and how to have one loaded
app.py        the outer ASGI app: token, limits, routes; what no protocol answers goes to the Bento's own (mount.py)
protocols/    how clients speak to it, one file each, all through core.py
model.py      a version, loaded: decode → preprocess → run → postprocess → encode
runtime/      what runs a model's format: ONNX, or the pickled object
record.py     what was answered, in one-second roll-ups
bento.py      the same model behind BentoML's own road, for stock `bentoml serve`
replay.py     the sample through a packaged version in a clean process, measured
log.py        the worker's log, kept small
"""
