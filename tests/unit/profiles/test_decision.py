from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.devices import identity
from aio_tuned.model.host import Host
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles import codec as profile_text
from aio_tuned.profiles import decision
from aio_tuned.profiles.host_changes import HOST_KEYS
from aio_tuned.profiles.siblings import check_agrees, check_settings, check_shares
from unit.support.builders import (
    MIB,
    device,
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    scratch_target,
    setting,
)

if TYPE_CHECKING:
    from aio_tuned.model.device import ArrayState, Device
    from aio_tuned.model.profile import Fingerprint, Profile
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.model.target import Target

RELEASE = "6.8.0-45-generic"
KIB = 1 << 10
TWIN = device(
    id="eui.sibling",
    name="nvme-Samsung_SSD_980_PRO_1TB_TWIN_1",
    sys_name="nvme1n1",
    serial="TWIN",
)
HOST = Host(cpu_model="EPYC", cpus=64, thp="madvise", page_bytes=4096, iommu="DMA-FQ", numa_node=1)
HOSTED = device(host=HOST)
OTHER_HOST = replace(HOST, cpus=32)
VOLUME = device(id="md-uuid-1", name="md-uuid-1", sys_name="md0", members=("nvme0n1",))
RAW = scratch_target(kind="device", filesystem="", no_write="not mounted")


def now(drive: Device, filesystem: str = "ext4", release: str = RELEASE) -> Fingerprint:
    return identity.fingerprint(drive, filesystem, release)


def judged(
    drive: Device,
    own: Profile | None,
    *others: Profile,
    target: Target | None = scratch_target(),  # noqa: B008 - frozen
    release: str = RELEASE,
    **policy: Any,  # noqa: ANN401
) -> decision.Decision:
    return decision.decide(
        drive,
        now(drive, target.filesystem if target else "", release),
        release,
        target,
        own,
        others,
        **{"siblings": "check", "kernel_change": "minor", "made_by": "0.2.0", **policy},
    )


def hosted(one: Profile, drive: Device | None = None) -> Profile:
    """The profile, as measured on the host of that drive, by default HOSTED's."""
    return replace(one, fingerprint=now(drive or HOSTED))


def stamped(stamp: str, drive: Device, **changes: Any) -> Profile:  # noqa: ANN401
    """A measured profile of another drive."""
    return replace(profile(), device=identity.info(drive), evidence=evidence(measured_at=stamp), **changes)


def combined(which: Setting) -> CombinedResult:
    made = profile().combined
    assert isinstance(made, CombinedResult)
    return replace(made, setting=which)


# --- what has changed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ()),
        ({"firmware": "NEW"}, ("firmware changed from 5B2QGXA7 to NEW",)),
        ({"pcie_link": "8.0 GT/s x4"}, ("PCIe link changed from 16.0 GT/s x4 to 8.0 GT/s x4",)),
        ({"pcie_link": ""}, ()),
        (
            {"integrity_format": "T10-DIF-TYPE1-CRC"},
            ("integrity format changed from none to T10-DIF-TYPE1-CRC",),
        ),
        ({"metadata_bytes": 8}, ("metadata size changed from 0 to 8",)),
        ({"metadata_bytes": None}, ()),
        ({"logical_block_bytes": 4096}, ("logical block size changed from 512 to 4096",)),
        ({"max_sectors_kb": 64}, ("max_sectors_kb changed from 128 to 64",)),
        ({"nr_requests": 64}, ("nr_requests changed from 1023 to 64",)),
        ({"scheduler": "bfq"}, ("scheduler changed from none to bfq",)),
        ({"filesystem": "xfs"}, ("filesystem changed from ext4 to xfs",)),
        ({"filesystem": ""}, ()),
        ({"kernel": "6.9"}, ("kernel changed from 6.8 to 6.9",)),
        (
            {"firmware": "NEW", "scheduler": "bfq"},
            ("firmware changed from 5B2QGXA7 to NEW", "scheduler changed from none to bfq"),
        ),
    ],
)
def test_differences(changes: dict[str, Any], found: tuple[str, ...]) -> None:
    assert decision.differences(profile(), replace(now(device()), **changes), RELEASE, "minor") == found


