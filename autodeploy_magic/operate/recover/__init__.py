"""What is done about faults, or suggested: metric → rule → action → result.

recovery.py    what the supervisor drives: each second it looks, decides, acts, and judges what came of it
policy.py      which rule of the table (`autodeploy_magic.policy`) applies
engine.py      decisions: limits, cool-down, what is not tried again; no clock, no hands
case.py        what is known when it is decided
figures.py     the last half minute of a deployment in figures
incidents.py   what was done, kept on disk
words.py       incidents in words
actions/       one a file; what each does, how it is taken back, and what it would have to change to have helped
hands.py       what actions may do; the supervisor implements it
"""
