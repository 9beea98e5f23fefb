"""From a socket to a request and back.

server.py      uvicorn, ended by a drain instead of a hang-up (acceptor.py: connections shared with other workers;
               leaving.py: nobody is left waiting in a socket that closes)
connection.py  from the HTTP parser to the front and back into the socket (cycle.py: a request in its turn)
sending.py     a streamed answer, as fast as its client reads
app.py         the same front for any ASGI server; what no protocol knows goes to the Bento's own app (mount.py)
front.py       host, token (guard.py, tokens.py, secure.py), route, version, record
exchange.py    one request, from its head to its answer
"""

from __future__ import annotations
