"""A better version of what serves, and only when proved: candidates are made, measured, judged, and one is chosen.

    conduct.py     what is done, in which order, and for how long; chains.py, what is changed twice
    plan.py        a job: the data, and what the optimisers offer
    make.py        a job: one candidate, laid out as what a worker loads
    gate/          a job: the challenger against the champion
    choose.py      the Pareto front, and which of those that passed
    keep.py        a job: the one that was chosen becomes a version, with its lineage

    data.py        traffic, labels, what the person gave: trained on or judged by (split.py), before and after the
                   champion's errors changed (change.py), as rows.py
    trace.py       when requests came, and of how many rows; replaying.py sends them again
    search/        how a version is best run, with few trials
    base.py        what an optimiser is; champion.py, what it is given; labels.py and weights.py, labels for training
    optimise/      one file a way to make a model faster, smaller or better

A candidate is measured by `serve.clean.measure`. The supervisor runs the jobs (`supervisor.retune.retunes`).
"""
