"""BENTO → TRAFFIC: what runs in a worker. A request goes down this list, and its answer up again.

    http/          from a socket to a request and back: the server, its connections, who may ask, one exchange
    protocols/     how clients speak: each reads requests into rows, and words answers; grpc/ on a port of its own
    road.py        one loaded version with its protocols and its lane; which versions there are, and what each is given
    lane/          where and when rows are run: here, in a thread, or together, by what it takes; or item by item
    model.py       a version: decode → preprocess → run → postprocess → encode
    signature.py   whose key signed the version; modules.py, the person's own modules, from their hashed sources alone
    runtime/       what runs a model's format: ONNX, a library's own file, the pickled object
    explain/       what each column adds to an answer

Around it:

    worker.py      the process: load, self-check, report ready, serve on inherited sockets, drain
    control.py     who answers here, and the sockets handed to the next supervisor
    lineup/        versions beside each other: champion, canary, shadow, and those that are loaded by name
    record.py      what was answered, in one-second roll-ups; exposition.py tells Prometheus of them
    sampling.py    a sample of requests (sampled.py: one of them), without what is not to be kept (redact.py)
    trace.py       spans of what was answered, for an OpenTelemetry collector (traced.py: the front where that is asked)
    bento.py       the same model behind BentoML's own road, for stock `bentoml serve`
    pyfunc.py      the same model as MLflow's python_function
    clean/         a version in a clean process: the sample replayed, measured and watched
    log.py         the worker's log, kept small
    alone/         the same worker without a supervisor: what images run, and serverless platforms call
"""
