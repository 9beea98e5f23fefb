"""The certificate's end."""

import msgspec
import pytest
from seconds import START, STATUS, answered, second

from autodeploy_magic.operate.detect.certificate import DAY_S, CertificateDetector


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [
        (15, "", ""),
        (13.9, "warning", "ends in 14 days"),
        (1.9, "critical", "ends in 46 hours"),
        (-1, "critical", "ended on 2026-01-04"),
    ],
)
def test_it_is_told_two_weeks_ahead_and_worse_two_days_ahead(days: float, severity: str, words: str) -> None:
    status = msgspec.structs.replace(STATUS, certificate_until=START + days * DAY_S)
    found = list(CertificateDetector("iris").see(second(0, answered(0), status=status)))
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(words in one.text and one.rule == "certificate" for one in found)


def test_plain_http_has_none() -> None:
    assert not list(CertificateDetector("iris").see(second(0, answered(0))))
