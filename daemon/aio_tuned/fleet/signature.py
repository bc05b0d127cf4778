"""Ed25519 signatures of reports and class results: who made a document, and that it is not older than a known one."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from aio_tuned import extras
from aio_tuned.errors import ConfigError, FleetDataError
from aio_tuned.fleet import wire
from aio_tuned.fleet.class_status import MAX_STATUS_BYTES, ClassStatus
from aio_tuned.fleet.consensus import MAX_RESULT_BYTES, ClassResult
from aio_tuned.fleet.plan import MAX_PLAN_BYTES, ClassPlan
from aio_tuned.fleet.report import MAX_REPORT_BYTES, DriveReport

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )
except ImportError:
    raise ConfigError(f"[fleet] needs cryptography: {extras.get('python3-cryptography', 'cryptography')}") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# `{"document":…,"signature":"…"}` with 88 characters takes 116 bytes.
ENVELOPE_BYTES = 128
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64

Kind = Literal["report", "class", "plan", "status"]
_KINDS: dict[type, Kind] = {DriveReport: "report", ClassResult: "class", ClassPlan: "plan", ClassStatus: "status"}
_LIMITS = {"report": MAX_REPORT_BYTES, "class": MAX_RESULT_BYTES, "plan": MAX_PLAN_BYTES, "status": MAX_STATUS_BYTES}
_Document = TypeVar("_Document", DriveReport, ClassResult, ClassPlan, ClassStatus)
# What the coordinator signs.
_OfClass = TypeVar("_OfClass", ClassResult, ClassPlan, ClassStatus)


class SignatureError(FleetDataError):
    """A document is not signed by a trusted key, or its text is not the one that was signed."""


class ReplayError(FleetDataError):
    """A class result is older than the one that is known, or contradicts it."""


@dataclass(frozen=True, slots=True)
class Signed(Generic[_Document]):
    """A document, and the text with its signature, for those who check it again."""

    document: _Document
    text: str


def signed_bytes(kind: Kind, document: bytes) -> bytes:
    """Return what is signed: the kind before the text, so that the signature of one kind is none of another."""
    return b"aio-tuned/v1/" + kind.encode() + b"\n" + document


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; its repr shows the public one."""

    private: Ed25519PrivateKey

    @classmethod
    def from_pem(cls, pem: bytes, what: str) -> SigningKey:
        """Return the key in a PEM text without password; raise ConfigError, which names `what`, for any other text."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(
                f"{what}: not an Ed25519 private key in PEM without a password; "
                "make one with `openssl genpkey -algorithm ed25519`"
            )
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key as PEM text."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public(self) -> str:
        """The public key, as `trusted_keys` has it."""
        return _base64(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, document: _Document) -> Signed[_Document]:
        """Return the document with its signature, as its readers will see it."""
        text = document.to_json()
        signature = _base64(self.private.sign(signed_bytes(_KINDS[type(document)], text.encode())))
        # Of a report that is too long, the text has fewer points.
        return Signed(type(document).from_json(text), _envelope(text, signature))

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r})"


def _envelope(document: str, signature: str) -> str:
    return f'{{"document":{document},"signature":"{signature}"}}'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: object, size: int) -> bytes:
    """Return the bytes in a text of base64; raise ValueError if there are not `size`, or the text is another one."""
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("not base64")
    data = base64.b64decode(text, validate=True)
    if len(data) != size or _base64(data) != text:
        raise ValueError(f"not {size} bytes in base64")
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The public keys that are trusted: those of nodes for reports, those of coordinators for what they write.

    `by_node` has the keys of single nodes by their names; a report of any other node may be signed by any of `nodes`.
    """

    nodes: tuple[Ed25519PublicKey, ...]
    coordinators: tuple[Ed25519PublicKey, ...]
    by_node: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        nodes: Iterable[str] = (),
        coordinators: Iterable[str] = (),
        by_node: Mapping[str, str] | None = None,
    ) -> Keyring:
        """Return the keyring of keys in base64; raise ConfigError for one that is no key."""
        return cls(
            nodes=tuple(map(_public_key, nodes)),
            coordinators=tuple(map(_public_key, coordinators)),
            by_node={node: _public_key(key) for node, key in (by_node or {}).items()},
        )

    def read_report(self, text: str | bytes) -> Signed[DriveReport]:
        """Return the report in a signed text; raise FleetDataError if it is no report of a trusted node."""
        return _read(text, DriveReport, self._of_node)

    def read(self, text: str | bytes, of: type[_OfClass]) -> Signed[_OfClass]:
        """Return what a coordinator signed; raise FleetDataError if it is nothing of a trusted coordinator."""
        return _read(text, of, lambda _: self.coordinators)

    def read_result(self, text: str | bytes) -> Signed[ClassResult]:
        """Return the class result in a signed text; raise FleetDataError if it is none of a trusted coordinator."""
        return self.read(text, ClassResult)

    def _of_node(self, document: Any) -> tuple[Ed25519PublicKey, ...]:  # noqa: ANN401 - any JSON
        node = document.get("node") if isinstance(document, dict) else None
        own = self.by_node.get(node) if isinstance(node, str) else None
        return (own,) if own else self.nodes


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(_from_base64(text, _KEY_BYTES))
    except (ValueError, binascii.Error):
        raise ConfigError(f"trusted_keys: {text!r} is not an Ed25519 public key of 32 bytes in base64") from None


def _read(
    text: str | bytes,
    of: type[_Document],
    keys: Callable[[Any], Iterable[Ed25519PublicKey]],
) -> Signed[_Document]:
    kind = _KINDS[of]
    what = f"signed {kind}"
    limit_bytes = _LIMITS[kind] + ENVELOPE_BYTES
    if len(text) > limit_bytes:
        raise SignatureError(f"{what}: larger than {limit_bytes} bytes; it is ignored")
    try:
        found = text if isinstance(text, str) else text.decode()
        envelope: Any = json.loads(found)
        document = wire.dump(envelope["document"])
        signature = _from_base64(envelope["signature"], _SIGNATURE_BYTES)
        signed = signed_bytes(kind, document.encode())
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SignatureError(f"{what}: not a document with a signature; it is ignored") from None
    # A key that is there twice, spaces and other ways to write a value are not in the text that was signed.
    if found != _envelope(document, envelope["signature"]):
        raise SignatureError(f"{what}: not written as it was signed; it is ignored")
    if not any(_is_signed_by(key, signature, signed) for key in keys(envelope["document"])):
        raise SignatureError(f"{what}: signed by no trusted key; it is ignored")
    return Signed(of.from_json(document), found)


def _is_signed_by(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def refuse_replay(found: ClassResult, held: ClassResult | None) -> None:
    """Raise ReplayError if the result may not replace the one that is held.

    A result without newer settings keeps its generation, so the time decides within one generation. Both results are
    the coordinator's, so its clock alone matters.
    """
    if held is None:
        return
    what = f"class {found.hardware_class}"
    if found.hardware_class != held.hardware_class:
        raise ReplayError(f"{what}: not a result of class {held.hardware_class}; it is ignored")
    if found.generation < held.generation:
        raise ReplayError(f"{what}: generation {found.generation} is older than {held.generation}; it is ignored")
    if found.generation > held.generation:
        return
    if found.settings() != held.settings():
        raise ReplayError(f"{what}: generation {found.generation} has other settings than before; it is ignored")
    if found.made_at_s < held.made_at_s:
        raise ReplayError(f"{what}: made before the result that is known; it is ignored")
