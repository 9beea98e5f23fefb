"""The workers that serve a version together, kept alive until they are drained.

generation.py  the workers of one version; starting.py, one of them, from the zygote to ready; inplace.py, a swap inside
adopt.py       those that outlived an earlier supervisor
containers.py  those that are containers of the version's image
remote.py      replicas in a Ray cluster: remote_rows.py, remote_use.py and remote_requests.py bring here what they tell
zygotes.py     the zygotes that run, one for each Python; processes.py, one of them, and its children
sockets.py     listening sockets and ports
talk.py        orders over a worker's control socket; probing.py, whether it answers there
watch.py       processes by pid: which they are, when they end
"""
