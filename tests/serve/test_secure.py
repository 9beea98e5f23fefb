"""A worker's HTTPS end: it takes up a renewed certificate by itself, and keeps the old one where the new is no good."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import certificates
import pytest

from autodeploy_magic import tls
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.serve.http.secure import Secure


def served(context: ssl.SSLContext) -> str:
    """The certificate that a new connection is shown, as PEM."""
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE  # it is looked at here, not trusted
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with theirs, context.wrap_socket(theirs, server_side=True) as end:
            end.recv(1)

    thread = threading.Thread(target=answer)
    thread.start()
    with ours, client.wrap_socket(ours) as end:
        der = end.getpeercert(binary_form=True)
        end.sendall(b"x")
    thread.join(20)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    key = certificates.new_key()
    old, new = (certificates.certificate(key, ["a.example"], days=days) for days in (1, 90))
    file = certificates.write(tmp_path / "both.pem", old, key)
    secure = Secure(str(file), tmp_path)
    contexts = [secure.context("http/1.1"), secure.context("h2")]
    assert [served(context) for context in contexts] == [certificates.pem(old).decode()] * 2
    secure.tick()
    certificates.write(file, new, key)
    secure.tick()
    assert [served(context) for context in contexts] == [certificates.pem(new).decode()] * 2
    assert secure.certificate.until > tls.read(str(file), tmp_path).since


def test_half_of_a_pair_changes_nothing_and_the_other_half_does(tmp_path: Path) -> None:
    keys = [certificates.new_key(), certificates.new_key()]
    old, new = (certificates.certificate(key, ["a.example"]) for key in keys)
    chain = certificates.write(tmp_path / "chain.pem", old)
    key = certificates.write(tmp_path / "key.pem", keys[0])
    secure = Secure(f"{chain},{key}", tmp_path)
    context = secure.context("http/1.1")
    certificates.write(chain, new)
    secure.tick()
    assert served(context) == certificates.pem(old).decode()
    certificates.write(key, keys[1])
    secure.tick()
    assert served(context) == certificates.pem(new).decode()


def test_one_that_is_no_good_is_not_taken_up(tmp_path: Path) -> None:
    key = certificates.new_key()
    old = certificates.certificate(key, ["a.example"])
    file = certificates.write(tmp_path / "both.pem", old, key)
    secure = Secure(str(file), tmp_path)
    context = secure.context("http/1.1")
    certificates.write(file, certificates.certificate(key, ["a.example"], days=-1, since_days=9), key)
    secure.tick()
    file.unlink()
    secure.tick()
    assert served(context) == certificates.pem(old).decode()


def test_no_worker_begins_with_one_that_has_ended(tmp_path: Path) -> None:
    key = certificates.new_key()
    file = certificates.write(
        tmp_path / "both.pem", certificates.certificate(key, ["a.example"], days=-1, since_days=9), key
    )
    with pytest.raises(InvalidOption, match="ended on"):
        Secure(str(file), tmp_path)


def test_each_server_gets_its_own_protocols(tmp_path: Path) -> None:
    key = certificates.new_key()
    file = certificates.write(tmp_path / "both.pem", certificates.certificate(key, ["a.example"]), key)
    secure = Secure(str(file), tmp_path)
    for protocol in ("http/1.1", "h2"):
        context = secure.context(protocol)
        client = tls.client_context(file)
        client.set_alpn_protocols(["h2", "http/1.1"])
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [
            client.wrap_bio(back, there, server_hostname="a.example"),
            context.wrap_bio(there, back, server_side=True),
        ]
        for _ in range(4):
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        assert ends[0].selected_alpn_protocol() == protocol
