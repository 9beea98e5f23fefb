"""Re-tunes: begun, conducted, and what passed, taken or taken back.

retunes.py        from their beginning to their end
bench.py          what they work with: jobs that give way to what serves, and workers on trial
records.py        what is kept of them
schedule.py       those that nobody asks for
trials.py         a version run on trial, on a port of its own
layout_search.py  how a version is run best here, with this traffic
"""
