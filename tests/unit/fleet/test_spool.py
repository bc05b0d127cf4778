"""The spool: what the daemon reads of an agent's folder, however hostile, and never more than that."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.errors import FleetDataError, PublishError
from aio_tuned.fleet import spool as spool_module
from aio_tuned.fleet.order import MAX_ORDER_BYTES, Order
from aio_tuned.fleet.report import DriveReport, Share
from aio_tuned.fleet.signature import SigningKey
from aio_tuned.fleet.spool import MOST_FILES, Spool, read_result
from aio_tuned.model.setting import DEFAULT_SETTING
from unit.support.builders import SMALL_GRID, setting
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result, direction_report, sweep_report
from unit.support.unchanged import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.fleet.consensus import ClassResult

COORDINATOR, STRANGER = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(2))
TRUSTED = (COORDINATOR.public,)
DRIVE = "nvme-ACME_X1_S123_1"
OTHER = 12345

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices and gives files away")


def order(
    drive: str = DRIVE,
    result: ClassResult | None = None,
    key: SigningKey = COORDINATOR,
    **changes: Any,  # noqa: ANN401 - any field
) -> Order:
    made = Order(
        drive=drive,
        hardware_class=CLASS,
        task="check",
        said="checking generation 1",
        result=key.sign(result).text if result else "",
        made_at_s=NOW_S,
    )
    return replace(made, **changes)


def presence(**changes: Any) -> DriveReport:  # noqa: ANN401
    return replace(sweep_report(), **{"basis": "presence", "read": None, "about": "ACME X1, 1 TB", **changes})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "state")
    made.make(None)
    return made


def refusal(spool: Spool) -> str:
    """Return the one sentence on the one file that is refused, while the order beside it is still read."""
    spool.write_order(order("beside"))
    found, refused = spool.orders()
    assert found == {"beside": order("beside")}
    assert len(refused) == 1
    assert refused[0].isprintable()
    assert refused[0].startswith(str(spool.inn))
    return refused[0]


# --- both sides -------------------------------------------------------------------------------------------


def test_orders_and_reports_are_read_as_they_were_written(spool: Spool) -> None:
    orders = [order("a", class_result()), order("b.sweep", task="wait", said="waiting for class …: 2 of 3 swept")]
    for each in orders:
        spool.write_order(each)
    assert spool.orders() == ({each.drive: each for each in orders}, ())
    sweep, other = sweep_report(drive="a"), presence(drive="b.sweep")
    spool.write(replace(sweep, sent_s=NOW_S))
    spool.write(other)
    assert spool.reports() == (sweep, other)
    assert spool.reports_of("a") == {"sweep": sweep}
    assert (spool.out / "a.sweep.json").read_text() == sweep.to_json()


def test_the_longest_name_of_a_drive_is_read(spool: Spool) -> None:
    for drive in ("d" * 200, "Ü" * 100):
        spool.write(presence(drive=drive))
        spool.write_order(order(drive))
        assert [*spool.reports_of(drive)] == ["presence"]
        assert drive in spool.orders()[0]


def test_a_spool_that_is_not_there_is_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.orders() == ({}, ())
    assert spool.reports() == ()
    spool.remove(DRIVE)
    spool.keep_orders([])
    with pytest.raises(PublishError, match=r"in/d\.json: cannot be written"):
        spool.write_order(order("d"))


# --- the daemon's side ------------------------------------------------------------------------------------


def test_the_folders_are_for_all_to_read_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        Spool(tmp_path).make(None)
    finally:
        os.umask(old)
    for name in ("fleet", "fleet/out", "fleet/in"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o755


@needs_root
def test_the_agent_gets_its_folder_and_no_other(spool: Spool) -> None:
    spool.inn.chmod(0o777)
    spool.make(OTHER)
    spool.make(None)
    assert [folder.stat().st_uid for folder in (spool.inn, spool.out, spool.out.parent)] == [OTHER, 0, 0]
    assert stat.S_IMODE(spool.inn.stat().st_mode) == 0o755


def test_no_folder_is_made_where_a_link_leads(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "fleet").symlink_to(elsewhere)
    with pytest.raises(PublishError, match=r"fleet: cannot be made: Not a directory; run install -d -m 755 -o \d+ "):
        Spool(tmp_path).make(None)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700


def test_a_report_replaces_that_of_its_basis(spool: Spool) -> None:
    later = sweep_report(at_s=NOW_S + 5)
    for each in (sweep_report(), presence(), later):
        spool.write(each)
    assert spool.reports_of(DRIVE) == {"sweep": later, "presence": presence()}


def test_a_presence_keeps_the_time_of_its_last_change(spool: Spool) -> None:
    spool.write(presence())
    spool.write(presence(at_s=NOW_S + 5))
    assert spool.reports_of(DRIVE)["presence"].at_s == NOW_S
    spool.write(presence(at_s=NOW_S + 9, state="stale"))
    assert spool.reports_of(DRIVE)["presence"].at_s == NOW_S + 9


def test_a_report_that_is_there_already_is_not_written_again(spool: Spool) -> None:
    part = direction_report(best=POINTS)
    report = sweep_report(drive="d" * 200, read=part, write=part)
    spool.write(report)
    before = (spool.out / f"{'d' * 200}.sweep.json").stat().st_ino
    spool.write(report)
    assert (spool.out / f"{'d' * 200}.sweep.json").stat().st_ino == before


def test_the_reports_of_a_drive_are_removed_and_no_others(spool: Spool) -> None:
    for each in (sweep_report(), presence(), presence(drive="another")):
        spool.write(each)
    spool.remove(DRIVE)
    assert spool.reports() == (presence(drive="another"),)


@pytest.mark.parametrize("name", ["x.sweep.json", f"{DRIVE}.check.json", "x.json", ".hidden.json"])
def test_a_damaged_or_moved_report_is_as_none(spool: Spool, name: str) -> None:
    (spool.out / name).write_text(sweep_report().to_json())
    (spool.out / f"{DRIVE}.presence.json").write_text("{")
    assert spool.reports() == ()
    spool.write(presence())
    assert spool.reports() == (presence(),)


# --- the agent's side -------------------------------------------------------------------------------------


def test_orders_of_drives_that_are_gone_are_removed(spool: Spool) -> None:
    for drive in ("a", "b"):
        spool.write_order(order(drive))
    (spool.inn / ".b.json.abcdefgh").touch()
    os.utime(spool.inn / ".b.json.abcdefgh", (0, 0))
    (spool.inn / "notes").touch()
    spool.keep_orders(["a"])
    assert sorted(path.name for path in spool.inn.iterdir()) == ["a.json", "notes"]


def test_an_order_that_the_daemon_would_refuse_is_not_written(spool: Spool) -> None:
    with pytest.raises(FleetDataError, match="said"):
        spool.write_order(order(said="a\nb"))
    assert spool.orders() == ({}, ())


# --- an agent that attacks --------------------------------------------------------------------------------


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o644, os.makedev(1, 5))  # /dev/zero


def _socket(path: Path) -> None:
    # The address of a socket has 107 bytes at most, and the folder of a test may have a longer path.
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _link(path: Path) -> None:
    secret = path.parents[2] / "secret"
    secret.write_text(order().to_json())
    path.symlink_to(secret)


def _hard_link(path: Path) -> None:
    secret = path.parents[2] / "secret"
    secret.write_text(order().to_json())
    path.hardlink_to(secret)


def _others_write(path: Path) -> None:
    path.write_text(order().to_json())
    path.chmod(0o666)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def _of_another(path: Path) -> None:
    path.write_text(order().to_json())
    os.chown(path, OTHER, -1)


_HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a link": (_link, "not a regular file"),
    "a link to itself": (lambda path: path.symlink_to(path), "not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("/nonexistent"), "not a regular file"),
    "a hard link": (_hard_link, "has 2 links"),
    "a named pipe": (os.mkfifo, "not a regular file"),
    "a socket": (_socket, "not a regular file"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "a file that others write": (_others_write, "writable by other users (mode 0666)"),
    "a large file": (lambda path: path.write_bytes(b" " * (MAX_ORDER_BYTES + 1)), "larger than 65536 bytes"),
    "a file that takes no space": (_sparse, "larger than 65536 bytes"),
    "an empty file": (lambda path: path.touch(), "not valid JSON"),
    "no JSON": (lambda path: path.write_bytes(b"\xff{"), "not valid JSON"),
    "brackets": (lambda path: path.write_bytes(b"[" * MAX_ORDER_BYTES), "not valid JSON"),
    "digits": (lambda path: path.write_bytes(b'{"schema":' + b"9" * 60_000), "not valid JSON"),
    "an order for another drive": (lambda path: path.write_text(order("x").to_json()), "is an order for x"),
}
_HOSTILE_OF_ROOT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a device": (_device, "not a regular file"),
    "a file of another user": (_of_another, "owned by user 12345, and its folder by user 0"),
}


@pytest.mark.parametrize(("make", "why"), _HOSTILE.values(), ids=_HOSTILE.keys())
def test_a_hostile_file_is_refused_in_a_sentence(spool: Spool, make: Callable[[Path], Any], why: str) -> None:
    make(spool.inn / f"{DRIVE}.json")
    before = state_of(spool.inn / f"{DRIVE}.json")
    said = refusal(spool)
    assert why in said
    assert said.startswith(f"{spool.inn / DRIVE}.json: ")
    assert state_of(spool.inn / f"{DRIVE}.json") == before


@needs_root
@pytest.mark.parametrize(("make", "why"), _HOSTILE_OF_ROOT.values(), ids=_HOSTILE_OF_ROOT.keys())
def test_a_file_that_only_root_makes_is_refused(spool: Spool, make: Callable[[Path], Any], why: str) -> None:
    make(spool.inn / f"{DRIVE}.json")
    assert why in refusal(spool)


@needs_root
def test_the_agents_files_and_roots_are_read(spool: Spool) -> None:
    spool.make(OTHER)
    for drive in ("a", "b"):
        spool.write_order(order(drive))
    os.chown(spool.inn / "a.json", OTHER, -1)
    assert spool.orders() == ({"a": order("a"), "b": order("b")}, ())


def test_a_file_of_64_kib_is_read_and_one_of_a_byte_more_is_not(spool: Spool) -> None:
    text = order().to_json()
    file = spool.inn / f"{DRIVE}.json"
    file.write_text(text + " " * (MAX_ORDER_BYTES - len(text.encode())))
    assert spool.orders() == ({DRIVE: order()}, ())
    file.write_text(text + " " * (MAX_ORDER_BYTES + 1 - len(text.encode())))
    assert "larger than 65536 bytes" in refusal(spool)


@pytest.mark.parametrize(
    "name", ["\x1b[2J.json", "a\nb.json", "\u202e.json", "\udcff.json", "notes", ".json.x", "a.JSON", "é" * 100 + "\n"]
)
def test_a_file_with_an_odd_name_is_refused_in_a_sentence_that_can_be_shown(spool: Spool, name: str) -> None:
    (spool.inn / name).write_text(order().to_json())
    if name[0] == ".":
        assert spool.orders() == ({}, ())
    else:
        assert "in it is not a file of the spool; it is ignored" in refusal(spool)


def test_more_files_than_256_cost_no_more(spool: Spool) -> None:
    for number in range(MOST_FILES):
        spool.write_order(order(f"d{number}"))
    assert len(spool.orders()[0]) == MOST_FILES
    for number in range(3000):
        (spool.inn / f"x{number}.json").touch()
    found, refused = spool.orders()
    assert len(found) + len(refused) == MOST_FILES + 1
    assert f"{spool.inn}: has more than 256 files; the others are not read" in refused


def test_hidden_files_are_none_but_are_counted(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        (spool.inn / f".{number}").touch()
    read: list[str] = []
    real = os.scandir

    def seen(entry: os.DirEntry[str]) -> os.DirEntry[str]:
        read.append(entry.name)
        return entry

    @contextlib.contextmanager
    def counting(of: int) -> Any:  # noqa: ANN401
        with real(of) as entries:
            yield (seen(entry) for entry in entries)

    monkeypatch.setattr(os, "scandir", counting)
    assert spool.orders() == (
        {},
        (f"{spool.inn}: has more than 256 files; the others are not read",),
    )
    assert len(read) == MOST_FILES + 1


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/"), lambda path: path.touch(), os.mkfifo])
def test_a_folder_that_is_none_is_not_read(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    (tmp_path / "fleet").mkdir()
    make(tmp_path / "fleet/in")
    found, refused = Spool(tmp_path).orders()
    assert not found
    assert [*refused] == [f"{tmp_path}/fleet/in: cannot be opened: Not a directory; it is ignored"]


def test_a_folder_that_others_write_is_not_read(spool: Spool) -> None:
    spool.write_order(order())
    spool.inn.chmod(0o777)
    found, refused = spool.orders()
    assert not found
    assert [*refused] == [f"{spool.inn}: writable by other users (mode 0777); it is ignored"]


def _after(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], Any]) -> None:
    """Run `act` once, after the next call of an os function for a file of the spool."""
    real = getattr(os, name)
    pending = [act]

    def call(path: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        found = real(path, *args, **kwargs)
        if str(path).endswith(".json") and pending:
            pending.pop()()
        return found

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_link, "cannot be read: Too many levels of symbolic links"),
        (os.mkfifo, "not a regular file"),
        (_hard_link, "has 2 links"),
        (lambda path: path.mkdir(), "not a regular file"),
        (_socket, "cannot be read: No such device or address"),
        (lambda path: path.write_bytes(b" " * (1 << 20)), "larger than 65536 bytes"),
        (lambda _: None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_replaced_before_it_is_opened_is_refused(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any], why: str
) -> None:
    spool.write_order(order())
    file = spool.inn / f"{DRIVE}.json"

    def swap() -> None:
        file.unlink()
        make(file)

    _after(monkeypatch, "stat", swap)
    opened = len([*Path("/proc/self/fd").iterdir()])
    _, refused = spool.orders()
    assert len(refused) == 1
    assert why in refused[0]
    assert len([*Path("/proc/self/fd").iterdir()]) == opened


def test_a_file_that_is_replaced_after_it_was_opened_is_read_as_it_was(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent replaces its orders by renames, at any moment."""
    spool.write_order(order())
    _after(monkeypatch, "open", lambda: Spool(spool.inn.parents[1]).write_order(order(task="wait")))
    assert spool.orders() == ({DRIVE: order()}, ())
    assert spool.orders() == ({DRIVE: order(task="wait")}, ())


