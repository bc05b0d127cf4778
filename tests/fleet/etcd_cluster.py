"""An etcd of three members on loopback, with TLS, users and roles, in a folder of its own."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aio_tuned.fleet.etcd_connection import EtcdAccess, EtcdConnection
from aio_tuned.fleet.keys import end_of, node_rights, reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aio_tuned.fleet.keys import Right

MEMBERS = 3
# Seconds that a token lives, so that each test that takes longer renews one.
TOKEN_S = 3
STARTS_WITHIN_S = 60.0
_DAY = dt.timedelta(days=1)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return ports that no client gets from the kernel while the member that listens there is down."""
    found: list[int] = []
    for port in secrets.SystemRandom().sample(range(16_384, 32_768), 100 * count):
        with socket.socket() as tried, suppress(OSError):
            tried.bind((host, port))
            found.append(port)
        if len(found) == count:
            break
    return found


def write_key(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def make_ca(folder: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Write NAME.pem, the certificate of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = _signed(subject, subject, key, key, ca=True)
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate, key


def make_server(
    folder: Path,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    lasts: dt.timedelta = _DAY,
    host: str = "127.0.0.1",
) -> None:
    """Write server.pem and server.key, for an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
    made = _signed(subject, ca.subject, key, ca_key, ca=False, lasts=lasts, host=host)
    (folder / "server.pem").write_bytes(made.public_bytes(Encoding.PEM))
    write_key(folder / "server.key", key)


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    lasts: dt.timedelta = _DAY,
    host: str = "127.0.0.1",
) -> x509.Certificate:
    now = dt.datetime.now(dt.timezone.utc)
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + lasts)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
    )
    if not ca:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        ).add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
    return builder.sign(by, SHA256())


@dataclass(eq=False)
class EtcdCluster:
    """Three members, each a process of this test run, which ends with it."""

    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    ports: list[int] = field(init=False)
    processes: list[subprocess.Popen[bytes] | None] = field(init=False, default_factory=lambda: [None] * MEMBERS)
    ca: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] = field(init=False)

    def __post_init__(self) -> None:
        self.ports = free_ports(2 * MEMBERS, self.host)
        self.ca = make_ca(self.folder, "ca")
        make_ca(self.folder, "other")
        make_server(self.folder, *self.ca, host=self.host)
        jwt = rsa.generate_private_key(65537, 2048)
        write_key(self.folder / "jwt.key", jwt)
        (self.folder / "jwt.pub").write_bytes(
            jwt.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def endpoint(self, member: int) -> str:
        return f"https://{self.host}:{self.ports[member]}"

    def peer(self, member: int) -> str:
        return f"https://{self.host}:{self.ports[MEMBERS + member]}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(map(self.endpoint, range(MEMBERS)))

    def access(self, name: str, **changes: Any) -> EtcdAccess:  # noqa: ANN401 - any field
        made = EtcdAccess(
            endpoints=self.endpoints, user=name, password=f"password of {name}", ca_file=self.folder / "ca.pem"
        )
        return replace(made, **changes)

    def start(self, member: int) -> None:
        name = f"member-{member}"
        # --trusted-ca-file would make etcd ask clients for certificates; of its peers it asks one.
        tls = {"cert-file": "server.pem", "key-file": "server.key"}
        options = {
            "name": name,
            "data-dir": name,
            "listen-client-urls": self.endpoint(member),
            "advertise-client-urls": self.endpoint(member),
            "listen-peer-urls": self.peer(member),
            "initial-advertise-peer-urls": self.peer(member),
            "initial-cluster": ",".join(f"member-{each}={self.peer(each)}" for each in range(MEMBERS)),
            "initial-cluster-token": self.folder.name,
            "auth-token": f"jwt,pub-key=jwt.pub,priv-key=jwt.key,sign-method=RS256,ttl={TOKEN_S}s",
            "bcrypt-cost": "4",
            "logger": "zap",
            "log-level": "warn",
            **tls,
            **{f"peer-{key}": value for key, value in tls.items()},
            "peer-trusted-ca-file": "ca.pem",
            **self.options,
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[member] = subprocess.Popen(
                ["etcd", *(f"--{key}={value}" for key, value in options.items()), "--peer-client-cert-auth"],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self, member: int) -> None:
        process = self.processes[member]
        if process:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=30)
            self.processes[member] = None

    def pause(self, member: int) -> None:
        process = self.processes[member]
        assert process
        process.send_signal(signal.SIGSTOP)

    def resume(self, member: int) -> None:
        process = self.processes[member]
        assert process
        process.send_signal(signal.SIGCONT)

    def ctl(self, *arguments: str, login: bool = True) -> str:
        """Run etcdctl as root, on all members."""
        command = ["etcdctl", f"--endpoints={','.join(self.endpoints)}", f"--cacert={self.folder}/ca.pem"]
        user = ["--user=root:password of root"] if login else []
        done = subprocess.run(
            [*command, "--command-timeout=20s", *user, *arguments],
            env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def memory_bytes(self) -> list[int]:
        """The resident memory of each member that runs."""
        statuses = [Path(f"/proc/{each.pid}/status").read_text() for each in self.processes if each]
        return [int(text.split("VmRSS:")[1].split()[0]) << 10 for text in statuses]

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("*.log")))

    def wait_until_healthy(self) -> None:
        """Return when each member has a leader and answers."""
        ends = time.monotonic() + STARTS_WITHIN_S
        for member in range(MEMBERS):
            while True:
                done = subprocess.run(
                    ["etcdctl", f"--endpoints={self.endpoint(member)}", f"--cacert={self.folder}/ca.pem",
                     "--command-timeout=3s", "endpoint", "status"],
                    env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"}, capture_output=True, check=False, timeout=30,
                )  # fmt: skip
                if done.returncode == 0:
                    break
                assert time.monotonic() < ends, self.logs()
                time.sleep(0.1)

    def add_user(self, user: str, rights: tuple[Right, ...]) -> None:
        """Add a user with a role of the same name."""
        self.ctl("role", "add", user)
        for right in rights:
            self.ctl("role", "grant-permission", user, "--prefix", right.access, right.prefix)
        self.ctl("user", "add", f"{user}:password of {user}")
        self.ctl("user", "grant-role", user, user)

    def add_nodes(self, names: Iterable[str]) -> None:
        """Add a user for each node, with a role of its own for its reports and one that all nodes have in common.

        By etcd's API: a thousand users take 17 s so, and would take minutes by a process for each call.
        """
        connection = EtcdConnection(self.access("root"))

        def grant(role: str, rights: Iterable[Right]) -> None:
            connection.call("auth/role/add", {"name": role})
            for right in rights:
                begin, end = (base64.b64encode(each.encode()).decode() for each in (right.prefix, end_of(right.prefix)))
                allowed = {"permType": right.access.upper(), "key": begin, "range_end": end}
                connection.call("auth/role/grant", {"name": role, "perm": allowed})

        common = [right for right in node_rights("any") if right.prefix != reports("any")]
        grant("nodes", common)
        for name in names:
            grant(name, [right for right in node_rights(name) if right not in common])
            connection.call("auth/user/add", {"name": name, "password": f"password of {name}"})
            for role in (name, "nodes"):
                connection.call("auth/user/grant", {"user": name, "role": role})
        connection.close()


@contextmanager
def etcd_cluster(folder: Path, host: str = "127.0.0.1", **options: str) -> Iterator[EtcdCluster]:
    """A cluster that is healthy, with authentication on, and has no users but root."""
    cluster = EtcdCluster(folder, {name.replace("_", "-"): value for name, value in options.items()}, host)
    try:
        for member in range(MEMBERS):
            cluster.start(member)
        cluster.ctl("endpoint", "health", login=False)
        cluster.ctl("user", "add", "root:password of root", login=False)
        cluster.ctl("auth", "enable", login=False)
        yield cluster
    finally:
        for member in range(MEMBERS):
            cluster.kill(member)
