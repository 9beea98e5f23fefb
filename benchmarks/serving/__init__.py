"""What the benchmarks of serving are made of.

A script beside this folder starts servers (`peers`, `ours`), has the clients (`load`, a process of its own) keep each
of them busy in turn (`rounds`), and prints a table and what became of each target (`report`). All servers of a table
are measured in the same minutes, so that what disturbs the machine disturbs all of them alike; while one is asked, the
others are stopped by a signal.

Imported by peers in environments of their own: this file and `peers/__init__.py` need nothing but Python.
"""
