"""A way to an endpoint of etcd that counts bytes, and that may show an expired certificate in place of etcd's."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What a packet over Ethernet carries, and its headers of Ethernet, IP and TCP.
_PACKET_BYTES = 1448
_HEADER_BYTES = 66


def expired_certificate(folder: Path) -> Path:
    """Write expired.pem, a certificate for 127.0.0.1 with its key, which its own authority signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd of last year")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=366))
        .not_valid_after(now - dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    path = folder / "expired.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return path


@dataclass(eq=False)
class Relay:
    """Connections to `url` end at the endpoint, or at an expired certificate while `expired` is set."""

    endpoint: str
    expired: ssl.SSLContext | None = None
    sent_bytes: int = 0
    packets: int = 0
    connections: int = 0
    _listener: socket.socket = field(init=False)
    _open: list[socket.socket] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def on_the_wire(self) -> int:
        """Bytes with headers, and as many empty packets that acknowledge them."""
        return self.sent_bytes + 2 * _HEADER_BYTES * self.packets

    def expire(self, certificate: Path) -> None:
        """End all connections, and show an expired certificate to new ones."""
        self.expired = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.expired.load_cert_chain(certificate)
        self.cut()

    def cut(self) -> None:
        """End all connections, as a firewall does with idle ones."""
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Begin to count."""
        self.sent_bytes = self.packets = self.connections = 0

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.expired:
                with client, contextlib.suppress(OSError):
                    self.expired.wrap_socket(client, server_side=True).close()
                continue
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        host, port = self.endpoint.removeprefix("https://").split(":")
        with client, socket.create_connection((host, int(port))) as server:
            self._open += [client, server]
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()

    def _pump(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.sent_bytes += len(data)
                self.packets += -(-len(data) // _PACKET_BYTES)
                to.sendall(data)
        for each in (source, to):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(endpoint: str) -> Iterator[Relay]:
    """A relay to an endpoint such as https://127.0.0.1:2379."""
    made = Relay(endpoint)
    try:
        yield made
    finally:
        made.close()
