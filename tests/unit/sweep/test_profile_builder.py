from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices.pcie import Attachment, Link
from aio_tuned.errors import MeasurementError
from aio_tuned.model.device import Device, Queue
from aio_tuned.model.profile import CombinedResult, Profile, Result, Skipped
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.model.temperature import Heat
from aio_tuned.profiles import codec
from aio_tuned.profiles.kept_settings import KeptSettings
from aio_tuned.search.grid import points
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
    setting,
)
from unit.support.builders import profile as known_profile

if TYPE_CHECKING:
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.profile import Confidence, Effort
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.model.target import Target

CONFIG = Config(grid=SMALL_GRID)
CIRCUMSTANCES = profile_builder.Circumstances(
    measured_at="2025-11-23T12:00:00+00:00", seconds=12.345, kernel="6.8.0-45-generic", tool_version="0.1.0", seed=7
)


class Measured(NamedTuple):
    """One direction: its outcome, and its samples."""

    outcome: PhaseOutcome
    samples: tuple[Sample, ...]

    @property
    def phase(self) -> Phase:
        return self.outcome.phase

    def replaced(self, *samples: Sample, **changes: Any) -> Measured:  # noqa: ANN401 - any field of the outcome
        return Measured(replace(self.outcome, **changes), samples)


def measured(made: Phase, *, visits: int = 9, slower: float = 1.0, noise: float = 0.0) -> Measured:
    """`visits` visits to every point, and to the reference; the speed falls by the factor `slower` each round."""
    samples: list[Sample] = []
    for number in range(visits):
        model = Drive(noise=0.0, seed=1, best_bytes_per_s=6.5e9 * slower**number)
        dice = random.Random(number)
        for point in (made.reference, *made.points):
            asked = sample(
                point.setting,
                model.truth(point.setting) * (1 + 1e-4 * number) * math.exp(dice.gauss(0, noise)),
                direction=made.direction,
                number=len(samples) + 1,
                purpose="pass" if made.stage == "pass" else "repeat",
                transfer_bytes=made.transfer_bytes,
                wall_ns=10**9,
            )
            samples.append(asked)
    outcome = PhaseOutcome(first_pass=made, race=None, phase=made, passed="enough", ended="enough", settled=True)
    return Measured(outcome, tuple(samples))


def raced(direction: Direction = "read", *chosen: Setting, visits: int = 9, noise: float = 0.0, **how: Any) -> Measured:  # noqa: ANN401
    """A pass over the grid, and a race among the default and the chosen settings; `how` are fields of the outcome."""
    passed = measured(phase(direction=direction), visits=1)
    finalists = points(dict.fromkeys((DEFAULT_SETTING, *chosen)), 256 * MIB)
    race = phase(direction=direction, stage="race", points=finalists, transfer_bytes=256 * MIB)
    again = measured(race, visits=visits, noise=noise)
    outcome = PhaseOutcome(
        first_pass=passed.phase,
        race=race,
        phase=race,
        passed="every setting was measured",
        ended="the choice is clear",
        settled=True,
    )
    return Measured(replace(outcome, **how), (*passed.samples, *again.samples))


READ, WRITE = measured(phase()), measured(phase(direction="write"))


