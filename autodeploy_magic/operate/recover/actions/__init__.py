"""What recovery can do about a fault, one a file, by the names of `registry.ACTIONS`; `base.py` says what each has."""
