"""The store on an etcd whose members fail, with certificates, passwords and tokens that do not hold."""

from __future__ import annotations

import base64
import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import Right, Slot, report, reports, slots
from aio_tuned.fleet.store import (
    ClassEntry,
    IgnoredReport,
    LoginError,
    ReportId,
    RightsError,
    TlsError,
    UnreachableError,
)
from fleet.etcd_cluster import MEMBERS, TOKEN_S, make_server
from fleet.shared_stores import COORDINATOR_KEY, KEYRING, NODE_KEY
from unit.support.fleet import class_result, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Signed
    from fleet.etcd_cluster import EtcdCluster
    from fleet.shared_stores import Fleet

# A call to a member that is paused ends after this time.
IMPATIENT: dict[str, float] = {"call_timeout_s": 1.0}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def numbered_report(fleet: Fleet, number: int = 0) -> Signed[DriveReport]:
    return NODE_KEY.sign(sweep_report("n1", drive=f"{fleet.drive}-{number}", hardware_class=fleet.hardware_class))


@pytest.fixture
def whole_again(cluster: EtcdCluster) -> Iterator[None]:
    """Start the members that a test ended."""
    yield
    for member in range(MEMBERS):
        if cluster.processes[member] is None:
            cluster.start(member)
        cluster.resume(member)
    cluster.wait_until_healthy()