def test_a_file_that_grows_while_it_is_read_is_refused(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.write_order(order())
    real = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if stat.S_ISREG(status.st_mode):
            os.truncate(spool.inn / f"{DRIVE}.json", 1 << 40)
        return status

    monkeypatch.setattr(os, "fstat", grow)
    assert "larger than 65536 bytes" in spool.orders()[1][0]


def test_the_owner_of_a_lease_does_not_stop_the_daemon(spool: Spool) -> None:
    """Without O_NONBLOCK, opening a file waits for 45 s until its owner gives a lease up."""
    spool.write_order(order())
    old = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with (spool.inn / f"{DRIVE}.json").open("r+") as held:
        try:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            pytest.skip(f"the filesystem has no leases: {error}")
        try:
            assert "cannot be read: Resource temporarily unavailable" in refusal(spool)
        finally:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            signal.signal(signal.SIGIO, old)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)
_NAMES = st.text(st.characters(exclude_characters="\0/", codec=None), min_size=1, max_size=40).map(
    lambda name: name.encode("utf-8", "replace").decode()
)


@given(st.dictionaries(_NAMES.map(lambda name: f"{name}.json") | _NAMES, st.binary(max_size=300), max_size=5))
def test_any_files_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    spool = Spool(tmp_path_factory.mktemp("state"))
    spool.make(None)
    for name, content in files.items():
        if name not in (".", ".."):
            (spool.inn / name).write_bytes(content)
    found, refused = spool.orders()
    assert not found
    assert len(refused) == sum(name[0] != "." for name in files)
    assert all(sentence.isprintable() for sentence in refused)


