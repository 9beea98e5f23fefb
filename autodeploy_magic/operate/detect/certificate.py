"""The certificate of an HTTPS deployment ends soon, or has ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from autodeploy_magic.health import Finding, Severity
from autodeploy_magic.operate.detect.base import About, Moment

__all__ = ["CertificateDetector"]

DAY_S = 24 * 3600
WARN_S, CRITICAL_S = 14 * DAY_S, 2 * DAY_S
LAST_S = 253_402_300_800  # the year 10000, which dates do not have


class CertificateDetector:
    """Reads the date that the supervisor found in it."""

    about = About(
        help="the TLS certificate ends soon, or has ended",
        defaults="a warning 14 days before, critical 2 days before",
        detects="at once",
        cost="1 µs",
    )

    def __init__(self, name: str) -> None:
        pass

    def see(self, moment: Moment) -> Iterator[Finding]:
        until = moment.status.certificate_until
        left_s = until - moment.t
        if not 0 < until < LAST_S or left_s >= WARN_S:
            return
        severity: Severity = "critical" if left_s < CRITICAL_S else "warning"
        day = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
        yield Finding(
            rule="certificate",
            detector="certificate",
            metric="certificate",
            severity=severity,
            text=f"The TLS certificate ends in {_left(left_s)}, on {day}"
            if left_s > 0
            else f"The TLS certificate ended on {day}: clients refuse to connect",
            value=left_s,
            limit=float(WARN_S),
        )


def _left(seconds: float) -> str:
    days = seconds / DAY_S
    return f"{days:.0f} days" if days >= 2 else f"{seconds / 3600:.0f} hours"