def test_no_field_of_the_fingerprint_is_left_out() -> None:
    for item in fields(now(device())):
        change: dict[str, Any] = {item.name: 7 if "int" in str(item.type) else "other"}
        assert decision.differences(hosted(profile()), replace(now(HOSTED), **change), RELEASE, "minor")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ()),
        ({"cpus": 32}, ("processors changed from 64 x EPYC to 32 x EPYC",)),
        ({"cpu_model": "Xeon"}, ("processors changed from 64 x EPYC to 64 x Xeon",)),
        ({"cpu_model": "Xeon", "cpus": 32}, ("processors changed from 64 x EPYC to 32 x Xeon",)),
        ({"cpu_model": None, "cpus": 32}, ("processors changed from 64 to 32",)),
        ({"cpu_model": "Xeon", "cpus": None}, ("processors changed from EPYC to Xeon",)),
        ({"thp": "always"}, ("policy for transparent huge pages changed from madvise to always",)),
        ({"page_bytes": 65536}, ("size of the kernel's pages changed from 4096 to 65536",)),
        ({"iommu": "none"}, ("mode of the drive's IOMMU domain changed from DMA-FQ to none",)),
        ({"numa_node": 0}, ("NUMA node of the drive changed from 1 to 0",)),
        ({"numa_node": -1}, ("NUMA node of the drive changed from 1 to none",)),
        (
            {"thp": "never", "cpus": 1},
            (
                "processors changed from 64 x EPYC to 1 x EPYC",
                "policy for transparent huge pages changed from madvise to never",
            ),
        ),
    ],
)
def test_a_change_of_the_host_is_named(changes: dict[str, Any], found: tuple[str, ...]) -> None:
    other = replace(now(HOSTED), **changes)
    assert decision.differences(hosted(profile()), other, RELEASE, "minor") == found


@pytest.mark.parametrize("key", HOST_KEYS)
def test_a_key_of_the_host_that_one_side_lacks_is_no_change(key: str) -> None:
    unknown: dict[str, Any] = {key: None}
    known, lacking = hosted(profile()), replace(profile(), fingerprint=replace(now(HOSTED), **unknown))
    assert decision.differences(lacking, now(HOSTED), RELEASE, "minor") == ()
    assert decision.differences(known, lacking.fingerprint, RELEASE, "minor") == ()


def test_no_profile_is_stale_because_of_an_upgrade() -> None:
    """Profiles of earlier versions have none of the host's keys."""
    found = judged(HOSTED, profile())
    assert (found.sweep, found.publish) == ("none", profile())


def test_a_filesystem_that_was_not_known_then_is_no_difference() -> None:
    raw = replace(profile(), fingerprint=now(device(), ""))
    assert decision.differences(raw, now(device(), "ext4"), RELEASE, "minor") == ()


@pytest.mark.parametrize("unknown", [{"pcie_link": ""}, {"metadata_bytes": None}])
def test_what_was_not_known_then_is_no_difference(unknown: dict[str, Any]) -> None:
    old = replace(profile(), fingerprint=replace(profile().fingerprint, **unknown))
    assert decision.differences(old, now(device()), RELEASE, "minor") == ()
    assert judged(device(), old).sweep == "none"


@pytest.mark.parametrize("transport", ["tcp", ""])
def test_a_drive_that_is_attached_in_another_way_is_stale(transport: str) -> None:
    """A namespace that came by PCIe and now comes over the network has the same id, and no link."""
    found = judged(device(transport=transport, pcie_link=""), profile())
    assert (found.publish.state, found.sweep) == ("stale", "full")
    assert found.reason == f"transport changed from pcie to {transport or 'unknown'}"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (None, "", ()),
        ("degraded", "degraded", ()),
        (None, "degraded", ("state of the array changed from whole to degraded",)),
        ("degraded", "", ("state of the array changed from degraded to whole",)),
        ("syncing", "", ("state of the array changed from syncing to whole",)),
        ("degraded", "rebuilding", ("state of the array changed from degraded to rebuilding",)),
        # It is as fast as before when that ends; and who may not look knows of no change.
        (None, "syncing", ()),
        (None, "unknown", ()),
        ("syncing", "syncing", ()),
    ],
)
def test_an_array_that_is_not_whole_any_more_or_again_makes_the_profile_stale(
    old: str | None, new: ArrayState, found: tuple[str, ...]
) -> None:
    own = replace(profile(), fingerprint=replace(profile().fingerprint, array=old))
    assert decision.differences(own, now(device(array=new)), RELEASE, "minor") == found


