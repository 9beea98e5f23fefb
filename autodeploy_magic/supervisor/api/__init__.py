"""The supervisor's calls: JSON over HTTP on a unix socket.

calls.py      all of them put together, and those about deployments
health.py     how a deployment does: SLO, alerts, incidents, labels, recovery, drills
retune.py     re-tunes, and the data that they are made with
answering.py  how calls are answered, line by line
"""
