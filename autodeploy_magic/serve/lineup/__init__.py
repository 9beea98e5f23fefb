"""The versions of a worker beside each other: what is loaded, what each is given, and how they compare.

versions.py    loaded beside each other, swapped by one assignment (together.py: what may share a process)
shadow.py      copies for a challenger, compared with the champion's answers (agreement.py); heard by nobody
repository.py  the versions that are kept, and how to have one loaded
orders.py      what the supervisor orders of all that
"""

from __future__ import annotations
