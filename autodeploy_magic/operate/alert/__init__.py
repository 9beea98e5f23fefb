"""Who is told of a fault, when, and by which road.

findings ──▶ alerts ──▶ messages ──▶ channels
alerts.py    what detectors see from second to second becomes alerts: when one begins, comes back, and is over
words.py     how an alert reads: the one place where one is worded
message.py   several alerts of a deployment as one message
sender.py    messages to channels, without making anybody wait
line.py      one channel's queue: grouped, limited, tried again, given up
channels/    one road a file; `registry.CHANNELS` lists them
"""
