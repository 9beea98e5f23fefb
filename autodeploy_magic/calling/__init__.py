"""A deployment as those see it who call it: over HTTP, with its token, and as text that they paste.

http.py      one keep-alive connection for each thread
snippets.py  how to call it from curl, Python and JavaScript
probe.py     a row of the sample, sent as a client would, and whether the answer is what was verified
compare.py   whether two answers say the same
"""
