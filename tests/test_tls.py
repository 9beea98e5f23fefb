"""What a certificate says of itself, and what is wrong with a bad one, in words."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import certificates
import pytest

from autodeploy_magic import tls
from autodeploy_magic.address import address_of, check_open, is_loopback, url_of
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.supervisor.selfsigned import DAYS, make

HOURS = 3600.0
DAY = 24 * HOURS


@pytest.fixture
def key() -> certificates.Key:
    return certificates.new_key()


def both(tmp_path: Path, names: list[str], key: certificates.Key, **more: float) -> Path:
    return certificates.write(tmp_path / "both.pem", certificates.certificate(key, names, **more), key)


def meet(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """A handshake over a real connection; returns the TLS version, or raises what the client was told."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    server.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with (
                socket.create_connection(listening.getsockname(), timeout=20) as raw,
                client.wrap_socket(raw, server_hostname=name) as secure,
            ):
                return str(secure.version())
        finally:
            thread.join(20)


# --- reading


def test_a_certificate_tells_its_names_and_its_end(tmp_path: Path, key: certificates.Key) -> None:
    file = both(tmp_path, ["Models.example.org", "*.example.net", "10.0.0.7", "::1"], key, days=90)
    found = tls.read(str(file), tmp_path)
    assert found.names == ("models.example.org", "*.example.net", "10.0.0.7", "::1")
    assert found.hosts == ("models.example.org", "*.example.net")
    assert found.until == pytest.approx(time.time() + 90 * DAY, abs=60)
    assert found.chain == found.key == found.trusted == file
    for host in ("models.example.org", "MODELS.example.org.", "a.example.net", "10.0.0.7", "[0:0:0:0:0:0:0:1]"):
        assert found.covers(host)
    for host in ("example.org", "x.models.example.org", "a.b.example.net", "example.net", "10.0.0.8"):
        assert not found.covers(host)
    tls.usable(found)


def test_certificate_and_key_may_be_two_files(tmp_path: Path, key: certificates.Key) -> None:
    chain = certificates.write(tmp_path / "chain.pem", certificates.certificate(key, ["a.example"]))
    secret = certificates.write(tmp_path / "key.pem", key)
    chosen = tls.chosen(f"{chain}, {secret}")
    assert chosen == f"{chain},{secret}"
    found = tls.read(chosen, tmp_path)
    assert (found.chain, found.key, found.trusted) == (chain, secret, chain)


def test_a_path_is_made_whole_and_its_links_are_kept(
    tmp_path: Path, key: certificates.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(tmp_path, ["a.example"], key)
    (tmp_path / "live.pem").symlink_to("both.pem")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tls.chosen("live.pem") == tls.chosen("~/live.pem") == str(tmp_path / "live.pem")
    assert tls.chosen("off") == ""
    assert tls.chosen("auto") == "auto"


def test_a_renewed_file_is_read_anew(tmp_path: Path, key: certificates.Key) -> None:
    file = both(tmp_path, ["a.example"], key, days=1)
    first = tls.read(str(file), tmp_path)
    both(tmp_path, ["a.example"], key, days=90)
    assert tls.read(str(file), tmp_path).until > first.until


# --- what cannot serve


def test_each_bad_file_is_refused_in_words(tmp_path: Path, key: certificates.Key) -> None:
    good = certificates.certificate(key, ["a.example"])
    other = certificates.new_key()
    (tmp_path / "noise.pem").write_text("-----BEGIN CERTIFICATE-----\nnoise\n-----BEGIN PRIVATE KEY-----\nnoise\n")
    cases = {
        str(tmp_path / "nowhere.pem"): "there is no such file",
        str(tmp_path): "Is a directory",
        str(certificates.write(tmp_path / "nokey.pem", good)): "gives no key",
        str(certificates.write(tmp_path / "nocert.pem", key)): "gives no certificate",
        str(certificates.write(tmp_path / "other.pem", good, other)): "is not that of the certificate",
        str(certificates.write(tmp_path / "locked.pem", good, key, password=b"secret")): "is encrypted",
        str(tmp_path / "noise.pem"): "cannot be used",
    }
    for file, told in cases.items():
        with pytest.raises(InvalidOption) as caught:
            tls.chosen(file)
        assert told in str(caught.value), file
        assert caught.value.fix


@pytest.mark.parametrize(
    ("names", "days", "since", "told"),
    [
        (["a.example"], -1, 9, "ended on"),
        (["a.example"], 9, -1, "begins on"),
        ([], 9, 1, "names no host"),
    ],
)
def test_what_no_client_would_take_is_refused(
    tmp_path: Path, key: certificates.Key, names: list[str], days: float, since: float, told: str
) -> None:
    file = both(tmp_path, names, key, days=days, since_days=since)
    found = tls.read(str(file), tmp_path)  # but it can be read, to say since when
    with pytest.raises(InvalidOption, match=told):
        tls.usable(found)
    with pytest.raises(InvalidOption, match=told):
        tls.chosen(str(file))


# --- the contexts


def test_a_client_trusts_the_file_and_nothing_else(tmp_path: Path, key: certificates.Key) -> None:
    file = both(tmp_path, ["a.example"], key)
    server = tls.server_context(file, file, "http/1.1")
    client = tls.client_context(file)
    assert meet(server, client, "a.example") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="[Hh]ostname"):
        meet(server, client, "b.example")
    stranger = certificates.new_key()
    foreign = certificates.write(tmp_path / "foreign.pem", certificates.certificate(stranger, ["a.example"]))
    with pytest.raises(ssl.SSLCertVerificationError):
        meet(server, tls.client_context(foreign), "a.example")