@pytest.mark.parametrize(
    ("kernel_change", "release", "found"),
    [
        ("minor", "6.8.0-99-generic", ()),
        ("minor", "6.9.0", ("kernel changed from 6.8 to 6.9",)),
        ("exact", RELEASE, ()),
        ("exact", "6.8.0-99-generic", (f"kernel changed from {RELEASE} to 6.8.0-99-generic",)),
        ("never", "7.1.0", ()),
    ],
)
def test_what_counts_of_the_kernel_is_the_operators_choice(
    kernel_change: str, release: str, found: tuple[str, ...]
) -> None:
    assert decision.differences(profile(), now(device(), release=release), release, kernel_change) == found


# --- a drive that was measured before --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "target"),
    [
        (profile(), None),
        (profile(), scratch_target()),
        (profile(), RAW),
        (replace(profile(), state="provisional"), scratch_target()),
        (read_only_profile(), None),
        (read_only_profile(), RAW),
        (read_only_profile(), scratch_target(no_write="asked for reads only")),
        (read_only_profile(), scratch_target(kind="device", filesystem="")),
    ],
)
def test_an_own_profile_that_holds_is_published_as_it_is(own: Profile, target: Target | None) -> None:
    found = judged(device(), own, stamped("2026-01-01T00:00:00+00:00", TWIN), target=target)
    assert (found.publish, found.sweep, found.stale, found.against) == (own, "none", False, None)
    assert found.reason == "unchanged since the measurement at 2025-11-23T12:00:00+00:00"


def test_a_drive_that_is_mounted_now_is_swept_for_its_writes() -> None:
    own = read_only_profile("not mounted")
    found = judged(device(), own)
    assert (found.publish, found.sweep, found.stale) == (own, "full", False)
    assert found.reason == "now mounted, so writes can be measured"


@pytest.mark.parametrize(
    ("drive", "release", "reason"),
    [
        (device(firmware="NEW"), RELEASE, "firmware changed from 5B2QGXA7 to NEW"),
        (device(), "6.9.1", "kernel changed from 6.8 to 6.9"),
        (device(size_bytes=MIB), RELEASE, "size changed from 1000204886016 to 1048576 bytes"),
        (
            device(size_bytes=MIB, pcie_link="8.0 GT/s x4"),
            RELEASE,
            "size changed from 1000204886016 to 1048576 bytes, PCIe link changed from 16.0 GT/s x4 to 8.0 GT/s x4",
        ),
    ],
)
@pytest.mark.parametrize("own", [profile(), read_only_profile()], ids=["full", "read only"])
def test_an_own_profile_of_other_circumstances_is_stale(own: Profile, drive: Device, release: str, reason: str) -> None:
    found = judged(drive, own, release=release)
    assert (found.sweep, found.stale, found.reason) == ("full", True, reason)
    assert found.publish.state == "stale"
    assert (found.publish.read, found.publish.write) == (own.read, own.write)
    assert found.publish.fingerprint == own.fingerprint
    assert found.publish.evidence.findings == (*own.evidence.findings, *reason.split(", "))


MOVED = "processors changed from 64 x EPYC to 32 x EPYC"


