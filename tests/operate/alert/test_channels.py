"""Each road, with a real receiver at its end: what arrives, and what is said where nothing does."""

from __future__ import annotations

import email
import hashlib
import hmac
import json
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from receivers import Deaf, Letters, Receiver, alert, desired

from autodeploy_magic.health import Alert
from autodeploy_magic.operate.alert.channels.base import Channel, Deadline, Facts, Undelivered
from autodeploy_magic.operate.alert.channels.command import Command
from autodeploy_magic.operate.alert.channels.email import Email
from autodeploy_magic.operate.alert.channels.log import Log
from autodeploy_magic.operate.alert.channels.slack import Slack
from autodeploy_magic.operate.alert.channels.webhook import Webhook
from autodeploy_magic.operate.alert.message import compose

Receivers = Callable[..., Receiver]
Mail = Callable[..., tuple[Letters, str]]


def deliver(
    channel: Channel, *alerts: Alert, within_s: float = 10.0, log_file: Path | None = None, **given: Any
) -> None:
    """Send one message to every target that the settings name."""
    facts = Facts("iris", given, "http://127.0.0.1:8000", log_file)
    targets = channel.targets(facts)
    assert targets
    message = compose("iris", alerts or (alert(),), url=facts.url)
    for target in targets:
        channel.deliver(target, message, facts, Deadline(within_s))


def refused(channel: Channel, within_s: float = 10.0, **given: Any) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        deliver(channel, within_s=within_s, **given)
    return caught.value


# --- webhook


def test_a_webhook_gets_json_that_its_receiver_can_verify(receiver: Receivers, tmp_path: Path) -> None:
    there = receiver()
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    deliver(Webhook(), alert(value=0.12, limit=0.05), alert_webhook=there.url, alert_secret_file=str(secret))
    got = there.got.get(timeout=10)
    assert got.path == "/hook?key=secret"
    body = json.loads(got.body)
    assert (body["deployment"], body["state"], body["severity"]) == ("iris", "firing", "warning")
    assert (body["alerts"][0]["rule"], body["alerts"][0]["value"]) == ("latency", 0.12)
    assert got.headers["x-autodeploy-delivery"] == body["id"]
    # The five lines of the docstring.
    sent = dict(part.split("=", 1) for part in got.headers["x-autodeploy-signature"].split(","))
    wanted = hmac.new(b"s3cret", sent["t"].encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(sent["v1"], wanted)
    assert abs(time.time() - int(sent["t"])) < 300
    assert wanted != hmac.new(b"other", sent["t"].encode() + b"." + got.body, hashlib.sha256).hexdigest()


def test_without_a_secret_there_is_no_signature(receiver: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    there = receiver()
    deliver(Webhook(), alert_webhook=there.url)
    assert "x-autodeploy-signature" not in there.got.get(timeout=10).headers
    monkeypatch.setenv("AUTODEPLOY_ALERT_SECRET", "x")
    deliver(Webhook(), alert_webhook=there.url)
    assert "x-autodeploy-signature" in there.got.get(timeout=10).headers


def test_a_secret_that_cannot_be_read_sends_nothing_unsigned(receiver: Receivers, tmp_path: Path) -> None:
    there = receiver()
    error = refused(Webhook(), alert_webhook=there.url, alert_secret_file=str(tmp_path / "none"))
    assert "cannot be signed" in str(error)
    assert there.got.empty()


def test_an_address_may_stand_in_a_file(receiver: Receivers, tmp_path: Path) -> None:
    one, two, file = receiver(), receiver(), tmp_path / "address"
    file.write_text(one.url + "\n")
    deliver(Webhook(), alert_webhook=f"file:{file}, {two.url}")
    assert one.got.get(timeout=10).body
    assert two.got.get(timeout=10).body
    assert Webhook().label(f"file:{file}") == f"file:{file}"
    assert "secret" not in Webhook().label(two.url)


@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (503, True), (429, True), (404, False), (401, False), (302, False), (308, False)]
)
def test_an_answer_that_is_no_success_is_none(receiver: Receivers, status: int, again: bool) -> None:
    there = receiver(status)
    error = refused(Webhook(), alert_webhook=there.url)
    assert error.again is again
    assert str(status) in str(error)
    assert "key=secret" not in str(error)
    assert there.got.qsize() == 1  # a redirect is not followed


def test_an_untrusted_certificate_is_refused(receiver: Receivers, tls_files: tuple[Path, ssl.SSLContext]) -> None:
    there = receiver(context=tls_files[1])
    error = refused(Webhook(), alert_webhook=there.url)
    assert "not trusted" in str(error)
    assert error.again is False