@given(st.sampled_from([*json.loads(order().to_json()), "result", "more"]), _JSON)
def test_any_value_in_an_order_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    spool = Spool(tmp_path_factory.mktemp("state"))
    spool.make(None)
    text = json.dumps(json.loads(order().to_json()) | {key: value})
    (spool.inn / f"{DRIVE}.json").write_text(text)
    found, refused = spool.orders()
    assert len(found) + len(refused) == 1
    for each in found.values():
        with contextlib.suppress(FleetDataError):
            read_result(each, TRUSTED)
            pytest.fail("no trusted key signed this")


# --- class results ----------------------------------------------------------------------------------------


def test_a_signed_result_is_read(spool: Spool) -> None:
    spool.write_order(order(result=class_result(3)))
    assert read_result(spool.orders()[0][DRIVE], TRUSTED, SMALL_GRID) == class_result(3)
    turned = replace(SMALL_GRID, queue_depth=SMALL_GRID.queue_depth[::-1])
    assert read_result(spool.orders()[0][DRIVE], (STRANGER.public, *TRUSTED), turned) == class_result(3)


_OUTSIDE = setting(depth=7)
_RESULTS = {
    "no result": (order(), TRUSTED, "class result of nvme-ACME_X1_S123_1: is missing in the order"),
    "a stranger's": (order(result=class_result(), key=STRANGER), TRUSTED, "signed by no trusted key"),
    "no trusted key": (order(result=class_result()), (), "signed by no trusted key"),
    "a key that is none": (order(result=class_result()), ("AAAA",), "'AAAA' is not an Ed25519 public key"),
    "of another class": (
        order(result=class_result(hardware_class="f" * 16)),
        TRUSTED,
        f"class {'f' * 16} generation 1: not a result of class {CLASS}; it is ignored",
    ),
    "another grid": (
        order(result=class_result(grid=replace(SMALL_GRID, queue_depth=(4, 32, 64)))),
        TRUSTED,
        "has another grid than this node",
    ),
    "disagreeing sweeps": (order(result=class_result(disagreement="2 of 3 agree")), TRUSTED, "disagree: 2 of 3 agree"),
    "a setting outside": (
        order(result=class_result(1, _OUTSIDE)),
        TRUSTED,
        "a setting is not of its grid: queue_depth",
    ),
    "a challenger outside": (
        order(result=class_result(read=replace(class_result().read, challengers=(Share(_OUTSIDE, 9000),)))),  # type: ignore[type-var]
        TRUSTED,
        "a setting is not of its grid: queue_depth",
    ),
}


