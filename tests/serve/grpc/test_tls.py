"""The port with TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpcport import BEARER, INFER, WAIT_S, Port, request
from tritonclient.grpc import InferenceServerClient, InferInput
from versions import X, write_version

from autodeploy_magic.serve.grpc import server
from autodeploy_magic.supervisor import selfsigned


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    made = selfsigned.make({"title": "test", "names": ["127.0.0.1"]})
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_text(made["certificate"] + made["key"], "ascii")
    return file


@pytest.fixture
def secure(serve: Any, tmp_path: Path, classifier: Any, certificate: Path) -> Port:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    write_version(tmp_path / "secure", classifier, X)
    port: Port = serve(tmp_path / "secure", tls=context)
    return port


def test_tls_is_spoken(secure: Port, certificate: Path) -> None:
    rows = InferInput("inputs", [150, 4], "FP64").set_data_from_numpy(X)
    with InferenceServerClient(secure.address, ssl=True, root_certificates=str(certificate)) as client:
        answer = client.infer("iris", [rows], headers=dict(BEARER))
    assert answer.as_numpy("predictions").shape == (150,)
    with grpc.insecure_channel(secure.address) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(INFER)(request().SerializeToString(), metadata=BEARER, timeout=2)


def test_who_does_not_choose_http2_in_tls_is_hung_up_on(secure: Port, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    for protocols in (None, ["http/1.1"]):
        if protocols:
            context.set_alpn_protocols(protocols)
        with (
            socket.create_connection(("127.0.0.1", secure.port), timeout=WAIT_S) as plain,
            contextlib.suppress(ssl.SSLError, ConnectionError),
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            assert client.recv(4096) == b""
    secure.until(lambda: not secure.server._connections)


def test_a_handshake_that_does_not_end_is_given_up(
    serve: Any, tmp_path: Path, classifier: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    write_version(tmp_path / "version", classifier, X)
    port = serve(tmp_path / "version", tls=context)
    with socket.create_connection(("127.0.0.1", port.port), timeout=WAIT_S) as client:
        client.sendall(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