@pytest.mark.parametrize(
    ("own", "drive", "target", "host_only"),
    [
        (profile(), device(host=OTHER_HOST), scratch_target(), True),
        (read_only_profile(), device(host=OTHER_HOST), RAW, True),
        (profile(), device(host=OTHER_HOST), None, True),
        # These drives are due for their own sake too.
        (profile(), device(host=OTHER_HOST, firmware="NEW"), scratch_target(), False),
        (profile(), device(host=OTHER_HOST, size_bytes=MIB), scratch_target(), False),
        (read_only_profile(), device(host=OTHER_HOST), scratch_target(), False),
        (replace(profile(), state="stale"), device(host=OTHER_HOST), scratch_target(), False),
        (profile(), device(host=HOST, firmware="NEW"), scratch_target(), False),
    ],
)
def test_a_sweep_is_for_the_hosts_sake_if_nothing_else_is_due(
    own: Profile, drive: Device, target: Target | None, host_only: bool
) -> None:
    measured = replace(own, fingerprint=now(HOSTED, target.filesystem if target else ""))
    found = judged(drive, measured, target=target)
    assert (found.sweep, found.host_only) == ("full", host_only)
    assert (found.stale, found.publish.state) == (True, "stale")
    if drive.host != HOST:
        assert found.publish.evidence.findings[-1] == MOVED
        assert found.reason.endswith(MOVED)


AGAIN = hosted(stamped("2026-11-30T00:00:00+00:00", TWIN), device(host=OTHER_HOST))


@pytest.mark.parametrize(
    ("sibling", "siblings", "sweep"),
    [
        (AGAIN, "check", "check"),
        (AGAIN, "full", "full"),
        # Neither was measured on the host as it is now.
        (hosted(AGAIN), "check", "full"),
        (replace(AGAIN, fingerprint=profile().fingerprint), "check", "full"),
        (replace(AGAIN, fingerprint=replace(AGAIN.fingerprint, filesystem="xfs")), "check", "full"),
        (replace(AGAIN, state="provisional"), "check", "full"),
    ],
    ids=["swept again", "never", "before", "unknown", "other filesystem", "provisional"],
)
def test_a_sibling_that_was_swept_again_replaces_the_sweep_by_a_check(
    sibling: Profile, siblings: str, sweep: str
) -> None:
    own = hosted(profile())
    older = hosted(stamped("2025-01-01T00:00:00+00:00", replace(TWIN, id="eui.3", name="nvme-third", serial="3")))
    found = judged(device(host=OTHER_HOST), own, older, sibling, siblings=siblings)
    assert (found.sweep, found.against) == (sweep, sibling if sweep == "check" else None)
    assert (found.host_only, found.stale, found.publish.state) == (True, True, "stale")
    how = f"; checking the settings of {TWIN.name} (same model and firmware)" if sweep == "check" else ""
    assert found.reason == f"{MOVED}{how}"


def test_a_drive_that_has_changed_itself_is_not_only_checked() -> None:
    scheduler = replace(device().queue, scheduler="bfq")
    found = judged(device(host=OTHER_HOST, queue=scheduler), hosted(profile()), AGAIN)
    assert (found.sweep, found.against, found.host_only) == ("full", None, False)


def test_the_same_difference_is_found_once_however_often_it_is_judged() -> None:
    once = judged(device(firmware="NEW"), profile()).publish
    assert judged(device(firmware="NEW"), once).publish == once


def test_what_was_stale_is_swept_even_if_the_old_circumstances_are_back() -> None:
    stale = replace(profile(), state="stale")
    found = judged(device(), stale)
    assert (found.publish, found.sweep, found.stale) == (stale, "full", True)


def test_a_provisional_profile_that_nothing_was_measured_for_counts_as_none() -> None:
    found = judged(device(), never_measured_profile())
    assert (found.sweep, found.stale) == ("full", False)
    assert found.publish.evidence.findings == ("not measured yet; these are DeepSpeed's defaults",)


# --- a drive that was never measured ---------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, scratch_target(), RAW])
@pytest.mark.parametrize("drive", [device(), VOLUME], ids=["drive", "volume"])
def test_nothing_known_is_the_defaults(drive: Device, target: Target | None) -> None:
    found = judged(drive, None, target=target)
    shown = found.publish
    assert (found.sweep, found.stale, found.reason) == ("full", False, "not measured yet")
    assert (shown.state, shown.device) == ("provisional", identity.info(drive))
    assert {shown.read, shown.write, shown.combined} == {Unmeasured(setting=DEFAULT_SETTING)}
    assert (shown.evidence.measured_at, shown.evidence.tool_version) == (None, "0.2.0")
    assert shown.evidence.findings == ("not measured yet; these are DeepSpeed's defaults",)
    assert profile_text.parse(profile_text.render(shown)) == shown


