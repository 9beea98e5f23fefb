"""The gate: a challenger's answers and costs against the champion's, on rows that nobody trained on.

judge.py       the job: what was measured of the two → figures, conditions, passed or not and why
conditions.py  which conditions there are, for which kind of candidate
case.py        the two, with everything that is known of them
sides.py       their answers side by side: in which form, how alike, how right
as_good.py     what may move within a budget: by labels, and beside the champion's answers
superior.py    what should be better: beyond doubt, and by more than no difference
cost.py        CPU time, size, memory
paired.py      the statistics of two models on the same rows
"""
