"""The detached process that serves and operates a person's deployments; one for each user.

    client.py       what others import: `connect()`, `Supervisor`
    launch.py       find the running supervisor, or start one: exactly one
    __main__.py     the process: detach, lock, log, run
    loop.py         what is put together in it, and when it ends
    api/            the calls, as JSON over HTTP on a unix socket
    deployments.py  all deployments: what the person wants, made so
    deployment.py   one of them: start, swap, stop; moves.py, what is desired after a change
    traffic.py      what versions besides the champion may be given
    workers/        the workers that serve a version together, here, in containers or in a cluster
    health/         the operate loop of all deployments, the hands of recovery, drills
    retune/         re-tunes, trials, and the search for how a version is run best
    shipping.py     images, and what goes elsewhere
    jobs.py         a build's functions in a clean process
    showing.py      what pages and terminals see: glances.py, broadcast.py, activities.py, journal.py
    certificates.py a deployment's own, made by selfsigned.py
    records.py      what is written down of the supervisor and of the workers that run

What may be killed at any moment: this process (its workers serve on, and the next one takes them over), a zygote, a
worker. Two rules make it so: a worker serves only once it is written down, and a listening socket is never opened twice
but handed on.
"""
