"""skops files: estimators as data. Only types that skops knows to be safe are made; others are named."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.read.given import Given, size_text
from autodeploy_magic.build.read.guarded import ALLOWED_BY, guarded
from autodeploy_magic.build.read.named import dangerous
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["SkopsReader", "reader"]


class SkopsReader:
    """Reading one runs nothing of the file's own, as long as all its types are trusted."""

    title = "a skops file"

    def recognises(self, given: Given) -> bool:
        return not given.is_folder and given.is_zip and "schema.json" in given.names

    def read(self, given: Given) -> Any:
        skops = need("skops.io", f"reading {given.name}")
        data = given.data()
        unknown = sorted(skops.get_untrusted_types(data=data))
        bad = [name for name in unknown if dangerous(name)]
        if bad or (unknown and not given.allow_pickle):
            shown = ", ".join((bad or unknown)[:8]) + (", …" if len(bad or unknown) > 8 else "")
            leave = "make sure that they are what you expect, then add --allow-pickle (allow_pickle=True)"
            raise BadInput(
                f"{given.name} holds types that skops does not know to be safe: {shown}",
                why=f"making them runs their code (SHA-256 {given.sha256}, {size_text(given.size_bytes)})",
                fix="do not load it; ask who made it" if bad else leave,
                types=unknown,
            )
        if unknown:
            given.allowed_by = ALLOWED_BY
            given.notes.append(f"types trusted with your leave: {', '.join(unknown[:8])}")
        with guarded(given):
            return skops.loads(data, trusted=unknown)


reader = SkopsReader()
