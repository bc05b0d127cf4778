from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices.pcie import Attachment, Link
from aio_tuned.errors import MeasurementError
from aio_tuned.model.device import Device, Queue
from aio_tuned.model.profile import CombinedResult, Profile, Result, Skipped
from aio_tuned.model.temperature import Heat
from aio_tuned.profiles import codec
from aio_tuned.sweep import profile_builder
from aio_tuned.sweep.findings import Facts
from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome
from unit.profiles.test_codec import VALIDATOR
from unit.support.builders import (
    GIB,
    HELLO,
    MIB,
    SMALL_GRID,
    Drive,
    device,
    device_info,
    phase,
    result,
    sample,
    scratch_target,
)
from unit.support.builders import profile as known_profile

if TYPE_CHECKING:
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.target import Target

CONFIG = Config(grid=SMALL_GRID)
CIRCUMSTANCES = profile_builder.Circumstances(
    measured_at="2025-11-23T12:00:00+00:00", seconds=12.345, kernel="6.8.0-45-generic", tool_version="0.1.0", seed=7
)


def measured(made: Phase, *, visits: int = 2, slower: float = 1.0) -> PhaseOutcome:
    """`visits` visits to every point, and to the reference; the speed falls by the factor `slower` each round."""
    samples: list[Sample] = []
    for number in range(visits):
        model = Drive(noise=0.0, seed=1, best_bytes_per_s=6.5e9 * slower**number)
        for point in (made.reference, *made.points):
            asked = sample(
                point.setting,
                model.truth(point.setting) * (1 + 1e-4 * number),
                direction=made.direction,
                number=len(samples) + 1,
                wall_ns=10**9,
            )
            samples.append(asked)
    return PhaseOutcome(phase=made, samples=tuple(samples), ended="enough", settled=True)


READ, WRITE = measured(phase()), measured(phase(direction="write"))


def build(
    *phases: PhaseOutcome,
    hello: Hello = HELLO,
    target: Target | None = None,
    drive: Device | None = None,
    config: Config = CONFIG,
    resumed: int = 0,
    **circumstances: Any,  # noqa: ANN401 - any field
) -> Profile:
    built = profile_builder.build_profile(
        drive or device(),
        target or scratch_target(),
        config,
        SweepOutcome(hello=hello, phases=phases, written_bytes=3 * GIB, resumed=resumed),
        replace(CIRCUMSTANCES, **circumstances),
        "auto",
    )
    assert [curve.direction for curve in built.curves] == [one.phase.direction for one in phases]
    VALIDATOR.validate(codec.to_table(built.profile))
    assert codec.parse(codec.render(built.profile)) == built.profile
    return built.profile


def test_a_full_sweep_is_measured() -> None:
    made = build(READ, WRITE)
    assert made.state == "measured"
    assert isinstance(made.read, Result)
    assert isinstance(made.write, Result)
    assert isinstance(made.combined, CombinedResult)
    assert made.evidence.findings == ()
    low, high = made.read.throughput_ci95_bytes_per_s
    assert low <= made.read.throughput_bytes_per_s <= high
    assert made.read.default_throughput_bytes_per_s > 0
    assert made.read.transfer_bytes == 64 * MIB


def test_the_evidence_is_the_sum_of_the_samples() -> None:
    evidence = build(READ, WRITE).evidence
    every = (*READ.samples, *WRITE.samples)
    assert evidence.visits == len(every)
    assert evidence.tainted_visits == 0
    assert evidence.points_planned == evidence.points_measured == len(READ.phase.points) * 2
    assert evidence.grid_points == 16
    assert evidence.bytes_read == sum(one.bytes for one in READ.samples)
    assert evidence.bytes_written == 3 * GIB
    assert evidence.seconds == 12.3
    assert evidence.io_seconds == round(sum(one.elapsed_ns for one in every) / 1e9, 1)
    assert evidence.seed == 7
    assert evidence.cache_verdict == "device"
    assert evidence.drop_caches == "auto"
    assert evidence.target == "scratch file on ext4"


