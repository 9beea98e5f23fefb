"""`autodeploy watch`: all deployments live in a terminal, as the panel shows one in a notebook.

run.py       the live screen, the lines of a pipe, one look
look.py      what is known, put together from the supervisor's stream
screen.py    what is drawn of it
keyboard.py  keys, a new size, Ctrl-Z; the terminal is left as it was
"""