@pytest.mark.parametrize(("given_", "keys", "why"), _RESULTS.values(), ids=_RESULTS.keys())
def test_a_result_that_is_not_for_this_drive_is_refused(given_: Order, keys: tuple[str, ...], why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        read_result(given_, keys, SMALL_GRID)
    assert why in str(refused.value)


def test_the_default_setting_is_of_every_grid() -> None:
    assert DEFAULT_SETTING not in POINTS
    assert read_result(order(result=class_result(1, DEFAULT_SETTING)), TRUSTED).settings()[0] == DEFAULT_SETTING


def test_a_changed_result_is_refused(spool: Spool) -> None:
    text = order(result=class_result(3)).to_json()
    (spool.inn / f"{DRIVE}.json").write_text(text.replace('"generation":3', '"generation":4'))
    with pytest.raises(FleetDataError, match="no trusted key"):
        read_result(spool.orders()[0][DRIVE], TRUSTED)


def test_without_cryptography_the_sentence_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aio_tuned.fleet.signature")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(FleetDataError) as refused:
        read_result(order(result=class_result()), TRUSTED)
    assert "its signature cannot be checked: [fleet] needs cryptography: apt-get install" in str(refused.value)


def test_the_spool_is_read_without_cryptography() -> None:
    assert "signature" not in vars(spool_module)