def test_the_fingerprint_is_what_the_numbers_depend_on() -> None:
    drive = device(queue=Queue(max_sectors_kb=512, nr_requests=63, scheduler="mq-deadline"), logical_block_bytes=4096)
    found = build(READ, drive=drive).fingerprint
    assert (found.max_sectors_kb, found.nr_requests, found.scheduler) == (512, 63, "mq-deadline")
    assert (found.kernel, found.filesystem, found.logical_block_bytes) == ("6.8", "ext4", 4096)
    assert (found.firmware, found.pcie_link) == (drive.firmware, drive.pcie_link)


def test_what_was_not_swept_says_why() -> None:
    made = build(READ, target=scratch_target(no_write="asked for reads only (--read-only)"))
    assert made.write == made.combined == Skipped(skipped="asked for reads only (--read-only)")
    assert made.state == "measured"
    assert made.evidence.write_noise is None
    assert isinstance(build(WRITE).read, Skipped)


@pytest.mark.parametrize(
    ("hello", "target", "state", "words"),
    [
        (replace(HELLO, counters_live=False), {}, "provisional", "keeps no I/O counters"),
        (replace(HELLO, drop_caches=False, no_drop_reason="not root"), {}, "measured", "were evicted (not root)"),
        (HELLO, {"provisional": "mostly zeros"}, "provisional", "mostly zeros"),
    ],
)
def test_what_was_noticed_is_said_once(hello: Hello, target: dict[str, Any], state: str, words: str) -> None:
    made = build(READ, hello=hello, target=scratch_target(**target))
    assert made.state == state
    (finding,) = made.evidence.findings
    assert finding.endswith(words) or words in finding
    assert not finding.endswith(": ")


def test_a_buffer_that_is_not_on_the_pages_asked_for_is_said() -> None:
    asked = replace(CONFIG, buffer="hugetlb")
    (finding,) = build(READ, config=asked).evidence.findings
    assert finding.startswith("buffer: too few reserved huge pages were free")
    got = replace(HELLO, buffer="256 MiB, 256 MiB of it huge pages (hugetlb), locked")
    assert build(READ, config=asked, hello=got).evidence.findings == ()
    assert build(READ, hello=got).evidence.findings == ()


def test_points_that_were_not_measured_make_it_provisional() -> None:
    cut = replace(READ, samples=READ.samples[:5], ended="the time budget is spent")
    made = build(cut)
    assert made.state == "provisional"
    assert made.evidence.findings == (
        f"read: 4 of {len(READ.phase.points)} points were measured (the time budget is spent)",
    )
    assert made.evidence.points_measured == 4


def test_a_drift_is_noticed_and_is_no_noise() -> None:
    made = build(measured(phase(), visits=6, slower=0.9))
    assert made.evidence.read_drift is not None
    assert made.evidence.read_drift < -0.3
    assert made.evidence.read_noise is not None
    assert made.evidence.read_noise < 0.05
    assert any("drifted by -" in finding for finding in made.evidence.findings)


def test_noise_is_noticed() -> None:
    dice = random.Random(1)
    noisy = [
        replace(one, wall_ns=10**9, **_longer(one, dice.gauss(1, 0.1))) for one in measured(phase(), visits=9).samples
    ]
    made = build(replace(READ, samples=tuple(noisy)))
    assert made.evidence.read_noise is not None
    assert made.evidence.read_noise > 0.05
    assert any("differ by" in finding for finding in made.evidence.findings)


def _longer(one: Sample, factor: float) -> dict[str, Any]:
    elapsed_ns = round(one.elapsed_ns * factor)
    return {"elapsed_ns": elapsed_ns, "transfers_ns": (elapsed_ns,)}


