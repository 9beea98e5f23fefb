"""Shared libraries of the system that a model needs, and that no wheel brings.

What a clean process had mapped when it answered is told by `serve.clean.replay`, without what lies among installed
packages. What every slim Debian image with Python in it has is no news either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["PACKAGES", "beyond_base", "debian_packages"]

BASE = frozenset(
    {
        # glibc
        *("ld-linux", "ld-linux-x86-64", "ld-linux-aarch64", "libanl", "libc", "libcrypt", "libdl", "libm", "libmvec"),
        *("libnsl", "libnss_compat", "libnss_dns", "libnss_files", "libpthread", "libresolv", "librt", "libutil"),
        # the compiler's own: apt, which every Debian image has, is written in C++
        *("libgcc_s", "libstdc++"),
        # what Python's standard library and the tools of the image are linked with
        *(
            "libpython3",
            "libz",
            "libbz2",
            "liblzma",
            "libzstd",
            "liblz4",
            "libssl",
            "libcrypto",
            "libffi",
            "libsqlite3",
        ),
        *(
            "libexpat",
            "libuuid",
            "libreadline",
            "libhistory",
            "libncursesw",
            "libtinfo",
            "libgdbm",
            "libdb",
            "libtirpc",
        ),
    }
)
"""Libraries of `python:3.x-slim` (Debian), without their versions."""

PACKAGES = {
    "libgomp.so.1": "libgomp1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libsndfile.so.1": "libsndfile1",
    "libquadmath.so.0": "libquadmath0",
    "libgfortran.so.5": "libgfortran5",
    "libopenblas.so.0": "libopenblas0",
    "libtbb.so.12": "libtbb12",
}
"""Library → the package of Debian that brings it."""

_NAME = re.compile(r"^(?P<stem>.+?)(?:-\d+\.[\d.]+)?\.so(?P<major>\.\d+)?")


def beyond_base(mapped: Iterable[str]) -> tuple[str, ...]:
    """Of the file names of mapped libraries those that a slim image lacks, as programs ask for them, sorted."""
    found = set()
    for name in mapped:
        match = _NAME.match(name)
        if match is None:
            continue
        stem = match["stem"]
        if stem in BASE or stem.partition(".")[0] in BASE or stem.startswith("libpython"):
            continue
        found.add(f"{name.partition('.so')[0]}.so{match['major'] or ''}")
    return tuple(sorted(found))


def debian_packages(libraries: Iterable[str]) -> tuple[str, ...]:
    """The packages of Debian that bring those of `libraries` that are known, sorted."""
    return tuple(sorted({PACKAGES[library] for library in libraries if library in PACKAGES}))
