"""What is wrong with a deployment: one file a kind of fault, found through `registry.DETECTORS`.

base.py    what a detector is given each second, and what it has to be
"""
