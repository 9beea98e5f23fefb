"""Answer more rows in one run of the model, where many requests wait."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.tuning import Tuning
from autodeploy_magic.operate.recover.case import Case

__all__ = ["BiggerBatches"]

MOST = 2048.0


class BiggerBatches(Tuning):
    name = "bigger_batches"
    setting = "batch_rows"

    def fits(self, case: Case) -> str:
        if not self.now(case):
            return "requests are not to be answered together"
        if (case.figures.get("waiting") or 0.0) < 4:
            return "hardly any requests wait that could be answered together"
        return "" if self.now(case) < MOST else f"{self.now(case):g} rows may be answered together already"

    def value(self, case: Case) -> float:
        return min(MOST, 2 * self.now(case))