# --- members ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("whole_again")
def test_each_member_may_be_killed_the_leader_among_them(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """Calls go on with the others, nothing is lost, and a claim lasts."""
    store = etcd_fleet.store("n1")
    claim = store.claim(Slot("claim", etcd_fleet.hardware_class, 0), "n1", 60)
    assert claim
    for member in range(MEMBERS):
        cluster.kill(member)
        for number in range(4):
            store.put_report(numbered_report(etcd_fleet, member * 4 + number))
        store.keep_alive(claim)
        cluster.start(member)
        cluster.wait_until_healthy()
    written = {numbered_report(etcd_fleet, number) for number in range(12)}
    assert written <= set(store.list_reports("n1"))
    assert store.holders("claim", etcd_fleet.hardware_class) == {0: "n1"}


@pytest.mark.usefixtures("whole_again")
def test_a_member_that_does_not_answer_is_left(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    store = etcd_fleet.store("n1", draw=lambda low, _high: low, **IMPATIENT)  # begins with the first member
    store.put_report(numbered_report(etcd_fleet))
    cluster.pause(0)
    store.put_report(numbered_report(etcd_fleet, 1))
    assert numbered_report(etcd_fleet, 1) in set(store.list_reports("n1"))


@pytest.mark.usefixtures("whole_again")
def test_without_a_majority_calls_give_up_and_later_ones_succeed(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    store = etcd_fleet.store("n1", give_up_s=2.0, **IMPATIENT)
    store.put_report(numbered_report(etcd_fleet))
    for member in (0, 1):
        cluster.kill(member)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="check the endpoints"):
        store.put_report(numbered_report(etcd_fleet, 1))
    assert time.monotonic() - began < 15
    for member in (0, 1):
        cluster.start(member)
    cluster.wait_until_healthy()
    store.put_report(numbered_report(etcd_fleet, 1))
    assert numbered_report(etcd_fleet, 1) in set(store.list_reports("n1"))


@pytest.mark.usefixtures("whole_again")
def test_a_watch_goes_on_with_another_member(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """What happened in between is told."""
    watcher = etcd_fleet.store("coordinator", draw=lambda low, _high: low, **IMPATIENT)
    begin = watcher.watch(None, 0).revision
    cluster.kill(0)
    etcd_fleet.store("n1").put_report(numbered_report(etcd_fleet))
    assert watcher.watch(begin, 10).reports == {("n1", numbered_report(etcd_fleet).document.drive, "sweep")}


# --- answers that are lost --------------------------------------------------------------------------------


class RepeatingConnection(EtcdConnection):
    """Loses the first answer of each transaction, and so repeats one that was carried out."""

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().call(path, body)
        return super().call(path, body) if path == "kv/txn" else answer


def test_a_claim_whose_answer_was_lost_is_held(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    store = EtcdStore(RepeatingConnection(cluster.access("n1")), KEYRING)
    slot = Slot("claim", etcd_fleet.hardware_class, 0)
    claim = store.claim(slot, "n1", 60)
    assert claim
    store.keep_alive(claim)
    assert etcd_fleet.store("n2").holders("claim", etcd_fleet.hardware_class) == {0: "n1"}


def test_a_result_whose_answer_was_lost_is_written(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    store = EtcdStore(RepeatingConnection(cluster.access("coordinator")), KEYRING)
    result = COORDINATOR_KEY.sign(class_result(hardware_class=etcd_fleet.hardware_class))
    assert store.put_class(result, ClassEntry(None, 0)) == store.get_class(etcd_fleet.hardware_class)


# --- TLS, login, rights -----------------------------------------------------------------------------------


def test_a_certificate_of_another_authority_is_refused(
    etcd_fleet: Fleet, cluster: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(cluster.folder / "ca.pem"))
    access = cluster.access("n1", ca_file=cluster.folder / "other.pem")
    store = EtcdStore(EtcdConnection(access, give_up_s=1.0), KEYRING)
    with pytest.raises(TlsError, match=r"certificate is not trusted.*check the CA file"):
        store.put_report(numbered_report(etcd_fleet))


def test_a_certificate_for_another_host_is_refused(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    endpoint = cluster.endpoint(0).replace("127.0.0.1", "localhost")
    store = EtcdStore(EtcdConnection(cluster.access("n1", endpoints=(endpoint,)), give_up_s=1.0), KEYRING)
    with pytest.raises(TlsError):
        store.put_report(numbered_report(etcd_fleet))


def test_an_expired_certificate_is_refused_until_it_is_renewed(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """Without a restart of etcd or of the programs."""
    store = etcd_fleet.store("n1", give_up_s=1.0)
    make_server(cluster.folder, *cluster.ca, lasts=-dt.timedelta(days=1))
    try:
        with pytest.raises(TlsError, match=r"certificate has expired.*check the CA file"):
            store.put_report(numbered_report(etcd_fleet))
    finally:
        make_server(cluster.folder, *cluster.ca)
    store.put_report(numbered_report(etcd_fleet))


def test_no_proxy_of_the_environment_is_used(etcd_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    etcd_fleet.store("n1", give_up_s=2.0).put_report(numbered_report(etcd_fleet))


@pytest.mark.parametrize("changes", [{"password": "another"}, {"user": "nobody"}])
def test_a_wrong_password_is_not_tried_twice(
    etcd_fleet: Fleet, cluster: EtcdCluster, changes: dict[str, object]
) -> None:
    pauses: list[float] = []
    connection = EtcdConnection(cluster.access("n1", **changes), sleep=pauses.append)
    with pytest.raises(LoginError, match="check the user and the password") as raised:
        EtcdStore(connection, KEYRING).put_report(numbered_report(etcd_fleet))
    assert pauses == []
    assert "another" not in str(raised.value)


def test_an_expired_token_is_renewed(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """In calls and in watches; etcd refuses the old one by then."""
    connections = [EtcdConnection(cluster.access(user)) for user in ("n1", "coordinator")]
    node, watcher = (EtcdStore(connection, KEYRING) for connection in connections)
    node.put_report(numbered_report(etcd_fleet))
    begin = watcher.watch(None, 0).revision
    old = connections[0]._session.headers["Authorization"]
    # JSON web tokens end at whole seconds.
    time.sleep(TOKEN_S + 1.5)
    raw = requests.post(
        f"{cluster.endpoint(0)}/v3/kv/range",
        json={"key": "YQ=="},
        headers={"Authorization": str(old)},
        verify=str(cluster.folder / "ca.pem"),
        timeout=5,
    )
    assert "invalid auth token" in raw.text
    node.put_report(numbered_report(etcd_fleet, 1))
    assert watcher.watch(begin, 10).reports == {("n1", numbered_report(etcd_fleet, 1).document.drive, "sweep")}


def test_a_change_of_the_roles_ends_no_session(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """etcd then refuses all tokens, which were made for the roles before."""
    store = etcd_fleet.store("n1")
    store.put_report(numbered_report(etcd_fleet))
    cluster.add_user("changed", (Right("read", reports("changed")),))
    store.put_report(numbered_report(etcd_fleet, 1))
    assert numbered_report(etcd_fleet, 1) in set(store.list_reports("n1"))


def test_a_right_that_is_withdrawn_is_refused_at_once(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    cluster.add_user("former", (Right("readwrite", reports("n1")),))
    store = etcd_fleet.store("former")
    store.put_report(numbered_report(etcd_fleet))
    cluster.ctl("user", "revoke-role", "former", "former")
    with pytest.raises(RightsError, match="permission denied"):
        store.put_report(numbered_report(etcd_fleet, 1))


# --- what nodes write ------------------------------------------------------------------------------------


def test_no_key_of_a_node_breaks_those_who_read(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """A node writes any bytes below its own prefix, and below that of slots."""
    watcher, node = etcd_fleet.store("coordinator"), EtcdConnection(cluster.access("n1"))
    begin = watcher.watch(None, 0).revision
    names = (b"", b"a", b"a/b/c/d", b"\xff\xfe/sweep", b"a\0/sweep", b"\x1b[2J/sweep", b"../n2/x/sweep", b"9" * 5000)
    prefixes = (reports("n1"), slots("claim", etcd_fleet.hardware_class))
    for prefix in prefixes:
        for name in names:
            key = base64.b64encode(prefix.encode() + name).decode()
            node.call("kv/put", {"key": key, "value": base64.b64encode(b"\xff\x1b").decode()})
    etcd_fleet.store("n1").put_report(numbered_report(etcd_fleet))
    ignored = [each for each in watcher.list_reports() if isinstance(each, IgnoredReport)]
    assert len(ignored) >= len(names)
    assert all(each.why.isprintable() for each in ignored)
    changes = watcher.watch(begin, 10)
    while numbered_report(etcd_fleet).document.drive not in {each.drive for each in changes.reports}:
        changes = watcher.watch(changes.revision, 10)
    for of in changes.reports:
        watcher.get_report(of)
    assert watcher.holders("claim", etcd_fleet.hardware_class) == {}
    claim = etcd_fleet.store("n2").claim(Slot("claim", etcd_fleet.hardware_class, 9), "n2", 60)
    assert claim
    assert watcher.holders("claim", etcd_fleet.hardware_class) == {9: "n2"}
    for name in names:
        begin_of = base64.b64encode(prefixes[0].encode() + name).decode()
        node.call("kv/deleterange", {"key": begin_of})


# --- many and large values, and compaction ----------------------------------------------------------------


def test_a_watch_tells_of_large_values_in_parts(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    """Which a node may write; a part may end within the changes of one revision."""
    watcher, node = etcd_fleet.store("coordinator"), EtcdConnection(cluster.access("n1"))
    begin = now = watcher.watch(None, 0).revision
    names = [ReportId("n1", f"{etcd_fleet.drive}-{number}", "sweep") for number in range(12)]
    for one, other in zip(names[::2], names[1::2], strict=True):
        puts = [{"key": encoded(report(*each)), "value": encoded("x" * 600_000)} for each in (one, other)]
        node.call("kv/txn", {"success": [{"request_put": put} for put in puts]})
    told: list[frozenset[ReportId]] = []
    while now < begin + len(names) // 2:
        changes = watcher.watch(now, 10)
        assert changes.revision > now
        now = changes.revision
        told.append(changes.reports)
    assert frozenset.union(*told) == set(names)
    assert len(told) > 1


@pytest.mark.parametrize("page", [1, 2, 5, 6])
def test_reports_are_listed_page_by_page(etcd_fleet: Fleet, cluster: EtcdCluster, page: int) -> None:
    store = EtcdStore(EtcdConnection(cluster.access("n1")), KEYRING, page)
    written = [numbered_report(etcd_fleet, number) for number in range(5)]
    for each in written:
        store.put_report(each)
    listed = [each for each in store.list_reports("n1") if each in written]
    assert listed == written


def test_a_watch_from_before_a_compaction_asks_for_a_new_list(etcd_fleet: Fleet, cluster: EtcdCluster) -> None:
    watcher = etcd_fleet.store("coordinator")
    begin = watcher.watch(None, 0).revision
    for number in range(3):
        etcd_fleet.store("n1").put_report(numbered_report(etcd_fleet, number))
    now = watcher.watch(None, 0).revision
    cluster.ctl("compact", str(now))
    changes = watcher.watch(begin, 5)
    assert not changes.complete
    assert changes.revision >= now
    key = report("n1", etcd_fleet.drive, "sweep")
    etcd_fleet.put_raw(key, "later")
    assert watcher.watch(changes.revision, 5).reports == {("n1", etcd_fleet.drive, "sweep")}
