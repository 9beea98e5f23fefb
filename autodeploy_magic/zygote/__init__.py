"""A process that has imported everything once, and forks what runs: workers, and the jobs of a build.

    __main__.py  the process: preload, then fork on request until its owner's socket closes
    preload.py   what is imported, and the proof that no thread was started
    child.py     what a forked process does: read its order, run "module:function", answer
    wire.py      JSON lines and file descriptors on a unix socket

One zygote runs for each Python executable. Its owner is the supervisor; it ends when the supervisor's end of the socket
closes, and the workers it forked live on. Nothing on the socket is pickled.
"""