def build(
    *phases: Measured,
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
        SweepOutcome(
            hello=hello,
            phases=tuple(one.outcome for one in phases),
            samples=tuple(sample for one in phases for sample in one.samples),
            written_bytes=3 * GIB,
            resumed=resumed,
        ),
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
        (replace(HELLO, counters_live=False), {}, "provisional", "does not count its I/O"),
        (
            replace(HELLO, drop_caches=False, no_drop_reason="not root"),
            {},
            "measured",
            "could not be dropped (not root)",
        ),
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
    assert finding.endswith("raise vm.nr_hugepages, then tune again")
    (of_size,) = build(READ, config=asked, hello=replace(HELLO, reserved_page_bytes=32 << 20)).evidence.findings
    assert "/sys/kernel/mm/hugepages/hugepages-32768kB" in of_size
    got = replace(HELLO, buffer="256 MiB, 256 MiB of it huge pages (hugetlb), locked")
    assert build(READ, config=asked, hello=got).evidence.findings == ()
    assert build(READ, hello=got).evidence.findings == ()


def test_points_that_were_not_measured_make_it_provisional() -> None:
    cut = READ.replaced(*READ.samples[:5], passed="the time budget ran out")
    made = build(cut)
    assert made.state == "provisional"
    (finding,) = made.evidence.findings
    assert finding == (
        f"read: 4 of {len(READ.phase.points)} settings were measured (the time budget ran out); the best may be among"
        " the others; try --time-budget 5m"
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
    made = build(READ.replaced(*noisy))
    assert made.evidence.read_noise is not None
    assert made.evidence.read_noise > 0.05
    assert any("measurements of one setting vary by" in finding for finding in made.evidence.findings)


def _longer(one: Sample, factor: float) -> dict[str, Any]:
    elapsed_ns = round(one.elapsed_ns * factor)
    return {"elapsed_ns": elapsed_ns, "transfers_ns": (elapsed_ns,)}


def test_the_certainty_and_the_effort_are_in_the_profile() -> None:
    made = build(READ)
    assert isinstance(made.read, Result)
    assert made.read.sustained_throughput_bytes_per_s is None
    assert made.evidence.effort == "default"
    assert build(READ, config=replace(CONFIG, effort="thorough")).evidence.effort == "thorough"
    assert build(READ, kept=KeptSettings(checked=known_profile())).evidence.effort is None


def _fallen(made: Measured) -> Measured:
    """The second half of the visits at two fifths of the speed."""
    half = len(made.samples) // 2
    behind = [replace(one, **_longer(one, 2.5)) for one in made.samples[half:]]
    return made.replaced(*made.samples[:half], *behind)


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
        ([3e9] * 8, "showed no drop; 3.00 GB/s at the end", 3.0e9),
        ([3e9] * 4 + [1e9] * 6, "fell from 3.00 GB/s to 1.00 GB/s after 256M", 1.0e9),
        ([3e9] * 4 + [2e9, 1e9, 2e9, 1e9, 2e9], "not steady yet; raise --write-budget", 1.43e9),
    ],
)
def test_what_writing_on_has_found(speeds: list[float], words: str, figure: float) -> None:
    which = WRITE.phase.points[0].setting
    windows = [sample(which, speed, direction="write", purpose="sustain") for speed in speeds]
    made = build(READ, WRITE.replaced(*WRITE.samples, *windows))
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
    found = build(made.replaced(*swinging)).evidence.findings
    assert any("varies too fast to correct for" in finding for finding in found)


def test_tainted_visits_are_counted_and_do_not_count() -> None:
    spoiled = sample(READ.phase.points[0].setting, 99e9, verdict="cache")
    made = build(READ.replaced(*READ.samples, spoiled))
    assert made.evidence.tainted_visits == 1
    assert made.read == build(READ).read
    assert made.evidence.cache_verdict == "device"


def test_without_proof_the_verdict_is_unknown() -> None:
    samples = tuple(replace(one, cache_verdict="unknown") for one in READ.samples)
    assert build(READ.replaced(*samples)).evidence.cache_verdict == "unknown"


def test_a_raw_target_is_called_one() -> None:
    made = build(READ, target=scratch_target(kind="device", filesystem="", no_write="not mounted"))
    assert made.evidence.target == "raw device"
    assert made.fingerprint.filesystem == ""


def test_nothing_measured_nothing_published() -> None:
    with pytest.raises(MeasurementError):
        build(READ.replaced())


# --- what is not as ever ---------------------------------------------------------------------------------


def test_a_sweep_that_nothing_befell_says_nothing_of_it() -> None:
    found = build(READ).evidence
    assert (found.temperature_peak_c, found.paused_seconds, found.resumed, found.checked_against) == (None,) * 4


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (1, "resumed once after an interruption; measured by 2 processes"),
        (3, "resumed 3 times after an interruption; measured by 4 processes"),
    ],
)
def test_a_resumed_sweep_says_so_and_is_sound(times: int, words: str) -> None:
    made = build(READ, resumed=times)
    assert made.state == "measured"
    assert made.evidence.resumed == times
    assert made.evidence.findings == (words,)


