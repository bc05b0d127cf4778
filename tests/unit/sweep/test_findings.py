from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.devices import identity
from aio_tuned.devices.pcie import Attachment, Link
from aio_tuned.errors import Exit, MeasurementError
from aio_tuned.model.profile import Skipped
from aio_tuned.model.temperature import Heat, Warned
from aio_tuned.sweep import findings
from aio_tuned.sweep.findings import DirectionResult, Facts
from unit.support.builders import curve, device, profile, result, setting, stats

if TYPE_CHECKING:
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction

GEN3X4 = Link(gt_per_s=8.0, lanes=4)
GEN4X4 = Link(gt_per_s=16.0, lanes=4)
PLAIN = Attachment(link=GEN4X4, drive=GEN4X4, slot=GEN4X4)


def found(
    bytes_per_s: float = 5e9, direction: Direction = "read", *, drift: float = 0.0, busy: float = 0.0, threads: int = 2
) -> DirectionResult:
    """A direction whose chosen point gives that much; `busy` is the share of its threads' time on a processor."""
    which = setting(threads=threads)
    chosen = replace(stats(bytes_per_s, which), cpu_s_per_gb=busy * threads * 1e9 / bytes_per_s)
    other = replace(stats(bytes_per_s / 2, setting(threads=8)), cpu_s_per_gb=99.0)
    return DirectionResult(
        curve=curve(other, chosen, direction=direction, drift=drift),
        result=result(
            setting=which,
            throughput_bytes_per_s=round(bytes_per_s),
            throughput_ci95_bytes_per_s=(round(bytes_per_s * 0.99), round(bytes_per_s * 1.01)),
        ),
    )


def said(
    *directions: DirectionResult,
    drive: Device | None = None,
    filesystem: str = "ext4",
    **facts: Any,  # noqa: ANN401 - any fact
) -> tuple[str, ...]:
    return findings.collect(drive or device(), filesystem, directions, Facts(**facts), 0.01)


def test_of_an_ordinary_drive_there_is_nothing_to_say() -> None:
    heat = Heat(warned=None, pauses=0)
    sibling = other("a", 5.1e9)
    assert said(found(), found(4e9, "write", busy=0.5), attachment=PLAIN, heat=heat, others=(sibling,)) == ()


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert said(found(50e9)) == ()
    assert said() == ()


# --- the link --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gb_per_s", "bound"), [(6.5, False), (6.8, False), (6.9, True), (7.2, True), (7.5, True), (7.9, True)]
)
def test_a_link_that_is_the_limit(gb_per_s: float, bound: bool) -> None:
    sentence = (
        f"read: {gb_per_s:.2f} GB/s is the limit of the drive's link (PCIe 4.0 x4: about 7.20 GB/s of data); neither"
        " another setting nor another drive is much faster in this slot"
    )
    assert said(found(gb_per_s * 1e9), attachment=PLAIN) == ((sentence,) if bound else ())


def test_each_direction_is_held_against_the_link() -> None:
    sentences = said(found(7.1e9), found(7.0e9, "write"), attachment=PLAIN)
    assert [sentence.partition(":")[0] for sentence in sentences] == ["read", "write"]


@pytest.mark.parametrize("direction", ["read", "write"])
def test_more_than_the_link_can_carry_is_refused(direction: Direction) -> None:
    assert said(found(8.0e9, direction), attachment=PLAIN)
    with pytest.raises(MeasurementError) as caught:
        said(found(8.1e9, direction), attachment=PLAIN)
    assert str(caught.value).startswith(
        f"/dev/nvme0n1: measured {direction} throughput of 8.10 GB/s exceeds the capacity of its link (PCIe 4.0 x4:"
        " 7.88 GB/s); look for a cache"
    )
    assert caught.value.exit_code == Exit.IO


def test_a_virtual_machine_s_link_is_fiction() -> None:
    fiction = Attachment(link=Link(gt_per_s=2.5, lanes=1), drive=GEN4X4, slot=GEN4X4, real=False)
    assert said(found(8e9), drive=device(pcie_link="2.5 GT/s x1"), attachment=fiction) == ()


def test_a_volume_has_no_link_of_its_own() -> None:
    assert said(found(50e9), drive=device(members=("nvme0n1", "nvme1n1")), attachment=PLAIN) == ()