def test_a_siblings_settings_are_published_until_they_are_confirmed() -> None:
    sibling = profile()
    found = judged(TWIN, None, sibling)
    shown = found.publish
    assert (found.sweep, found.stale, found.against) == ("check", False, sibling)
    assert (shown.state, shown.device, shown.fingerprint) == ("provisional", identity.info(TWIN), now(TWIN))
    assert isinstance(sibling.read, Result)
    assert shown.read == Unmeasured(setting=sibling.read.setting)
    assert isinstance(sibling.combined, CombinedResult)
    assert shown.combined == Unmeasured(setting=sibling.combined.setting)
    assert shown.evidence.findings == (
        (
            f"not measured yet; these are the settings of {sibling.device.name} (same model and firmware, measured at"
            " 2025-11-23T12:00:00+00:00), not confirmed on this drive"
        ),
    )
    assert profile_text.parse(profile_text.render(shown)) == shown


def test_what_the_sibling_lacks_is_not_measured_yet() -> None:
    shown = judged(TWIN, None, read_only_profile("mounted read-only there")).publish
    assert isinstance(shown.read, Unmeasured)
    assert shown.write == shown.combined == Skipped(skipped="not measured yet")


RAW_READ = replace(read_only_profile("not mounted"), fingerprint=now(device(), ""))


@pytest.mark.parametrize(
    ("drive", "sibling", "target", "policy", "sweep"),
    [
        (TWIN, profile(), scratch_target(), {}, "check"),
        (TWIN, profile(), scratch_target(no_write="asked for reads only"), {}, "check"),
        (TWIN, profile(), None, {}, "check"),
        (TWIN, RAW_READ, RAW, {}, "check"),
        (TWIN, RAW_READ, None, {}, "check"),
        (TWIN, profile(), scratch_target(), {"siblings": "full"}, "full"),
        (TWIN, profile(), scratch_target(filesystem="xfs"), {}, "full"),
        (TWIN, profile(), RAW, {}, "full"),
        (TWIN, RAW_READ, scratch_target(), {}, "full"),
        (TWIN, read_only_profile(), scratch_target(), {}, "full"),
        (TWIN, read_only_profile(), scratch_target(no_write="asked for reads only"), {}, "check"),
        (replace(TWIN, pcie_link="8.0 GT/s x4"), profile(), scratch_target(), {}, "full"),
        (replace(TWIN, pcie_link="8.0 GT/s x4"), profile(), None, {}, "full"),
        (replace(TWIN, logical_block_bytes=4096), profile(), scratch_target(), {}, "full"),
        (TWIN, hosted(profile()), scratch_target(), {}, "check"),
        (replace(TWIN, host=HOST), profile(), scratch_target(), {}, "check"),
        (replace(TWIN, host=HOST), hosted(profile()), scratch_target(), {}, "check"),
        (replace(TWIN, host=OTHER_HOST), hosted(profile()), scratch_target(), {}, "full"),
        (replace(TWIN, host=replace(HOST, numa_node=0)), hosted(profile()), scratch_target(), {}, "full"),
        (TWIN, profile(), scratch_target(), {"release": "6.9.0"}, "full"),
        (TWIN, profile(), scratch_target(), {"release": "6.9.0", "kernel_change": "never"}, "check"),
        (TWIN, profile(), scratch_target(), {"release": "6.8.1", "kernel_change": "exact"}, "full"),
    ],
)
def test_a_check_is_enough_only_in_the_siblings_circumstances(
    drive: Device, sibling: Profile, target: Target | None, policy: dict[str, Any], sweep: str
) -> None:
    found = judged(drive, None, sibling, target=target, **policy)
    assert found.sweep == sweep
    assert found.against == (sibling if sweep == "check" else None)
    assert isinstance(sibling.read, Result)
    assert found.publish.read == Unmeasured(setting=sibling.read.setting)