LOGS = "other processes make 30 requests/s on the drive"


@pytest.mark.parametrize(("depths", "state"), [((4, 8, 32), "provisional"), ((4, 8), "measured")])
def test_a_drive_that_is_never_quiet_is_measured_beside_others(depths: tuple[int, ...], state: str) -> None:
    config = replace(CONFIG, grid=replace(CONFIG.grid, queue_depth=depths, io_parallelism=(1,)))
    made = build(READ, config=config, facts=Facts(never_quiet=LOGS, max_concurrency=8))
    assert made.state == state
    (finding,) = made.evidence.findings
    assert finding.startswith(f"other I/O: the drive is never idle ({LOGS}) and was measured during that I/O; ")
    assert ("more than 8 requests in flight were not measured" in finding) is (state == "provisional")


def test_heat_and_pauses_are_evidence() -> None:
    found = build(READ, temperature_peak_c=71.26, paused_seconds=0.0).evidence
    assert (found.temperature_peak_c, found.paused_seconds) == (71.3, 0.0)


SIBLING = known_profile(device=device_info(id="eui.sibling", name="nvme-sibling"))
SOME, OTHER = setting(depth=32), setting(depth=32, threads=4)


def checked(there: Profile = SIBLING, **how: Any) -> Profile:  # noqa: ANN401 - fields of the outcome
    found = raced("read", SOME, OTHER, first_pass=None, preferred=(SOME,), keep=0.0, **how)
    only_race = tuple(sample for sample in found.samples if sample.request.purpose == "repeat")
    return build(found.replaced(*only_race), kept=KeptSettings(checked=there))


def test_a_check_says_against_what_and_how_much_of_the_grid_it_measured() -> None:
    made = checked(replace(SIBLING, read=result(setting=SOME)))
    assert made.state == "measured"
    assert made.evidence.checked_against == "nvme-sibling"
    assert made.evidence.findings == (
        "checked against nvme-sibling; measured 3 of the grid's 16 settings",
        "curves: not measured in a check; run aio-tuned tune for this drive's own curves by request size",
    )
    assert isinstance(made.read, Result)
    assert (made.read.setting, made.read.kept_from) == (SOME, "nvme-sibling")


@pytest.mark.parametrize(
    ("confidence", "regret95_percent", "expected"),
    [
        ("low", 12.0, ("low", 12.0)),
        ("bounded", 5.0, ("bounded", 5.0)),
        ("settled", 1.5, ("settled", 1.5)),
        (None, None, ("settled", 0.0)),
    ],
)
def test_a_check_is_no_surer_than_its_sibling(
    confidence: Confidence | None, regret95_percent: float | None, expected: tuple[str, float]
) -> None:
    """It has measured few settings, of which the sibling's may be the best by far."""
    there = result(setting=OTHER, confidence=confidence, regret95_percent=regret95_percent)
    found = raced("read", OTHER, first_pass=None, preferred=(OTHER,), keep=0.0)
    only_race = tuple(sample for sample in found.samples if sample.request.purpose == "repeat")
    made = build(found.replaced(*only_race), kept=KeptSettings(checked=replace(SIBLING, read=there)))
    assert isinstance(made.read, Result)
    assert made.read.regret95_percent is not None
    assert (made.read.confidence, round(made.read.regret95_percent, 1)) == expected


# --- how sure it is --------------------------------------------------------------------------------------


def section(made: Measured, **circumstances: Any) -> Result:  # noqa: ANN401 - any field
    found = build(made, **circumstances).read
    assert isinstance(found, Result)
    return found


def test_a_race_says_how_sure_its_choice_is() -> None:
    found = section(raced("read", SOME, OTHER, noise=0.002))
    assert found.setting in (SOME, OTHER)
    assert found.transfer_bytes == 256 * MIB
    assert found.confidence == "settled"
    assert found.tolerance_percent == 2.0
    assert found.regret95_percent is not None
    assert found.expected_shortfall_percent is not None
    assert 0 <= found.expected_shortfall_percent <= found.regret95_percent <= 2.0
    assert found.probability_within_tolerance is not None
    assert found.probability_within_tolerance > 0.95
    assert found.stopped_because == "the choice is clear"
    assert found.kept_from is None
    assert found.versus_default_percent is not None
    assert found.versus_default_ci95_percent is not None
    low, high = found.versus_default_ci95_percent
    assert 25 < low < found.versus_default_percent < high < 45
    assert found.default_throughput_bytes_per_s * 1.3 < found.throughput_bytes_per_s


