"""The detached process that serves and operates a person's deployments; one for each user.

    client.py       what others import: `connect()`, `Supervisor`
    launch.py       find the running supervisor, or start one: exactly one
    __main__.py     the process: detach, lock, log, run
    loop.py         what is put together in it, and when it ends
    api.py          the calls, as JSON over HTTP on a unix socket
    deployments.py  all deployments: what the person wants, made so
    deployment.py   one of them: start, swap, stop
    inplace.py      a swap inside the workers that serve, in two steps
    traffic.py      what versions besides the champion may be given
    generation.py   the workers that serve together, kept alive
    starting.py     one worker, from the zygote to ready
    adopt.py        workers that outlived an earlier supervisor
    sockets.py      listening sockets and ports
    zygotes.py      the zygotes that run, one for each Python
    processes.py    one of them, and its children
    jobs.py         a build's functions in a clean process
    retunes.py      re-tunes, from their beginning to what is taken or taken back: retune_bench.py what they work with,
                    retune_records.py what is kept of them, schedule.py those that nobody asks for
    trials.py       a version run on trial, on a port of its own; layout_search.py how it is run best
    watch.py        processes by pid: which they are, when they end
    records.py      what is written down of them

What may be killed at any moment: this process (its workers serve on, and the next one takes them over), a zygote, a
worker. Two rules make it so: a worker serves only once it is written down, and a listening socket is never opened twice
but handed on.
"""
