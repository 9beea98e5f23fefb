"""TRAFFIC → BETTER: what becomes of a deployment while it serves.

observe ──▶ detect ──▶ recover ──▶ retune ──▶ promote
what it takes, what is wrong,      a better   the better one,
and does       put right           version    or back

observe/       what a deployment takes of the machine, written down each second, and the points shown live
"""