def test_the_certainty_and_the_effort_are_in_the_profile() -> None:
    made = build(READ)
    assert isinstance(made.read, Result)
    assert made.read.within_percent is not None
    assert 0 <= made.read.within_percent < 5
    assert made.read.sustained_throughput_bytes_per_s is None
    assert made.evidence.effort == "default"
    assert build(READ, config=replace(CONFIG, effort="thorough")).evidence.effort == "thorough"
    assert build(READ, checked_against=known_profile()).evidence.effort is None


def _fallen(made: PhaseOutcome) -> PhaseOutcome:
    """The second half of the visits at two fifths of the speed."""
    half = len(made.samples) // 2
    behind = [replace(one, **_longer(one, 2.5)) for one in made.samples[half:]]
    return replace(made, samples=(*made.samples[:half], *behind))


def test_a_cliff_is_a_finding_and_what_lies_before_it_counts() -> None:
    whole = measured(phase(direction="write"), visits=12)
    made = build(READ, _fallen(whole))
    assert any("write: after" in finding and "stayed there" in finding for finding in made.evidence.findings)
    before = build(READ, whole)
    assert isinstance(made.write, Result)
    assert isinstance(before.write, Result)
    assert made.write.throughput_bytes_per_s == pytest.approx(before.write.throughput_bytes_per_s, rel=0.01)


@pytest.mark.parametrize(
    ("speeds", "words", "figure"),
    [
        ([3e9] * 8, "no cliff, 3.00 GB/s at the end", 3.0e9),
        ([3e9] * 4 + [1e9] * 6, "fell after 256M, from 3.00 GB/s to 1.00 GB/s", 1.0e9),
        ([3e9] * 4 + [2e9, 1e9, 2e9, 1e9, 2e9], "and was not steady yet", 1.43e9),
    ],
)
def test_what_writing_on_has_found(speeds: list[float], words: str, figure: float) -> None:
    setting = WRITE.phase.points[0].setting
    windows = [sample(setting, speed, direction="write", purpose="sustain") for speed in speeds]
    made = build(READ, replace(WRITE, samples=(*WRITE.samples, *windows)))
    assert isinstance(made.write, Result)
    assert made.write.sustained_throughput_bytes_per_s == pytest.approx(figure, rel=0.01)
    assert any(words in finding for finding in made.evidence.findings)
    assert isinstance(made.read, Result)
    assert made.read.sustained_throughput_bytes_per_s is None


def test_swings_that_could_not_be_followed_are_said() -> None:
    """Visits that are slow by turns of three, each a second long: the drift bends no faster than that."""
    made = measured(phase(), visits=40)
    swinging = [
        replace(one, **_longer(one, 1.03 if number // 3 % 2 else 1.0), wall_ns=10**8)
        for number, one in enumerate(made.samples)
    ]
    found = build(replace(made, samples=tuple(swinging))).evidence.findings
    assert any("swings faster than could be followed" in finding for finding in found)


def test_tainted_visits_are_counted_and_do_not_count() -> None:
    spoiled = sample(READ.phase.points[0].setting, 99e9, verdict="cache")
    made = build(replace(READ, samples=(*READ.samples, spoiled)))
    assert made.evidence.tainted_visits == 1
    assert made.read == build(READ).read
    assert made.evidence.cache_verdict == "device"


def test_without_proof_the_verdict_is_unknown() -> None:
    samples = tuple(replace(one, cache_verdict="unknown") for one in READ.samples)
    assert build(replace(READ, samples=samples)).evidence.cache_verdict == "unknown"


def test_a_raw_target_is_called_one() -> None:
    made = build(READ, target=scratch_target(kind="device", filesystem="", no_write="not mounted"))
    assert made.evidence.target == "raw device"
    assert made.fingerprint.filesystem == ""


def test_nothing_measured_nothing_published() -> None:
    with pytest.raises(MeasurementError):
        build(replace(READ, samples=()))


# --- what is not as ever ---------------------------------------------------------------------------------


def test_a_sweep_that_nothing_befell_says_nothing_of_it() -> None:
    found = build(READ).evidence
    assert (found.temperature_peak_c, found.paused_seconds, found.resumed, found.checked_against) == (None,) * 4


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (1, "resumed once after an interruption: measured by 2 processes"),
        (3, "resumed 3 times after an interruption: measured by 4 processes"),
    ],
)
def test_a_resumed_sweep_says_so_and_is_sound(times: int, words: str) -> None:
    made = build(READ, resumed=times)
    assert made.state == "measured"
    assert made.evidence.resumed == times
    assert made.evidence.findings == (words,)