@pytest.mark.parametrize(
    ("drive", "other"),
    [
        (TWIN, replace(profile(), state="provisional")),
        (TWIN, replace(profile(), state="stale")),
        (TWIN, replace(profile(), device=device_info(firmware="OLD"))),
        (TWIN, replace(profile(), device=device_info(model="Another"))),
        (TWIN, replace(profile(), device=device_info(transport="tcp"))),
        (replace(TWIN, integrity_format="T10-DIF-TYPE1-CRC"), profile()),
        (replace(TWIN, metadata_bytes=8), profile()),
        (TWIN, replace(profile(), device=device_info(members=("nvme0n1",)))),
        (VOLUME, profile()),
        (device(), profile()),
        (replace(TWIN, model=""), replace(profile(), device=device_info(model=""))),
        (replace(TWIN, firmware=""), replace(profile(), device=device_info(firmware=""))),
    ],
    ids=[
        *("provisional", "stale", "firmware", "model", "transport", "integrity", "metadata"),
        *("from volume", "volume", "itself", "no model", "no firmware"),
    ],
)
def test_who_is_no_sibling(drive: Device, other: Profile) -> None:
    found = judged(drive, None, other)
    assert found.sweep == "full"
    assert found.publish.read == Unmeasured(setting=DEFAULT_SETTING)


@pytest.mark.parametrize(("here", "there"), [(8, None), (None, 8), (8, 8)])
def test_a_metadata_size_that_is_not_known_makes_no_stranger(here: int | None, there: int | None) -> None:
    other = replace(profile(), fingerprint=replace(profile().fingerprint, metadata_bytes=there))
    assert judged(replace(TWIN, metadata_bytes=here), None, other).against == other


def drives(*names: str) -> list[Device]:
    return [replace(TWIN, id=name, name=name, serial=name) for name in names]


def test_the_newest_sibling_counts_by_the_moment_and_not_by_the_letters() -> None:
    first, second, third = drives("a", "b", "c")
    older = stamped("2025-11-23T23:30:00+00:00", first)
    newer = stamped("2025-11-23T20:00:00-05:00", second)
    undated = stamped("yesterday", third)
    local = stamped("2025-11-23T23:45:00", third)
    assert judged(TWIN, None, older, newer, undated).against == newer
    assert judged(TWIN, None, newer, older, local).against == newer
    assert judged(TWIN, None, older, local).against == local
    assert judged(TWIN, None, undated).against == undated


def test_a_sibling_that_can_be_checked_counts_before_a_newer_one_that_cannot() -> None:
    first, second = drives("a", "b")
    older = stamped("2025-01-01T00:00:00+00:00", first)
    newer = stamped("2025-02-01T00:00:00+00:00", second, fingerprint=now(second, "xfs"))
    assert judged(TWIN, None, older, newer).against == older
    assert judged(TWIN, None, newer).against is None


def test_a_sibling_that_was_swept_in_full_counts_before_a_newer_one_that_was_checked() -> None:
    first, second = drives("a", "b")
    swept = stamped("2025-01-01T00:00:00+00:00", first)
    checked = stamped("2025-02-01T00:00:00+00:00", second)
    checked = replace(checked, evidence=replace(checked.evidence, checked_against="a"))
    assert judged(TWIN, None, swept, checked).against == swept
    assert judged(TWIN, None, checked).against == checked


def test_the_order_of_the_others_does_not_matter() -> None:
    known = [stamped("2025-01-01T00:00:00+00:00", drive) for drive in drives("a", "b", "c")]
    assert judged(TWIN, None, *known) == judged(TWIN, None, *reversed(known))


# --- the check -------------------------------------------------------------------------------------------


CHALLENGERS = ((MIB, 32, 1, 1, 0, 9900), (128 * KIB, 64, 4, 0, 1, 9500))


def test_a_check_covers_the_setting_its_challengers_the_combined_one_and_the_default() -> None:
    chosen, both = setting(depth=16, threads=2), setting(depth=8, threads=2)
    sibling = replace(
        read_only_profile(),
        read=result(setting=chosen, challengers=CHALLENGERS, versus_default_percent=25.0),
        combined=combined(both),
    )
    deep, narrow = setting(depth=32), setting(128 * KIB, 64, 4, overlap=False, single=True)
    assert check_settings(sibling) == {"read": (chosen, deep, narrow, both, DEFAULT_SETTING)}
    assert check_shares(sibling) == {"read": {DEFAULT_SETTING: 0.8, deep: 0.99, narrow: 0.95}}