def test_a_link_below_what_it_could_be() -> None:
    slow = replace(PLAIN, link=GEN3X4)
    (sentence,) = said(found(2e9), drive=device(pcie_link="8.0 GT/s x4"), attachment=slow)
    assert sentence.startswith("the drive's link runs at PCIe 3.0 x4, but the drive supports PCIe 4.0 x4")


def test_a_link_that_has_changed_says_nothing_of_the_figures() -> None:
    """They may be from before: 7 GB/s is no wonder on what was PCIe 4.0."""
    (sentence,) = said(found(7e9), attachment=replace(PLAIN, link=GEN3X4))
    assert sentence.startswith("link: changed from PCIe 4.0 x4 to PCIe 3.0 x4 during the sweep")


def test_a_link_that_was_not_known_before_has_not_changed() -> None:
    (sentence,) = said(found(7.1e9), drive=device(pcie_link=""), attachment=PLAIN)
    assert "is the limit of the drive's link" in sentence


# --- the processor ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("busy", "bound"), [(0.0, False), (0.89, False), (0.91, True), (0.97, True), (1.2, True)])
def test_threads_without_time_left(busy: float, bound: bool) -> None:
    sentences = said(found(direction="write", busy=busy))
    assert len(sentences) == bound
    for sentence in sentences:
        assert sentence.startswith(f"write: the 2 threads are busy {100 * min(busy, 1):.0f} % of the time submitting")
        assert "the processor, not the drive, limits the throughput" in sentence


def test_one_thread_is_one() -> None:
    (sentence,) = said(found(busy=1.0, threads=1))
    assert sentence.startswith("read: the thread is busy 100 % of the time")


def test_a_point_that_is_not_in_the_curve_says_nothing() -> None:
    made = found(busy=1.0)
    assert said(replace(made, result=replace(made.result, setting=setting(depth=99)))) == ()


# --- heat ------------------------------------------------------------------------------------------------

HOT = Warned(celsius=85.4, limit=84.0)


@pytest.mark.parametrize(
    ("heat", "drift", "sentence"),
    [
        (Heat(), -0.3, ""),
        (
            Heat(warned=HOT),
            0.0,
            "temperature: the drive reached 85 °C (warning threshold 84 °C); improve the cooling, then tune again",
        ),
        (
            Heat(pauses=1),
            0.0,
            "temperature: the sweep paused once because of heat; improve the cooling, then tune again",
        ),
        (
            Heat(pauses=3),
            -0.3,
            "temperature: the sweep paused 3 times because of heat; improve the cooling, then tune again",
        ),
        (
            Heat(warned=HOT, pauses=2),
            -0.12,
            (
                "temperature: the drive reached 85 °C (warning threshold 84 °C) and the sweep paused 2 times because of"
                " heat; reads became 12 % slower, probably because of heat; improve the cooling, then tune again"
            ),
        ),
        (
            Heat(warned=HOT),
            0.2,
            "temperature: the drive reached 85 °C (warning threshold 84 °C); improve the cooling, then tune again",
        ),
    ],
)
def test_heat(heat: Heat, drift: float, sentence: str) -> None:
    assert said(found(drift=drift), heat=heat) == ((sentence,) if sentence else ())


def test_both_directions_may_have_become_slower() -> None:
    (sentence,) = said(found(drift=-0.1), found(direction="write", drift=-0.2), heat=Heat(warned=HOT))
    assert "reads became 10 % slower and writes became 20 % slower, probably because of heat" in sentence


# --- the siblings -------------------------------------------------------------------------------------------


def other(name: str, bytes_per_s: float, **changes: Any) -> Profile:  # noqa: ANN401 - any field
    """A profile of another drive of the same model and firmware, whose writes give 4 GB/s."""
    made = profile(
        device=identity.info(device(id=f"eui.{name}", name=f"nvme-{name}", serial=name)),
        read=found(bytes_per_s).result,
        write=found(4e9).result,
    )
    return replace(made, **changes)


TWINS = (other("a", 6.4e9), other("b", 6.6e9), other("c", 6.5e9))


def test_a_drive_below_its_siblings() -> None:
    (sentence,) = said(found(3.1e9), others=TWINS)
    assert sentence == (
        "read: 3.10 GB/s, but 3 drives of this model and firmware reach 6.40 GB/s to 6.60 GB/s on this host; this drive"
        " is slower, whatever the setting; check its health (nvme smart-log), temperature and slot"
    )


