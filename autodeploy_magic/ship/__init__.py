"""Bento → elsewhere.

container.py    an image of a version, built by the container engine that is installed
"""
