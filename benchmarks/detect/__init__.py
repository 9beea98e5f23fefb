"""Streams of moments with known change points, and what detectors make of them.

streams.py    moments of synthetic traffic, and of recorded traffic, with faults put into them
cases.py      the table of faults: stream, which rules tell of it, within how long; and of streams without one
data.py       the same of what is in the requests, and of labels
measure.py    runs detectors over a stream: how long until they tell, and how often they tell of nothing
record.py     records the roll-ups of a real deployment under load into recorded/
"""
