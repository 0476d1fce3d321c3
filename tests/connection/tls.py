"""The stand-in behind TLS, with a certificate that nobody signed."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.standin import StandIn


@pytest.fixture
def tls(tmp_path: Path, standin: StandIn) -> Iterator[str]:
    """The stand-in behind TLS with a certificate that nobody signed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = subprocess.run(
        [*request, *subject, "-keyout", str(key), "-out", str(certificate)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl is not installed, so no certificate can be made")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("localhost", 0))
    port = int(standin.url.rsplit(":", 1)[1])

    def serve(raw: socket.socket) -> None:
        try:
            with (
                context.wrap_socket(raw, server_side=True) as inner,
                socket.create_connection(("127.0.0.1", port)) as behind,
            ):
                inner.setblocking(False)
                while True:
                    ready = [behind, inner] if inner.pending() == 0 else [inner]
                    for one in select.select(ready, [], [], 5)[0] or [None]:
                        if one is None:
                            return
                        try:
                            piece = one.recv(65536)
                        except ssl.SSLWantReadError:
                            continue
                        if not piece:
                            return
                        (behind if one is inner else inner).sendall(piece)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"https://localhost:{listener.getsockname()[1]}"
    listener.close()