def test_a_trusted_certificate_is_taken(
    receiver: Receivers, tls_files: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = receiver(context=tls_files[1])
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_files[0]))
    deliver(Webhook(), alert_webhook=there.url)
    assert there.got.get(timeout=10).body


@pytest.mark.parametrize("drip", [b"", b"H"])
def test_a_server_that_never_answers_is_cut_off(deaf: Callable[..., Deaf], drip: bytes) -> None:
    there = deaf(drip)
    began = time.monotonic()
    error = refused(Webhook(), within_s=0.3, alert_webhook=there.url)
    assert error.again is True
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "file", "https://", "http://[::1", "http://host/ä", "http://h:99999/"]
)
def test_what_is_no_address_says_so(address: str) -> None:
    assert refused(Webhook(), alert_webhook=address).again is False


# --- slack


def test_a_chat_gets_text_and_blocks_that_call_nobody(receiver: Receivers) -> None:
    there = receiver()
    deliver(Slack(), alert(text="<!channel> & <http://evil|click>"), alert_slack=there.url)
    body = json.loads(there.got.get(timeout=10).body)
    assert body["text"].startswith(":warning: *iris: ")
    assert "&lt;!channel&gt; &amp;" in body["text"]
    assert "<" not in json.dumps(body)
    assert [block["type"] for block in body["blocks"]] == ["section", "section", "context"]


def test_a_long_message_is_cut_where_a_chat_would_refuse_it(receiver: Receivers) -> None:
    there = receiver()
    deliver(Slack(), *(alert(f"r{i}", text="x" * 400) for i in range(60)), alert_slack=there.url)
    body = json.loads(there.got.get(timeout=10).body)
    assert all(len(block["text"]["text"]) <= 3000 for block in body["blocks"][:2])


# --- email


def test_a_letter_arrives_without_the_headers_that_a_text_tried_to_add(mail: Mail) -> None:
    letters, where = mail()
    evil = "p99 is high\r\nBcc: all@example.org\n\nhello"
    deliver(
        Email(),
        alert(text=evil),
        alert_email="a@example.org, b@example.org",
        alert_smtp=f"smtp://{where}?from=alerts@example.org",
    )
    envelope = letters.got.get(timeout=10)
    assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
    assert envelope.mail_from == "alerts@example.org"
    letter = email.message_from_bytes(envelope.content)
    assert letter["Bcc"] is None
    assert letter["Subject"].startswith("iris: p99 is high Bcc:")
    assert "rule:    latency" in letter.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_a_password_is_not_sent_in_the_clear(mail: Mail, monkeypatch: pytest.MonkeyPatch) -> None:
    letters, where = mail()
    monkeypatch.setenv("AUTODEPLOY_ALERT_SMTP_PASSWORD", "right")
    error = refused(Email(), alert_email="a@example.org", alert_smtp=f"smtp://me@{where}")
    assert "not sent in the clear" in str(error)
    assert letters.logins == []


@pytest.mark.parametrize(("password", "arrives"), [("right", True), ("wrong", False)])
def test_a_login_over_starttls(
    mail: Mail,
    tls_files: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    password: str,
    arrives: bool,
) -> None:
    file, context = tls_files
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    (tmp_path / "pw").write_text(password)
    letters, where = mail(tls_context=context, login=True)
    given = {
        "alert_email": "a@example.org",
        "alert_smtp": f"smtp://me%40example.org@{where}",
        "alert_smtp_password_file": str(tmp_path / "pw"),
    }
    if arrives:
        deliver(Email(), **given)
        assert letters.got.get(timeout=10).mail_from == "me@example.org"
    else:
        assert refused(Email(), **given).again is False
    assert letters.logins[0] == (b"me@example.org", password.encode())


def test_an_untrusted_mail_server_is_refused_unless_tls_is_off(
    mail: Mail, tls_files: tuple[Path, ssl.SSLContext]
) -> None:
    letters, where = mail(tls_context=tls_files[1])
    error = refused(Email(), alert_email="a@example.org", alert_smtp=f"smtp://{where}")
    assert "not trusted" in str(error)
    deliver(Email(), alert_email="a@example.org", alert_smtp=f"smtp://{where}?tls=off")
    assert letters.got.get(timeout=10)


@pytest.mark.parametrize(("answer", "again"), [("451 later", True), ("554 no", False)])
def test_a_mail_server_that_refuses_is_quoted(mail: Mail, answer: str, again: bool) -> None:
    _, where = mail(answer)
    error = refused(Email(), alert_email="a@example.org", alert_smtp=f"smtp://{where}")
    assert answer in str(error)
    assert error.again is again


