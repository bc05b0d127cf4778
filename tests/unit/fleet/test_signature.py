"""Signatures: what was signed is what is read, by a key that is trusted for its kind, and never an older generation."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from aio_tuned.errors import ConfigError, FleetDataError
from aio_tuned.fleet import signature
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.plan import ClassPlan
from aio_tuned.fleet.report import MAX_REPORT_BYTES
from aio_tuned.fleet.signature import Keyring, ReplayError, SignatureError, SigningKey
from unit.support.fleet import POINTS, class_plan, class_result, class_status, direction_report, sweep_report

NODE, COORDINATOR, STRANGER = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(3))
KEYRING = Keyring.of(nodes=[NODE.public], coordinators=[COORDINATOR.public])


def test_a_signed_report_and_a_signed_result_are_read_back() -> None:
    report, result = sweep_report(), class_result()
    assert KEYRING.read_report(NODE.sign(report).text).document == report
    assert KEYRING.read_result(COORDINATOR.sign(result).text).document == result


def test_a_signed_plan_and_a_signed_status_are_read_back() -> None:
    assert KEYRING.read(COORDINATOR.sign(class_plan()).text, ClassPlan).document == class_plan()
    assert KEYRING.read(COORDINATOR.sign(class_status()).text, ClassStatus).document == class_status()


def test_a_signature_takes_the_room_that_reports_leave_for_it() -> None:
    text = NODE.sign(sweep_report()).text
    assert len(text) - len(sweep_report().to_json()) <= 1024 - MAX_REPORT_BYTES


@pytest.mark.parametrize("key", [STRANGER, COORDINATOR])
def test_a_report_by_a_key_that_is_not_trusted_for_reports_is_refused(key: SigningKey) -> None:
    with pytest.raises(SignatureError, match="no trusted key"):
        KEYRING.read_report(key.sign(sweep_report()).text)


def test_a_nodes_key_signs_no_class_result() -> None:
    with pytest.raises(SignatureError, match="no trusted key"):
        KEYRING.read_result(NODE.sign(class_result()).text)


def test_with_one_key_for_both_a_signature_still_counts_for_its_kind_alone() -> None:
    """Else a field that both kinds have could turn one into the other."""
    both = Keyring.of(nodes=[NODE.public], coordinators=[NODE.public])
    envelope = json.loads(NODE.sign(sweep_report()).text)
    moved = json.dumps({"document": json.loads(class_result().to_json()), "signature": envelope["signature"]})
    for text in (NODE.sign(sweep_report()).text, moved.replace(" ", "")):
        with pytest.raises(FleetDataError):
            both.read_result(text)


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    document = sweep_report().to_json().encode()
    assert len({signature.signed_bytes(kind, document) for kind in get_args(signature.Kind)}) == 4


def test_a_status_is_read_as_nothing_else() -> None:
    text = COORDINATOR.sign(class_status()).text
    with pytest.raises(SignatureError, match="no trusted key"):
        KEYRING.read(text, ClassPlan)
    with pytest.raises(SignatureError, match="no trusted key"):
        KEYRING.read_result(text)


def test_a_nodes_key_signs_no_plan_and_no_status() -> None:
    with pytest.raises(SignatureError, match="no trusted key"):
        KEYRING.read(NODE.sign(class_plan()).text, ClassPlan)
    with pytest.raises(SignatureError, match="no trusted key"):
        KEYRING.read(NODE.sign(class_status()).text, ClassStatus)


def test_a_node_with_a_key_of_its_own_is_trusted_by_no_other() -> None:
    """And its key for no other node."""
    keyring = Keyring.of(nodes=[NODE.public], by_node={"n2": STRANGER.public})
    by_hers, by_common = (key.sign(sweep_report("n2")).text for key in (STRANGER, NODE))
    assert keyring.read_report(by_hers).document.node == "n2"
    assert keyring.read_report(NODE.sign(sweep_report("n1")).text).document.node == "n1"
    for text in (by_common, STRANGER.sign(sweep_report("n1")).text):
        with pytest.raises(SignatureError, match="no trusted key"):
            keyring.read_report(text)


@pytest.mark.parametrize("document", ["7", "[]", "{}", '{"node":7}', '{"node":["n1"]}'])
def test_a_report_without_a_node_has_the_common_keys(document: str) -> None:
    text = signature._envelope(document, NODE.sign(sweep_report()).text[-90:-2])
    with pytest.raises(SignatureError, match="no trusted key"):
        Keyring.of(nodes=[NODE.public], by_node={"n1": NODE.public}).read_report(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"node":"n1"', '"node":"n2"'),
        lambda text: text.replace('"node":"n1"', '"node":"n2","node":"n1"'),
        lambda text: text.replace(":", ": ", 1),
        lambda text: text + "\n",
        lambda text: text.replace("rack-7", "\\u0072ack-7"),
        lambda text: text.replace('"signature":"', '"signature":"A'),
        lambda text: text[:-5] + chr(ord(text[-5]) + 1) + '=="}',  # bits of base64 that decoders drop
        lambda text: text[:-2] + '","more":1}',
        lambda text: text.replace("1800000000", "1800000000.0"),
    ],
)
def test_a_text_that_is_not_byte_for_byte_what_was_signed_is_refused(change: object) -> None:
    text = NODE.sign(sweep_report()).text
    changed = change(text)  # type: ignore[operator]
    assert changed != text
    with pytest.raises(FleetDataError):
        KEYRING.read_report(changed)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b'{"document":{}}',
        b'{"document":7,"signature":"x"}',
        b'{"document":{"a":1e999},"signature":"x"}',
        b'{"document":{"a":NaN},"signature":"x"}',
        b"[" * 100_000,
        b'{"document":{"a":' + b"9" * 5000 + b'},"signature":"x"}',
        b" " * (1 << 20),
        b'{"document":{"a":"\\ud800"},"signature":"x"}',
    ],
)
def test_no_foreign_text_breaks_the_reader(text: bytes) -> None:
    for read in (KEYRING.read_report, KEYRING.read_result):
        with pytest.raises(FleetDataError):
            read(text)


def test_a_text_as_long_as_the_limit_is_read_and_a_longer_one_is_not() -> None:
    report = sweep_report(drive="d" * 200)
    assert KEYRING.read_report(NODE.sign(report).text).document == report
    with pytest.raises(SignatureError, match="larger than 1024 bytes"):
        KEYRING.read_report(NODE.sign(sweep_report()).text + " " * 1024)


def test_best_points_that_do_not_fit_are_not_in_what_was_signed() -> None:
    """The signed document is the one that its readers see."""
    report = sweep_report(drive="d" * 200, read=direction_report(best=POINTS), write=direction_report(best=POINTS))
    signed = NODE.sign(report)
    assert KEYRING.read_report(signed.text) == signed


# --- replays ----------------------------------------------------------------------------------------------


def test_a_newer_generation_is_taken_and_an_older_one_is_not() -> None:
    signature.refuse_replay(class_result(1), None)
    signature.refuse_replay(class_result(8), class_result(7))
    with pytest.raises(ReplayError, match="generation 6 is older than 7"):
        signature.refuse_replay(class_result(6), class_result(7))


def test_one_generation_has_one_setting() -> None:
    held = class_result(7)
    signature.refuse_replay(replace(held, disagreement="only 2 of 3 sweeps agree", made_at_s=held.made_at_s + 1), held)
    with pytest.raises(ReplayError, match="generation 7 has other settings"):
        signature.refuse_replay(class_result(7, POINTS[3]), held)


def test_an_older_state_of_one_generation_is_a_replay() -> None:
    held = class_result(7)
    with pytest.raises(ReplayError, match="made before"):
        signature.refuse_replay(replace(held, made_at_s=held.made_at_s - 1), held)


def test_a_result_of_another_class_replaces_none() -> None:
    with pytest.raises(ReplayError, match="class fedcba9876543210"):
        signature.refuse_replay(class_result(8, hardware_class="fedcba9876543210"), class_result(7))


# --- keys -------------------------------------------------------------------------------------------------


def test_a_signing_key_is_read_from_pem() -> None:
    pem = NODE.to_pem()
    assert SigningKey.from_pem(pem, "key").public == NODE.public


def test_a_signing_key_is_not_in_its_repr() -> None:
    secret = NODE.private.private_bytes_raw().hex()
    assert secret not in repr(NODE)
    assert NODE.public in repr(NODE)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"not a key",
        generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        ),
    ],
)
def test_other_keys_are_refused_by_name(pem: bytes) -> None:
    with pytest.raises(ConfigError, match=r"signing\.pem: not an Ed25519 private key"):
        SigningKey.from_pem(pem, "signing.pem")


@pytest.mark.parametrize(
    "key",
    ["", "AAAA", "é", "A" * 44, NODE.public + "\n", NODE.public[:-1]],
    ids=["empty", "short", "not ASCII", "33 bytes", "line end", "no padding"],  # the keys are random
)
def test_a_trusted_key_is_32_bytes_in_base64(key: str) -> None:
    with pytest.raises(ConfigError, match="trusted_keys"):
        Keyring.of(nodes=[key], coordinators=[])


def test_without_the_package_the_error_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "aio_tuned.fleet.signature")
    with pytest.raises(ConfigError, match=r"apt-get install python3-cryptography, or .* -m pip install cryptography"):
        importlib.import_module("aio_tuned.fleet.signature")
