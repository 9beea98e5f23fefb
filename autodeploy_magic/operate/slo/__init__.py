"""Objectives: whether a deployment keeps what it promises, given by a person or learned from its first minutes.

windows.py    events and bad ones among them, in windows from seconds to days
burn.py       how fast an error budget burns, and when that is worth telling
seen.py       what the objectives are given each second
recent.py     the latencies of the last minutes
events.py     an objective that is a share of events: latency, errors, refused, availability
gauges.py     an objective that is a threshold: memory, cpu, disk_free, drift
scores.py     an objective of quality, judged by its confidence interval
learned.py    what is promised where nobody said so
history.py    what the windows had, from the minutes that are on disk

`detect/slo.py` is the detector that they make.
"""
