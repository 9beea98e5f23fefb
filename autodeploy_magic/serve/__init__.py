"""BENTO → TRAFFIC: what runs in a worker. A request goes down this list, and its answer up again.

    server.py      uvicorn, ended by a drain instead of a hang-up (acceptor.py: connections shared with other workers)
    connection.py  from the HTTP parser to the front and back into the socket (cycle.py: a request in its turn)
    app.py         the same front for any ASGI server; what no protocol knows goes to the Bento's own app (mount.py)
    front.py       host, token (guard.py, tokens.py, secure.py), route, version, record
    exchange.py    one request, from its head to its answer
    protocols/     how clients speak: each reads requests into rows, and words answers; grpc/ on a port of its own
    road.py        one loaded version with its protocols and its lane; which versions there are, and what each is given
    lane.py        where and when rows are run: here, in a thread (pool.py), or together (batching.py), by what it takes
                   (service_time.py); or item by item (source.py, sending.py: as the client reads)
    model.py       a version: decode → preprocess → run → postprocess → encode
    signature.py   whose key signed the version; modules.py, the person's own modules, from their hashed sources alone
    turns.py       whose turn it is at a model whose answers are streamed
    runtime/       what runs a model's format: ONNX, or the pickled object

Around it:

    worker.py      the process: load, self-check, report ready, serve on inherited sockets, drain
    control.py     who answers here, and the sockets handed to the next supervisor; its orders (orders.py)
    versions.py    what is loaded beside each other, swapped by one assignment (together.py: what may share a process)
    shadow.py      copies for a challenger, compared with the champion's answers (agreement.py); heard by nobody
    repository.py  the versions that are kept, and how to have one loaded
    record.py      what was answered, in one-second roll-ups; exposition.py tells Prometheus of them
    trace.py       spans of what was answered, for an OpenTelemetry collector (traced.py: the front where that is asked)
    bento.py       the same model behind BentoML's own road, for stock `bentoml serve`
    pyfunc.py      the same model as MLflow's python_function
    replay.py      the sample through a packaged version in a clean process, measured
    log.py         the worker's log, kept small
"""
