"""Every second: what each deployment does is looked at by every detector, and what is found becomes alerts.

watch.py     all deployments, in a thread of their own; whatever raises is isolated, shown, and the rest goes on
watching.py  one of them: its detectors, what they are given, and what they found
feed.py      the newest roll-ups of one, second by second
faults.py    parts of the watch itself that failed
"""