def test_a_drive_above_its_siblings() -> None:
    (sentence,) = said(found(7.4e9), others=TWINS)
    assert sentence.endswith(
        "reach 6.40 GB/s to 6.60 GB/s on this host; those drives are slow, not this one; check health (nvme smart-log),"
        " temperature and slot there"
    )
    (sentence,) = said(found(7.4e9), others=TWINS[:1])
    assert "that drive is slow, not this one" in sentence


def test_a_single_sibling_is_named() -> None:
    (sentence,) = said(found(3.1e9), others=TWINS[:1])
    assert sentence.startswith(
        "read: 3.10 GB/s, but nvme-a, of the same model and firmware, reaches 6.40 GB/s on this host; "
    )


def test_a_namespace_with_protection_information_is_not_held_against_one_without() -> None:
    drive = device(integrity_format="T10-DIF-TYPE1-CRC", metadata_bytes=8)
    assert said(found(3.1e9), drive=drive, others=TWINS) == ()


def linked(*links: str) -> list[Profile]:
    """The siblings, behind those links."""
    return [
        replace(sibling, fingerprint=replace(sibling.fingerprint, pcie_link=link))
        for sibling, link in zip(TWINS, links, strict=False)
    ]


@pytest.mark.parametrize(
    ("own", "theirs", "words"),
    [
        pytest.param("8.0 GT/s x4", ["16.0 GT/s x4"] * 3, "this drive is PCIe 3.0 x4, theirs PCIe 4.0 x4; move"),
        pytest.param("8.0 GT/s x2", ["8.0 GT/s x4", "16.0 GT/s x4"], "PCIe 3.0 x2, theirs PCIe 3.0 x4 or PCIe 4.0 x4"),
        pytest.param("16.0 GT/s x4", ["16.0 GT/s x4"] * 3, "check its health"),
        pytest.param("16.0 GT/s x4", ["8.0 GT/s x4"] * 3, "check its health"),
        pytest.param("8.0 GT/s x4", ["8.0 GT/s x4", "16.0 GT/s x4"], "check its health"),
        pytest.param("8.0 GT/s x4", ["", "16.0 GT/s x4"], "check its health"),
        pytest.param("", ["16.0 GT/s x4"] * 3, "check its health"),
    ],
)
def test_a_lesser_link_than_all_siblings_is_named(own: str, theirs: list[str], words: str) -> None:
    (sentence,) = said(found(3.1e9), drive=device(pcie_link=own), others=tuple(linked(*theirs)))
    assert words in sentence


def test_each_direction_has_its_own_range() -> None:
    (sentence,) = said(found(6.5e9), found(2e9, "write"), others=TWINS)
    assert sentence.startswith(
        "write: 2.00 GB/s, but 3 drives of this model and firmware reach 4.00 GB/s on this host; "
    )


# The siblings' intervals end at 6.336 and 6.666 GB/s; this drive's are 1 % to either side, and 3 % on both are nothing.
@pytest.mark.parametrize(
    ("gb_per_s", "apart"), [(5.89, True), (5.93, False), (6.0, False), (6.5, False), (7.13, False), (7.17, True)]
)
def test_within_intervals_and_margin_siblings_are_alike(gb_per_s: float, apart: bool) -> None:
    assert bool(said(found(gb_per_s * 1e9), others=TWINS)) is apart


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(other("a", 6.4e9, state="provisional"), id="provisional"),
        pytest.param(other("a", 6.4e9, state="stale"), id="stale"),
        pytest.param(replace(TWINS[0], device=replace(TWINS[0].device, firmware="X")), id="another firmware"),
        pytest.param(replace(TWINS[0], device=replace(TWINS[0].device, model="X")), id="another model"),
        pytest.param(replace(TWINS[0], device=identity.info(device())), id="the drive itself"),
        pytest.param(
            replace(TWINS[0], fingerprint=replace(TWINS[0].fingerprint, filesystem="xfs")), id="another filesystem"
        ),
        pytest.param(replace(TWINS[0], read=Skipped(skipped="not swept")), id="without figures"),
    ],
)
def test_who_is_no_sibling(stranger: Profile) -> None:
    assert said(found(3.1e9), others=(stranger,)) == ()