def test_a_check_measures_each_setting_once() -> None:
    sibling = replace(
        profile(), read=result(setting=DEFAULT_SETTING, challengers=CHALLENGERS), combined=combined(setting(depth=32))
    )
    assert check_settings(sibling)["read"] == (
        DEFAULT_SETTING,
        setting(depth=32),
        setting(128 * KIB, 64, 4, overlap=False, single=True),
    )


def test_what_the_sibling_did_not_measure_is_not_checked() -> None:
    assert set(check_settings(profile())) == set(check_shares(profile())) == {"read", "write"}
    assert set(check_settings(read_only_profile())) == set(check_shares(read_only_profile())) == {"read"}
    assert check_settings(never_measured_profile()) == {}
    assert check_shares(never_measured_profile()) == {}


@pytest.mark.parametrize("section", ["read", "write"])
def test_a_sibling_whose_challengers_are_unknown_is_not_checked(section: str) -> None:
    """Files of schema 1 have none, and a check could not see that another class of settings wins here."""
    old = profile(**{section: result(challengers=None)})
    found = judged(TWIN, None, old)
    assert (found.sweep, found.against) == ("full", None)
    assert found.publish.read == Unmeasured(setting=result().setting)
    reads = scratch_target(no_write="asked for reads only")
    assert judged(TWIN, None, old, target=reads).sweep == ("full" if section == "read" else "check")
    without_others = profile(**{section: result(challengers=())})
    assert judged(TWIN, None, without_others).sweep == "check"


def test_a_sibling_with_challengers_counts_before_a_newer_one_without() -> None:
    first, second = drives("a", "b")
    older = stamped("2025-01-01T00:00:00+00:00", first)
    newer = stamped("2025-02-01T00:00:00+00:00", second, read=result(challengers=None))
    assert judged(TWIN, None, older, newer).against == older


def gave(throughput: int, width: float = 0.005, **changes: Any) -> Result:  # noqa: ANN401
    interval = (round(throughput * (1 - width)), round(throughput * (1 + width)))
    return result(throughput_bytes_per_s=throughput, throughput_ci95_bytes_per_s=interval, **changes)


GB = 10**9


@pytest.mark.parametrize(
    ("there", "here", "agrees"),
    [
        (gave(6 * GB), gave(6 * GB), True),
        # Drives of one model fill and wear apart: by 10 %.
        (gave(6000 * 10**6), gave(6500 * 10**6), True),
        (gave(6000 * 10**6), gave(5500 * 10**6), True),
        (gave(6000 * 10**6), gave(6800 * 10**6), False),
        (gave(6000 * 10**6), gave(5300 * 10**6), False),
        (gave(6000 * 10**6, 0.1), gave(6800 * 10**6), True),
        (gave(6000 * 10**6), gave(6800 * 10**6, 0.1), True),
        # The setting that is published here is another only if the sibling's is below the default.
        (gave(6 * GB), gave(6 * GB, setting=setting(depth=64)), False),
    ],
)
@pytest.mark.parametrize("direction", ["read", "write"])
def test_agreement(direction: str, there: Result, here: Result, agrees: bool) -> None:
    found = check_agrees(profile(**{direction: there}), profile(**{direction: here}), {})
    assert (found == "") is agrees
    if not agrees:
        assert found.startswith(f"{direction}: ")
        assert profile().device.name in found


@pytest.mark.parametrize("direction", ["read", "write"])
def test_a_check_that_did_not_end_well_does_not_agree_and_says_why(direction: Direction) -> None:
    why = "4 threads with 1024 KiB blocks are 4.2 % faster"
    assert check_agrees(profile(), profile(), {direction: why}) == f"{direction}: {why}"


def test_disagreement_says_by_how_much() -> None:
    slow = replace(profile(), read=gave(3_250_000_000))
    assert check_agrees(profile(), slow, {}) == (
        "read: 3.25 GB/s on this drive, but 6.51 GB/s on nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1"
    )


