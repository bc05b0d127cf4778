"""What the store on Kubernetes does beyond the contract, on a stand-in for the API server. No real one was called."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.keys import Slot
from aio_tuned.fleet.pin import Pin
from aio_tuned.fleet.plan import ClassPlan
from aio_tuned.fleet.rollout import Rollout
from aio_tuned.fleet.signature import Signed
from aio_tuned.fleet.store import (
    ClaimLostError,
    FullError,
    LoginError,
    ReportId,
    RightsError,
    StoreError,
    UnreachableError,
)
from fleet.kube_api import Fault, KubeApi, kube_api
from fleet.kube_manifests import Kinds, User
from fleet.kube_stores import ADMIN, TOKENS, connection, kube_store
from fleet.shared_stores import COORDINATOR_KEY, KEYRING, NODE_KEY
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.fleet.kubernetes_store import KubernetesStore
    from aio_tuned.fleet.report import DriveReport

CLAIM = Slot("claim", CLASS, 0)
CLASS_PATH = f"/apis/aio-tuned.io/v1alpha1/driveclasses/{CLASS}"
REPORTS_PATH = "/apis/aio-tuned.io/v1alpha1/drivereports"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def api(stack: ExitStack) -> KubeApi:
    return stack.enter_context(kube_api(TOKENS))


class Stores:
    """The stores of a test by their users."""

    def __init__(self, api: KubeApi, stack: ExitStack) -> None:
        self._api = api
        self._stack = stack

    def __call__(self, user: str, **changes: Any) -> KubernetesStore:  # noqa: ANN401 - of the connection
        return kube_store(self._api, user, KEYRING, self._stack, **changes)

    def admin(self) -> Any:  # noqa: ANN401 - a connection
        return connection(self._api, ADMIN, self._stack)


@pytest.fixture
def stores(api: KubeApi, stack: ExitStack) -> Stores:
    return Stores(api, stack)


def report(node: str = "n1", **changes: Any) -> Signed[DriveReport]:  # noqa: ANN401 - any field
    return NODE_KEY.sign(sweep_report(node, **changes))


def result(generation: int = 1) -> Any:  # noqa: ANN401 - signed
    return COORDINATOR_KEY.sign(class_result(generation, POINTS[generation % 8]))


def plan(generation: int = 1) -> Signed[ClassPlan]:
    return COORDINATOR_KEY.sign(
        ClassPlan(
            hardware_class=CLASS,
            swept=3,
            wanted=3,
            open_slots=(0,),
            racks=("rack-7",),
            generation=generation,
            result_made_at_s=NOW_S,
            rollout=None,
            made_at_s=NOW_S,
        )
    )


def status(**changes: Any) -> Signed[ClassStatus]:  # noqa: ANN401 - any field
    made = ClassStatus(
        hardware_class=CLASS,
        about="ACME X1 3.84 TB",
        generation=1,
        nodes=10,
        drives=80,
        confirmed=70,
        refused=1,
        waiting=9,
        stale=0,
        ignored=0,
        swept=3,
        wanted=3,
        rollout=None,
        decision="all nodes have it",
        disagreement="",
        pinned="",
        noted=(),
        made_at_s=NOW_S,
    )
    return COORDINATOR_KEY.sign(replace(made, **changes))


def pin(**changes: Any) -> Pin:  # noqa: ANN401 - any field
    made = Pin(hardware_class=CLASS, read=POINTS[3], write=None, combined=None, by="jo", why="a test", at_s=NOW_S)
    return replace(made, **changes)


# --- objects ----------------------------------------------------------------------------------------------


def test_a_report_goes_with_its_node(stores: Stores) -> None:
    stores("n1").put_report(report())
    found = stores.admin().call("GET", f"{REPORTS_PATH}/n1")
    assert found["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-of-n1"}
    ]
    assert found["spec"]["newest"] == "nvme-ACME_X1_S123_1/sweep"


def test_a_node_has_all_its_reports_in_one_object_of_a_limited_size(stores: Stores) -> None:
    store = stores("n1")
    for number in range(80):
        store.put_report(report(drive=f"nvme-ACME_X1_S{number}_1"))
    with pytest.raises(FullError, match="kubectl delete drivereport n1"):
        store.put_report(report(drive="nvme-ACME_X1_S80_1"))
    assert len(list(stores("coordinator").list_reports("n1"))) == 80
    assert len(str(stores.admin().call("GET", f"{REPORTS_PATH}/n1"))) < 256 << 10


def test_a_name_that_no_node_can_have_is_not_sent(api: KubeApi, stores: Stores) -> None:
    with pytest.raises(StoreError, match=r"node '\.\./x': .*; give \[fleet\] node the name of the Node"):
        stores("coordinator").get_report(ReportId("../x", "d", "sweep"))
    assert api.calls == []


def test_a_class_tells_operators_how_it_is(stores: Stores) -> None:
    store = stores("coordinator")
    store.put_class(result(), store.get_class(CLASS))
    store.put_status(status())
    assert list(stores("operator").list_statuses()) == [status()]
    found = stores.admin().call("GET", CLASS_PATH)["status"]
    assert found["settings"] == {"read": "128K x 4 x 1, 6.00 GB/s", "combined": "128K x 4 x 1"}
    assert (found["about"], found["drives"], found["confirmed"], found["reached"]) == (
        "ACME X1 3.84 TB",
        80,
        70,
        "100 %",
    )
    conditions = {each["type"]: (each["status"], each["reason"]) for each in found["conditions"]}
    assert conditions == {
        "Ready": ("True", "Settled"),
        "RollingOut": ("False", "AllNodes"),
        "Disagreement": ("False", "SweepsAgree"),
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"generation": 0}, ("False", "NoResult", "False", "False", "")),
        ({"disagreement": "n1 differs"}, ("False", "Disagreement", "False", "True", "100 %")),
        ({"rollout": 0}, ("False", "RollingOut", "True", "False", "1 %")),
        ({"rollout": 2}, ("True", "Settled", "False", "False", "100 %")),
    ],
)
def test_the_conditions_are_those_of_the_class(
    stores: Stores, changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    if "rollout" in changes:
        changes = {"rollout": rollout(changes["rollout"])}
    stores("coordinator").put_status(status(**changes))
    found = stores.admin().call("GET", CLASS_PATH)["status"]
    ready, rolling, disagreement = found["conditions"]
    assert (ready["status"], ready["reason"], rolling["status"], disagreement["status"], found["reached"]) == expected


def rollout(step: int) -> Rollout:
    fields: dict[str, Any] = {"hardware_class": CLASS, "generation": 1, "since_s": NOW_S}
    given = {name: fields.get(name, 0) for name in Rollout.__dataclass_fields__}
    return Rollout(**{**given, "step": step, **({"first": "n1"} if "first" in given else {})})


def test_a_condition_tells_since_when_it_is_so(api: KubeApi, stores: Stores) -> None:
    store = stores("coordinator")
    times = []
    for disagreement in ("n1 differs", "n2 differs", ""):
        store.put_status(status(disagreement=disagreement))
        conditions = stores.admin().call("GET", CLASS_PATH)["status"]["conditions"]
        times.append({each["type"]: each["lastTransitionTime"] for each in conditions})
        api.ahead_s += 60
    assert times[0]["Disagreement"] == times[1]["Disagreement"] < times[2]["Disagreement"]
    assert times[0]["RollingOut"] == times[2]["RollingOut"]


def test_every_column_shows_a_field_of_the_schema() -> None:
    for version in Kinds().versions.values():
        for column in version["additionalPrinterColumns"]:
            schema = version["schema"]["openAPIV3Schema"]
            if column["type"] == "date":
                assert column["jsonPath"] == ".metadata.creationTimestamp"
                continue
            for key in column["jsonPath"].partition("[")[0].strip(".").split("."):
                schema = schema["properties"][key]
            assert schema["type"] == ("array" if "[" in column["jsonPath"] else column["type"])


# --- pins -------------------------------------------------------------------------------------------------


def test_a_pin_is_written_by_operators_alone(stores: Stores) -> None:
    operator, coordinator = stores("operator"), stores("coordinator")
    assert coordinator.get_pin(CLASS) is None
    operator.put_pin(pin())
    assert coordinator.get_pin(CLASS) == pin()
    operator.put_pin(pin(write=POINTS[1], restores=4))
    assert coordinator.get_pin(CLASS) == pin(write=POINTS[1], restores=4)
    for store in (coordinator, stores("n1")):
        with pytest.raises(RightsError):
            store.put_pin(pin())
    assert operator.delete_pin(CLASS)
    assert not operator.delete_pin(CLASS)
    assert coordinator.get_pin(CLASS) is None


def test_a_pin_by_kubectl_patch_needs_the_setting_alone(api: KubeApi, stores: Stores) -> None:
    api.ahead_s = 1000.0
    stores("operator").put_pin(pin())
    stores("operator").delete_pin(CLASS)
    setting = {
        "blockSize": 1048576, "queueDepth": 32, "ioParallelism": 4, "overlapEvents": True, "singleSubmit": False,
    }  # fmt: skip
    stores.admin().patch(CLASS_PATH, {"spec": {"pin": {"read": setting}}})
    found = stores("coordinator").get_pin(CLASS)
    assert found
    assert found.read
    assert (found.read.block_size, found.read.queue_depth, found.read.overlap_events) == (1048576, 32, True)
    assert (found.write, found.by, found.why) == (None, "", "")
    assert found.at_s == pytest.approx(time.time() + 1000, abs=5)


def test_a_pin_outside_the_limits_is_refused_by_the_schema(stores: Stores) -> None:
    stores("operator").put_pin(pin())
    with pytest.raises(StoreError, match=r"queueDepth: 0 is less than the minimum of 1"):
        stores.admin().patch(CLASS_PATH, {"spec": {"pin": {"read": {"queueDepth": 0}}}})


def test_a_pin_without_a_setting_is_told_and_can_be_removed(stores: Stores) -> None:
    stores("operator").put_pin(pin())
    stores.admin().patch(CLASS_PATH, {"spec": {"pin": {"read": None}}})
    with pytest.raises(FleetDataError, match="pin: has no setting"):
        stores("coordinator").get_pin(CLASS)
    assert stores("operator").delete_pin(CLASS)


# --- classes ----------------------------------------------------------------------------------------------


def test_the_plan_beside_a_result_makes_it_no_other_one(stores: Stores) -> None:
    store = stores("coordinator")
    entry = store.put_class(result(1), store.get_class(CLASS))
    store.put_plan(plan())
    assert stores("n1").get_plan(CLASS) == plan()
    entry = store.put_class(result(2), entry)
    assert entry.result == result(2)
    assert store.get_plan(CLASS) == plan()


def test_a_generation_is_kept_though_the_coordinator_ended_before_it_was(stores: Stores) -> None:
    store = stores("coordinator")
    entry = store.put_class(result(1), store.get_class(CLASS))

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    store._keep = ends  # type: ignore[assignment, method-assign]
    with pytest.raises(KeyboardInterrupt):
        store.put_class(result(2), entry)
    later = stores("coordinator")
    assert [each.document.generation for each in later.history(CLASS)] == [2, 1]
    later.put_class(result(3), later.get_class(CLASS))
    assert [each.document.generation for each in later.history(CLASS)] == [3, 2, 1]


# --- slots ------------------------------------------------------------------------------------------------


def test_clocks_of_nodes_may_be_apart_from_the_servers(api: KubeApi, stores: Stores) -> None:
    api.ahead_s = -3600.0
    claim = stores("n1").claim(CLAIM, "n1", 60)
    assert claim
    assert stores("n2").claim(CLAIM, "n2", 60) is None
    stores("n1").keep_alive(claim)
    api.ahead_s += 63
    assert stores("n2").claim(CLAIM, "n2", 60)
    with pytest.raises(ClaimLostError):
        stores("n1").keep_alive(claim)


def test_a_claim_whose_answer_is_lost_is_the_nodes_own(api: KubeApi, stores: Stores) -> None:
    store = stores("n1", sleep=lambda _: None)
    api.faults += [None, Fault(0, {})]  # the read is answered, the creation is not
    claim = store.claim(CLAIM, "n1", 60)
    assert claim
    store.keep_alive(claim)
    assert [call.partition(" ")[0] for call in api.calls[:4]] == ["GET", "POST", "POST", "GET"]


def test_a_rack_of_any_name_has_slots(stores: Stores) -> None:
    store = stores("n1")
    for rack in ("Rack_7.Hall-2", "rack-7", "r" * 64):
        assert store.claim(Slot("budget", rack, 1), "n1", 60)
        assert store.holders("budget", rack) == {1: "n1"}


# --- rights that admission gives --------------------------------------------------------------------------


def test_an_agent_whose_token_has_no_node_writes_nothing(api: KubeApi, stores: Stores) -> None:
    api.users["n1"] = User("aio-tuned-fleet-agent")
    with pytest.raises(RightsError, match=r"permission denied: .*the token names no node"):
        stores("n1").put_report(report())
    with pytest.raises(RightsError):
        stores("n1").claim(CLAIM, "n1", 60)


def test_an_agent_holds_and_ends_no_claim_of_another_node(stores: Stores) -> None:
    claim = stores("n2").claim(CLAIM, "n2", 60)
    assert claim
    with pytest.raises(RightsError, match="the pod runs on node n1"):
        stores("n1").release(claim)
    with pytest.raises(RightsError, match="the pod runs on node n1"):
        stores("n1").claim(CLAIM._replace(number=1), "n2", 60)
    with pytest.raises(RightsError):
        stores("n1").claim(Slot("leader", "coordinator", 0), "n1", 60)
    with pytest.raises(RightsError):
        stores("coordinator").claim(CLAIM._replace(number=1), "n7", 60)


def test_an_agent_reads_its_own_report_by_a_patch(api: KubeApi, stores: Stores) -> None:
    store = stores("n1")
    assert list(store.list_reports("n1")) == []
    store.put_report(report())
    before = api.revision
    assert list(store.list_reports("n1")) == [report()]
    assert api.revision == before
    stores("n2").put_report(report("n2"))
    with pytest.raises(RightsError):
        store.get_report(ReportId("n2", "nvme-ACME_X1_S123_1", "sweep"))


# --- lists and watches ------------------------------------------------------------------------------------


def test_a_list_whose_pages_expired_goes_on_after_the_last(api: KubeApi, stores: Stores) -> None:
    for number in range(5):
        api.users[f"n{number}"] = User("aio-tuned-fleet-agent", f"n{number}")
        stores(f"n{number}").put_report(report(f"n{number}"))
    found = stores("coordinator").list_reports()
    names = [next(found), next(found)]
    api.compact()
    names += list(found)
    assert [each.document.node for each in names if isinstance(each, Signed)] == ["n0", "n1", "n2", "n3", "n4"]


def test_a_watch_that_missed_changes_says_so(api: KubeApi, stores: Stores) -> None:
    store = stores("coordinator")
    begin = store.watch(None, 0).revision
    stores("n1").put_report(report())
    api.compact()
    changes = store.watch(begin, 5)
    assert not changes.complete
    assert changes.revision == api.revision
    stores("n1").put_report(report(drive="nvme-ACME_X1_S2_1"))
    assert store.watch(changes.revision, 5).reports == {("n1", "nvme-ACME_X1_S2_1", "sweep")}


def test_a_watch_tells_of_pins_and_not_of_the_coordinators_own_writes(stores: Stores) -> None:
    store = stores("coordinator")
    revision = store.watch(None, 0).revision
    store.put_class(result(), store.get_class(CLASS))
    store.put_plan(plan())
    store.put_status(status())
    idle = store.watch(revision, 0.2)
    assert (idle.reports, idle.pins) == (frozenset(), frozenset())
    stores("operator").put_pin(pin())
    changes = store.watch(idle.revision, 10)
    assert changes.pins == {CLASS}
    assert not changes.reports
    assert store.get_pin(CLASS) == pin()
    store.put_status(status(pinned="by jo"))
    again = store.watch(changes.revision, 0.2)
    assert again.pins == frozenset()
    stores("operator").delete_pin(CLASS)
    assert store.watch(again.revision, 10).pins == {CLASS}


def test_a_watch_tells_many_reports_at_once_and_all_of_a_node_that_went(stores: Stores) -> None:
    store = stores("coordinator")
    begin = store.watch(None, 0).revision
    node = stores("n1")
    drives = [f"nvme-ACME_X1_S{number}_1" for number in range(20)]
    for drive in drives:
        node.put_report(report(drive=drive))
    changes = store.watch(begin, 10)
    assert changes.reports == {("n1", drive, "sweep") for drive in drives}
    stores.admin().call("DELETE", f"{REPORTS_PATH}/n1")
    gone = store.watch(changes.revision, 10)
    assert gone.reports == changes.reports
    assert store.get_report(ReportId("n1", drives[0], "sweep")) is None


def test_a_change_of_one_kind_does_not_hide_an_earlier_one_of_the_other(stores: Stores) -> None:
    """The revisions of both kinds are from one sequence, and each kind is read by a watch of its own."""
    store = stores("coordinator")
    revision = store.watch(None, 0).revision
    timers = [
        threading.Timer(1.5, stores("operator").put_pin, [pin()]),
        threading.Timer(1.6, stores("n1").put_report, [report()]),
    ]
    for timer in timers:
        timer.start()
    pins: set[str] = set()
    reports: set[ReportId] = set()
    ends = time.monotonic() + 30
    while not (pins and reports):
        assert time.monotonic() < ends
        changes = store.watch(revision, 10)
        revision = changes.revision
        pins |= changes.pins
        reports |= changes.reports
    for timer in timers:
        timer.join()
    assert (pins, reports) == ({CLASS}, {("n1", "nvme-ACME_X1_S123_1", "sweep")})


# --- faults -----------------------------------------------------------------------------------------------


def test_an_overloaded_server_is_asked_again_when_it_says(api: KubeApi, stores: Stores) -> None:
    pauses: list[float] = []
    store = stores("n1", sleep=pauses.append, draw=lambda _, most: most)
    api.faults += [Fault(429, {"Retry-After": "7"}), Fault(500, {}), Fault(503, {})]
    store.put_report(report())
    assert pauses == [7.25, 0.5, 1.0]


def test_a_server_that_stays_away_is_reported(stores: Stores, api: KubeApi) -> None:
    store = stores("n1", give_up_s=0.0)
    api.faults.append(Fault(503, {}))
    with pytest.raises(UnreachableError, match="it is tried again"):
        store.put_report(report())


def test_a_token_that_is_not_known_is_refused(api: KubeApi, stores: Stores) -> None:
    store = stores("n1")
    del api.users["n1"]
    with pytest.raises(LoginError, match="the token is refused"):
        store.get_class(CLASS)


def test_a_full_etcd_behind_the_server_is_named(api: KubeApi, stores: Stores) -> None:
    api.faults.append(Fault(500, {}, "etcdserver: mvcc: database space exceeded"))
    with pytest.raises(FullError, match="compact and defragment"):
        stores("n1").put_report(report())


def test_kinds_that_are_not_there_are_named(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.kube_api.KINDS.versions", {})
    with pytest.raises(StoreError, match=r"apply the kinds of docs/kubernetes/fleet-kinds\.yaml"):
        stores("n1").get_class(CLASS)


# --- Kubernetes' own client on the stand-in -----------------------------------------------------------------


def test_kubernetes_own_client_reads_what_the_store_writes(api: KubeApi, stores: Stores) -> None:
    claim = stores("n1").claim(CLAIM, "n1", 60)
    assert claim
    stores("n1").put_report(report())
    configuration = kubernetes.client.Configuration(host=api.url)
    client = kubernetes.client.ApiClient(configuration, header_name="Authorization", header_value=f"Bearer {ADMIN}")
    (lease,) = kubernetes.client.CoordinationV1Api(client).list_namespaced_lease("aio-tuned").items
    assert lease.spec
    assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("n1", 60)
    assert lease.spec.renew_time
    assert abs(lease.spec.renew_time.timestamp() - time.time()) < 5
    objects = kubernetes.client.CustomObjectsApi(client)
    kind = ("aio-tuned.io", "v1alpha1", "drivereports")
    listed: Any = objects.list_cluster_custom_object(*kind)
    assert [each["metadata"]["name"] for each in listed["items"]] == ["n1"]
    stores("n2").put_report(report("n2"))
    watch: Any = kubernetes.watch.Watch()  # type: ignore[no-untyped-call]
    asked = {"resource_version": listed["metadata"]["resourceVersion"], "timeout_seconds": 1}
    events = [*watch.stream(objects.list_cluster_custom_object, *kind, **asked)]
    told = [(each["type"], each["object"]["metadata"]["name"]) for each in events if each["type"] != "BOOKMARK"]
    assert told == [("ADDED", "n2")]