LOGS = "others make 30 requests/s on the drive"


@pytest.mark.parametrize(("depths", "state"), [((4, 8, 32), "provisional"), ((4, 8), "measured")])
def test_a_drive_that_is_never_quiet_is_measured_beside_others(depths: tuple[int, ...], state: str) -> None:
    config = replace(CONFIG, grid=replace(CONFIG.grid, queue_depth=depths, io_parallelism=(1,)))
    made = build(READ, config=config, facts=Facts(never_quiet=LOGS, max_concurrency=8))
    assert made.state == state
    (finding,) = made.evidence.findings
    assert finding.startswith(f"the drive is never quiet ({LOGS}): measured beside other I/O")
    assert ("at most 8 requests in flight" in finding) is (state == "provisional")


def test_heat_and_pauses_are_evidence() -> None:
    found = build(READ, temperature_peak_c=71.26, paused_seconds=0.0).evidence
    assert (found.temperature_peak_c, found.paused_seconds) == (71.3, 0.0)


def test_a_check_says_against_what_and_how_much_of_the_grid_it_measured() -> None:
    few = replace(READ.phase, points=READ.phase.points[:3])
    made = build(measured(few), checked_against=known_profile(device=device_info(name="nvme-sibling")))
    assert made.state == "measured"
    assert made.evidence.checked_against == "nvme-sibling"
    assert made.evidence.findings == (
        f"checked against nvme-sibling: 3 of the grid's {len(READ.phase.points)} points were measured",
    )


# --- what bounds it, and what looks wrong ----------------------------------------------------------------

SLOW_SLOT = Attachment(link=Link(gt_per_s=16.0, lanes=4), drive=Link(gt_per_s=32.0, lanes=4))
NARROW = Attachment(link=Link(gt_per_s=8.0, lanes=4))
TWIN = known_profile(
    device=device_info(id="eui.sibling", name="nvme-sibling"),
    read=result(throughput_bytes_per_s=3 * 10**9, throughput_ci95_bytes_per_s=(29 * 10**8, 31 * 10**8)),
    write=Skipped(skipped="not swept"),
)


def test_the_verdicts_are_findings_of_a_sound_profile() -> None:
    made = build(READ, facts=Facts(attachment=SLOW_SLOT, others=(TWIN,), heat=Heat(pauses=1)))
    assert made.state == "measured"
    link, heat, sibling = made.evidence.findings
    assert "link runs at PCIe 4.0 x4, the drive can do PCIe 5.0 x4" in link
    assert "paused once because of heat" in heat
    assert "nvme-sibling, of the same model and firmware, gives 3.00 GB/s" in sibling


def test_doubtful_figures_are_not_held_against_a_sibling_s() -> None:
    made = build(READ, target=scratch_target(provisional="mostly zeros"), facts=Facts(others=(TWIN,)))
    assert made.evidence.findings == ("mostly zeros",)


def test_busy_threads_are_seen_in_the_samples() -> None:
    samples = tuple(
        replace(one, cpu_ns=one.elapsed_ns * one.request.setting.io_parallelism * 97 // 100) for one in READ.samples
    )
    (finding,) = build(replace(READ, samples=samples)).evidence.findings
    assert "busy 97 % of the time submitting and reaping" in finding


def test_figures_that_the_link_cannot_carry_make_no_profile() -> None:
    drive = device(pcie_link="8.0 GT/s x4")
    with pytest.raises(MeasurementError, match=r"more than its link can carry \(PCIe 3\.0 x4: 3\.94 GB/s\)"):
        build(READ, drive=drive, facts=Facts(attachment=NARROW))
