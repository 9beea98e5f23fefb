"""Where and when rows go through a version's model.

lane.py          at once on the event loop, in a thread, or together with others
pool.py          the threads, and the bounded queue before them
batching.py      which of those that wait are answered together
service_time.py  how long a run of so many rows takes
source.py        an answer that comes item by item; turns.py, whose turn it is at a model that streams
"""

from __future__ import annotations