def test_one_address_that_is_refused_is_named_and_the_others_get_it_once(mail: Mail) -> None:
    letters, where = mail()
    letters.refuses = {"b@example.org"}
    error = refused(Email(), alert_email="a@example.org,b@example.org", alert_smtp=f"smtp://{where}")
    assert "b@example.org: 550" in str(error)
    assert error.again is False
    assert letters.got.get(timeout=10).rcpt_tos == ["a@example.org"]


def test_a_mail_server_that_hangs_is_cut_off(deaf: Callable[..., Deaf]) -> None:
    there = deaf()
    error = refused(Email(), within_s=0.3, alert_email="a@example.org", alert_smtp=f"smtp://127.0.0.1:{there.port}")
    assert "in time" in str(error)


@pytest.mark.parametrize(
    ("to", "server"),
    [("a@example.org", ""), ("a@example.org", "http://x"), ("nobody", "smtp://127.0.0.1:1"), ("a@b\tc", "smtp://h")],
)
def test_what_cannot_be_mailed_says_so(to: str, server: str) -> None:
    assert refused(Email(), alert_email=to, alert_smtp=server).again is False


# --- command


def script(tmp_path: Path, text: str) -> str:
    file = tmp_path / "notify.py"
    file.write_text(text)
    return f"{sys.executable} '{file}'"


def test_a_command_gets_json_and_variables_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "out $(id)"
    text = "import json, os, sys\nwith open(sys.argv[1], 'w') as f:\n    "
    text += "f.write(json.dumps([json.load(sys.stdin), dict(os.environ)]))"
    deliver(Command(), alert(text="x; rm -rf / `id`"), alert_command=f"{script(tmp_path, text)} '{out}'")
    body, environment = json.loads(out.read_text())
    assert body["alerts"][0]["rule"] == "latency"
    assert environment["AUTODEPLOY_ALERT_NAME"] == "iris"
    assert environment["AUTODEPLOY_ALERT_STATE"] == "firing"
    assert "rm -rf / `id`" in environment["AUTODEPLOY_ALERT_TITLE"]


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    error = refused(Command(), alert_command=script(tmp_path, "import sys; sys.exit('no route to pager')"))
    assert "exit code 1: no route to pager" in str(error)
    assert "could not be run" in str(refused(Command(), alert_command="/nonexistent/notify"))
    assert "cannot be read" in str(refused(Command(), alert_command="notify 'open"))


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = (
        "import os, subprocess, sys, time\n"
        "own = subprocess.Popen(['sleep', '600'])\n"
        "away = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{own.pid}} {{away.pid}}')\n"
        "sys.stderr.write('x' * 1_000_000)\n"
        "time.sleep(600)\n"
    )
    error = refused(Command(), within_s=1.5, alert_command=script(tmp_path, text))
    assert "within 1.5 s" in str(error)
    _, alive = psutil.wait_procs(_of(pids.read_text()), timeout=5)
    assert alive == []


def _of(pids: str) -> list[psutil.Process]:
    found = []
    for pid in pids.split():
        try:
            found.append(psutil.Process(int(pid)))
        except psutil.NoSuchProcess:
            continue
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


def test_a_command_that_leaves_another_behind_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"import subprocess\nopen({str(pids)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    began = time.monotonic()
    deliver(Command(), alert_command=script(tmp_path, text))
    assert time.monotonic() - began < 8
    _, alive = psutil.wait_procs(_of(pids.read_text()), timeout=5)
    assert alive == []


def test_a_command_that_does_not_read_gets_a_long_message_all_the_same(tmp_path: Path) -> None:
    deliver(Command(), *(alert(f"r{i}", text="y" * 3000) for i in range(200)), alert_command=script(tmp_path, "pass"))


# --- log


def test_a_log_line_for_each_alert(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "worker.log"
    file.write_text("before\n")
    over = alert("errors", state="resolved", until_s=1_760_000_090.0, text="errors\nare 2 %")
    with caplog.at_level("INFO"):
        deliver(Log(), alert(severity="critical"), over, log_file=file)
    before, fires, ended = file.read_text().splitlines()
    assert before == "before"
    assert "alert: critical: latency is too much (since 2025-10-09 08:53:20 UTC)" in fires
    assert "alert: over after 90 s: errors are 2 %" in ended
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    deliver(Log(), log_file=tmp_path / "gone" / "worker.log")
    assert not (tmp_path / "gone").exists()


def test_settings_of_a_deployment_name_the_targets() -> None:
    facts = Facts("iris", desired(alert_slack=" https://a/x ,https://b/y,https://a/x", alert_email="").settings)
    assert Slack().targets(facts) == ["https://a/x", "https://b/y"]
    assert Email().targets(facts) == Command().targets(facts) == Webhook().targets(facts) == []
