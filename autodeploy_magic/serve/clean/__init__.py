"""A version in a clean process: what the build learns of it there.

replay.py    the sample through it: answers, speed, memory
measure.py   recorded rows through it: answers, CPU time at the recorded mix, sizes
witness.py   what it did besides: imported, mapped, read and asked for
causes.py    why it failed, in words that tell what to change
"""

from __future__ import annotations