def test_one_of_an_authority_needs_no_root(tmp_path: Path, key: certificates.Key) -> None:
    root_key = certificates.new_key()
    root = certificates.certificate(root_key, ["Root"], authority=True)
    leaf = certificates.certificate(key, ["a.example"], issuer=(root, root_key))
    file = certificates.write(tmp_path / "leaf.pem", leaf, key)
    assert tls.read(str(file), tmp_path).names == ("a.example",)
    assert meet(tls.server_context(file, file), tls.client_context(file), "a.example") == "TLSv1.3"


def test_what_is_older_than_tls_1_2_is_refused(tmp_path: Path, key: certificates.Key) -> None:
    file = both(tmp_path, ["a.example"], key)
    server = tls.server_context(file, file)
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2
    client = tls.client_context(file)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert meet(server, client, "a.example") == "TLSv1.2"


# --- the ones that we make


def test_a_certificate_of_ours_is_what_strict_clients_take(tmp_path: Path) -> None:
    made = make({"title": "autodeploy iris", "names": ["127.0.0.1", "::1", "localhost", "*.example.org"]})
    served, trusted = tls.made_files(tmp_path)
    served.write_text(made["certificate"] + made["key"])
    trusted.write_text(made["certificate"])
    found = tls.read(tls.AUTO, tmp_path)
    assert found.names == ("127.0.0.1", "::1", "localhost", "*.example.org")
    assert (found.until - found.since) / DAY == DAYS == 397
    assert found.trusted == trusted
    client = ssl.create_default_context(cafile=str(trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    server = tls.server_context(found.chain, found.key, "http/1.1")
    for name in ("127.0.0.1", "::1", "localhost", "a.example.org"):
        assert meet(server, client, name) == "TLSv1.3"


# --- where a deployment is


def desired(host: str = "127.0.0.1", chosen: str = "", hosts: str = "") -> Desired:
    return Desired(
        name="iris", version=1, executable="python", host=host, port=8000, tls=chosen, settings={"hosts": hosts}
    )


def test_the_url_has_the_scheme_and_a_name_that_the_certificate_covers(tmp_path: Path, key: certificates.Key) -> None:
    assert url_of(desired()) == "http://127.0.0.1:8000"
    assert url_of(desired("::1", tls.AUTO)) == "https://[::1]:8000"
    public = str(both(tmp_path, ["*.example.net", "models.example.org"], key))
    assert url_of(desired(chosen=public)) == "https://models.example.org:8000"
    assert url_of(desired(chosen=public, hosts="other.example, a.example.net")) == "https://a.example.net:8000"
    assert address_of(desired(chosen=public)).host == "127.0.0.1"
    own = str(certificates.write(tmp_path / "own.pem", certificates.certificate(key, ["a.example", "127.0.0.1"]), key))
    assert url_of(desired(chosen=own)) == "https://127.0.0.1:8000"
    assert url_of(desired(chosen=str(tmp_path / "gone.pem"))) == "https://127.0.0.1:8000"


def test_there_is_no_url_before_there_is_a_port() -> None:
    assert url_of(Desired(name="iris", version=1, executable="python")) == ""


def test_only_this_machine_may_go_without_a_token() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.8.8.8")
    assert is_loopback("::1")
    for host in ("0.0.0.0", "::", "192.168.1.4", "localhost"):
        assert not is_loopback(host)
    check_open("127.0.0.1")
    with pytest.raises(InvalidOption, match="needs its token"):
        check_open("0.0.0.0")
    check_open("127.0.0.1", "a.example,*.example.net")
    with pytest.raises(InvalidOption, match="answers to any host"):
        check_open("127.0.0.1", "a.example, *")