def test_what_is_known_too_poorly_confirms_nothing() -> None:
    """An interval from half of the sibling's speed to above it agrees with anything."""
    poor = replace(profile(), read=gave(5_000_000_000, 0.35))
    assert check_agrees(profile(), poor, {}) == (
        "read: the interval on this drive, 3.25 GB/s to 6.75 GB/s, is too wide to confirm the setting"
    )


def test_only_what_both_have_is_compared() -> None:
    slow_writes = replace(profile(), write=gave(GB))
    assert check_agrees(profile(), read_only_profile(), {}) == ""
    assert check_agrees(read_only_profile(), slow_writes, {"write": "the write budget ran out"}) == ""
    assert "no direction was measured both on this drive and on" in check_agrees(
        profile(), never_measured_profile(), {}
    )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(10**8, 10**10), st.integers(10**8, 10**10), st.floats(0, 0.19))
def test_agreement_has_no_sides(there: int, here: int, width: float) -> None:
    first, second = (replace(read_only_profile(), read=gave(each, width)) for each in (there, here))
    agrees = check_agrees(first, second, {}) == ""
    assert agrees == (check_agrees(second, first, {}) == "")
    assert agrees or abs(there / here - 1) > 0.09


# --- who it is -------------------------------------------------------------------------------------------


def test_what_another_of_the_same_name_gave_is_not_its_own() -> None:
    """A volume made anew on another drive has the old one's name, and another id."""
    other = replace(profile(), device=replace(profile().device, id="dm-uuid-LVM-old"))
    verdict = judged(device(), other)
    assert (verdict.publish.state, verdict.sweep) == ("provisional", "full")
    assert not isinstance(verdict.publish.read, Result)


@pytest.mark.parametrize(("then", "now_", "sweep"), [("b1", "b1", "none"), ("b1", "b2", "full"), ("b1", "", "full")])
def test_an_id_made_of_the_kernels_name_is_stale_after_a_boot(then: str, now_: str, sweep: str) -> None:
    drive = device(id="block:nvme0n1", boot_id=now_)
    found = judged(drive, replace(profile(), device=device_info(id=drive.id, boot_id=then)))
    assert (found.sweep, found.publish.state) == (sweep, "measured" if sweep == "none" else "stale")
    if sweep == "full":
        assert found.reason == (
            "the drive has only a kernel name, which may have belonged to another drive before the last boot"
        )


def test_a_profile_of_several_drives_with_one_id_is_doubted() -> None:
    found = profile().doubted("why")
    assert (found.state, found.evidence.findings) == ("stale", (*profile().evidence.findings, "why"))
    assert replace(found, state="measured", evidence=profile().evidence) == profile()
    assert found.doubted("why") == found


def test_a_volume_of_other_members_is_stale() -> None:
    volume = device(members=("nvme0n1", "nvme1n1"), member_names=("nvme-A_1", "nvme-B_1"))
    own = replace(profile(), device=identity.info(volume))
    assert judged(volume, own).sweep == "none"
    # The kernel names them anew at each boot.
    assert judged(replace(volume, members=("nvme3n1", "nvme4n1")), own).sweep == "none"
    moved = judged(replace(volume, member_names=("nvme-A_1", "nvme-C_1")), own)
    assert (moved.publish.state, moved.sweep, moved.reason) == ("stale", "full", "the volume's members have changed")


def test_new_drives_are_each_others_siblings_while_they_hold_only_zeros() -> None:
    zeros = replace(scratch_target(), kind="device", filesystem="", no_write="not mounted", provisional="100% zeros")
    sibling = replace(device(), id="eui.2", name="nvme-sibling")
    found = stamped("2026-01-01T00:00:00+00:00", sibling, state="provisional", fingerprint=now(sibling, ""))
    assert judged(device(), None, found, target=zeros).sweep == "check"
    # What a sweep that was cut short has found is nothing to hold another drive against.
    cut = replace(found, evidence=replace(found.evidence, points_measured=1))
    assert judged(device(), None, cut, target=zeros).sweep == "full"
    # Nor are zeros anything for a drive that holds data.
    assert judged(device(), None, found, target=replace(zeros, provisional="")).sweep == "full"
