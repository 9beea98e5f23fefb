"""Managed places: the files that a cloud's own tools take, and the contract that each demands of our image.

One file a place; `sizing` derives memory, concurrency and the like from what was measured, `folder` writes what all of
them have. The scripts lie in `scripts/` as they are shipped, and hold no value: they read `settings.env`. Nothing here
asks for credentials, or keeps any: the person's own command line of the cloud has them.
"""
