"""How a version is best run: layouts are tried with the recorded trace, and searched with few trials.

layouts.py    the space of layouts of a model on a machine, and the rule-of-thumb ones that it is begun with
search.py     Optuna's TPE, one layout at a time, and the best of what was measured
queueing.py   workers, threads and batches as a simulated queue: for proving the search against an exhaustive grid
"""