@pytest.mark.parametrize(
    ("noise", "settled", "confidence"), [(0.002, True, "settled"), (0.002, False, "bounded"), (0.4, False, "low")]
)
def test_the_confidence_is_by_the_regret_and_by_whether_it_was_settled(
    noise: float, *, settled: bool, confidence: str
) -> None:
    made = raced("read", SOME, OTHER, noise=noise, settled=settled, ended="the usual measuring time ran out")
    found = build(made)
    assert isinstance(found.read, Result)
    assert found.read.confidence == confidence
    assert found.read.stopped_because == "the usual measuring time ran out"
    assert found.state == "measured"
    said = [each for each in found.evidence.findings if "try --effort thorough" in each]
    assert len(said) == (confidence == "low")


def test_a_low_confidence_says_how_far_below_the_best_it_may_be_and_what_helps() -> None:
    """The choice is not the default here, which would say so itself."""
    ended = "the time budget ran out"
    found = build(raced("read", SOME, OTHER, setting(depth=32, threads=2), noise=0.2, settled=False, ended=ended))
    assert isinstance(found.read, Result)
    assert found.read.confidence == "low"
    assert (
        f"read: the setting may be up to {found.read.regret95_percent:.0f} % below the best (95 % confidence);"
        " the time budget ran out; try --time-budget 5m"
    ) in found.evidence.findings


@pytest.mark.parametrize(
    ("ended", "changes", "action"),
    [
        ("the time budget ran out", {"time_budget": 150.0}, "try --time-budget 5m"),
        ("the time budget ran out", {"time_budget": 6.0}, "try --time-budget 1m"),
        ("the time budget ran out", {"effort": "quick"}, "use --effort default"),
        ("the write budget ran out", {}, "raise --write-budget"),
        ("the usual measuring time ran out", {}, "try --effort thorough on an idle host"),
        ("other processes used the drive during every attempt", {}, "tune again when the drive is idle"),
        ("other processes used the drive", {"effort": "quick"}, "tune again when the drive is idle"),
        ("throughput fell after 64 MiB and stayed low", {"effort": "thorough"}, "tune again on an idle host"),
    ],
)
def test_the_action_of_a_finding_is_by_the_limit_that_was_reached(
    ended: str, changes: dict[str, Any], action: str
) -> None:
    made = raced("read", SOME, OTHER, setting(depth=32, threads=2), noise=0.2, settled=False, ended=ended)
    found = build(made, config=replace(CONFIG, **changes)).evidence.findings
    (said,) = (each for each in found if "below the best" in each)
    assert said.endswith(f"; {ended}; {action}")


@pytest.mark.parametrize(
    ("direction", "changes", "effort", "max_transfer_ns", "words"),
    [
        (
            "read",
            {},
            "default",
            10**6,
            "read: the daemon's limit of 1 ms for a transfer allowed only 16 MiB transfers; ",
        ),
        ("read", {}, "default", 10**12, "read: the time budget allowed only 16 MiB transfers; "),
        ("read", {}, "default", None, "try --time-budget 5m"),
        ("read", {}, "quick", None, "use --effort default"),
        ("read", {"time_budget_ns": 10**11}, "default", None, "read: the usual measuring time allowed only 16 MiB"),
        (
            "write",
            {"write_budget_bytes": GIB},
            "default",
            None,
            "write: the write budget allowed only 16 MiB transfers; ",
        ),
        ("write", {"write_budget_bytes": GIB}, "default", None, "deep queues could not be compared; raise --write"),
        ("write", {"write_budget_bytes": 10**15}, "default", None, "write: the time budget allowed only 16 MiB"),
    ],
)
def test_short_transfers_name_the_limit_that_kept_them_short(
    direction: Direction,
    changes: dict[str, Any],
    effort: Effort,
    max_transfer_ns: int | None,
    words: str,
) -> None:
    limits = {"time_budget_ns": 20 * 10**9, **changes}
    made = measured(phase(direction=direction, transfer_bytes=16 * MIB, **limits))
    facts = Facts(max_transfer_ns=max_transfer_ns)
    (said,) = build(made, config=replace(CONFIG, effort=effort, curves=False), facts=facts).evidence.findings
    assert words in said


