"""What deployments take of the machine, second by second.

observatory.py   all deployments: observed, written down, and told live; a thread of its own
state.py         one of them, from one second to the next
processes.py     the tree of its processes
process.py       one process, read from /proc or through psutil
disk.py          the size of its folder, and what is free beside it
gpu.py           its part of the GPUs
"""