def test_where_nothing_is_surely_as_fast_the_default_is_published_and_said() -> None:
    made = build(raced("read", setting(depth=7), setting(depth=9), noise=0.1, visits=4, settled=False))
    assert isinstance(made.read, Result)
    assert made.read.setting == DEFAULT_SETTING
    assert (made.read.versus_default_percent, made.read.versus_default_ci95_percent) == (0.0, (0.0, 0.0))
    assert any(
        each == "read: no other setting was shown to match the default (the choice is clear); the default is published;"
        " try --effort thorough on an idle host"
        for each in made.evidence.findings
    )


@pytest.mark.parametrize(("kept", "origin"), [("earlier", "earlier"), ("sibling", "nvme-sibling")])
def test_a_setting_that_was_kept_says_whose_it_is(kept: str, origin: str) -> None:
    there = replace(SIBLING, read=result(setting=OTHER))
    known = KeptSettings(earlier=there) if kept == "earlier" else KeptSettings(siblings=(there,))
    made = raced("read", SOME, OTHER, noise=0.002, preferred=(OTHER,))
    assert (section(made, kept=known).setting, section(made, kept=known).kept_from) == (OTHER, origin)
    assert section(raced("read", SOME, OTHER, noise=0.002), kept=known).kept_from is None


def test_the_challengers_are_published_in_ten_thousandths() -> None:
    found = section(raced("read", SOME, OTHER, noise=0.002))
    (first, *others) = found.challenger_shares()
    assert {first[0], found.setting} == {SOME, OTHER}
    assert 0.95 < first[1] < 1.05
    assert all(0 < share < 1 for _, share in others)


def test_the_grid_is_counted_by_the_pass_and_the_figures_are_the_races() -> None:
    made = build(raced("read", SOME, OTHER), raced("write", SOME, OTHER))
    assert (made.evidence.points_planned, made.evidence.points_measured) == (32, 32)
    assert made.evidence.visits == 2 * (17 + 9 * 4)
    assert isinstance(made.combined, CombinedResult)
    assert made.combined.setting in (SOME, OTHER)


def test_the_combined_setting_that_was_published_is_kept() -> None:
    both = (raced("read", SOME, OTHER, noise=0.001), raced("write", SOME, OTHER, noise=0.001))
    known = known_profile().combined
    assert isinstance(known, CombinedResult)
    for which in (SOME, OTHER):
        kept = KeptSettings(earlier=known_profile(combined=replace(known, setting=which)))
        made = build(*both, kept=kept).combined
        assert isinstance(made, CombinedResult)
        assert made.setting == which


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
    assert "link runs at PCIe 4.0 x4, but the drive supports PCIe 5.0 x4" in link
    assert "paused once because of heat" in heat
    assert "nvme-sibling, of the same model and firmware, reaches 3.00 GB/s" in sibling


def test_doubtful_figures_are_not_held_against_a_sibling_s() -> None:
    made = build(READ, target=scratch_target(provisional="mostly zeros"), facts=Facts(others=(TWIN,)))
    assert made.evidence.findings == ("mostly zeros",)


def test_busy_threads_are_seen_in_the_samples() -> None:
    samples = tuple(
        replace(one, cpu_ns=one.elapsed_ns * one.request.setting.io_parallelism * 97 // 100) for one in READ.samples
    )
    (finding,) = build(READ.replaced(*samples)).evidence.findings
    assert "busy 97 % of the time submitting and reaping" in finding


def test_figures_that_the_link_cannot_carry_make_no_profile() -> None:
    drive = device(pcie_link="8.0 GT/s x4")
    with pytest.raises(MeasurementError, match=r"exceeds the capacity of its link \(PCIe 3\.0 x4: 3\.94 GB/s\)"):
        build(READ, drive=drive, facts=Facts(attachment=NARROW))
