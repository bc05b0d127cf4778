from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import asdict, fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned import formatting
from aio_tuned.consumers import deepspeed, rendering
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import ConfigError
from aio_tuned.model.profile import Result, Skipped, Unmeasured
from aio_tuned.model.setting import Grid
from aio_tuned.model.size_curve import SizeCurve, SizePoint
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile
from aio_tuned.report import sentences
from aio_tuned.report.html import (
    choice_plot,
    comparison,
    copy_blocks,
    facts,
    figure,
    figures,
    heatmap,
    interval_plot,
    markup,
    prose,
    search_plot,
    size_plot,
)
from aio_tuned.report.html import page as html_page
from aio_tuned.report.html.style import COLOURS
from aio_tuned.report.measurement_timeline import build_timeline
from aio_tuned.report.replay import replays
from aio_tuned.search import choose
from aio_tuned.storage.sweep_archive import StoredSweep
from unit.support.builders import (
    consumer_profile,
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    setting,
)
from unit.support.sweeps import stored

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.model.measurement import Purpose
    from aio_tuned.model.profile import Profile

HOSTILE = "<script>alert(1)</script>\"' & \x1b[31m"
ALONE = {"meta", "br", "hr"}
# A browser prints a pattern as an image for each use: 29 MB for one sweep.
COSTLY_TO_PRINT = ("<pattern", "<image", "<filter", "<mask")


class Reader(HTMLParser):
    """Holds every element to its end, and gathers what the page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, each, value in self.attributes if each == name]


def check(page: str) -> Reader:
    """What holds for every page: it is whole, and refers to nothing but to itself."""
    assert page.startswith("<!DOCTYPE html>\n")
    found = Reader(page)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    for value in found.values("href"):
        assert value.startswith("#")
        assert value[1:] in ids
    for name in re.findall(r"url\(#([^)]+)\)", page):
        assert name in ids
    assert found.tags["script"] == found.tags["link"] == found.tags["img"] == found.tags["iframe"] == 0
    assert not any(name.startswith("on") or name == "src" for _, name, _ in found.attributes)
    assert "@import" not in page
    assert set(re.findall(r"url\((?!#)", page)) == set()
    assert found.tags["h1"] == 1
    assert found.tags["svg"] == sum(1 for tag, name, value in found.attributes if (tag, name, value) == IMAGE)
    labels = [value for tag, name, value in found.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == len(set(labels)) == found.tags["svg"]
    assert "#0101" not in page
    assert not any(each in page for each in COSTLY_TO_PRINT)
    return found


IMAGE = ("svg", "role", "img")


def draw(render: Callable[[], str]) -> str:
    with figure.drawing():
        return render()


@pytest.fixture(scope="module")
def kept() -> StoredSweep:
    return stored(pause_s=75.0)


def test_a_sweeps_page_is_whole_and_has_every_section(kept: StoredSweep) -> None:
    page = draw(lambda: html_page.render(kept))
    found = check(page)
    assert found.tags["svg"] == 9
    assert {"figures", "settings", "ties", "race", "time", "evidence", "profile"} <= set(found.values("id"))
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert policy in found.values("content")
    text = "".join(found.text)
    assert all(finding in text for finding in kept.profile.evidence.findings)
    assert f"seed {kept.profile.evidence.seed}" in text
    assert "schema = 2" in text
    assert "paused 1:15" in text
    assert ">°C<" in page
    assert len(page) < 3_000_000


def test_equal_sweeps_make_equal_pages(kept: StoredSweep) -> None:
    assert draw(lambda: html_page.render(kept)) == draw(lambda: html_page.render(kept))


def test_samples_of_older_versions_have_neither_pauses_nor_warmth() -> None:
    page = draw(lambda: html_page.render(stored(with_times=False)))
    check(page)
    assert "paused 1:15" not in page
    assert ">°C<" not in page


def test_without_a_setting_in_common_there_is_no_map_of_ratios(kept: StoredSweep) -> None:
    one = setting(block=1 << 20, depth=2, threads=16)
    other = stored(grid=Grid(**{item.name: (getattr(one, item.name),) for item in fields(Grid)}))
    page = draw(lambda: comparison.render(kept, other))
    assert check(page).tags["svg"] == 4
    assert page.count("no setting was measured in both sweeps") == 2


def test_foreign_words_are_text(kept: StoredSweep) -> None:
    device = replace(kept.profile.device, model=HOSTILE, serial=HOSTILE, firmware=HOSTILE, name=HOSTILE)
    found = replace(kept.profile.evidence, findings=(HOSTILE,), kernel=HOSTILE, target=HOSTILE)
    hostile = replace(kept, profile=replace(kept.profile, device=device, evidence=found))
    for page in (draw(lambda: html_page.render(hostile)), draw(lambda: comparison.render(hostile, kept))):
        read = check(page)
        assert any("<script>alert(1)</script>" in text for text in read.text)
        assert "\x1b" not in page


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (profile(), "The samples of this sweep are missing"),
        (read_only_profile(), "asked for reads only (--read-only)"),
        (never_measured_profile(), "Not measured: these are default settings; run aio-tuned tune."),
    ],
)
def test_without_samples_the_page_shows_the_rest(made: Profile, says: str) -> None:
    page = draw(lambda: html_page.render(StoredSweep(profile=made, samples=(), path=Path("x.toml"))))
    found = check(page)
    assert found.tags["svg"] == 0
    assert says in "".join(found.text)


@pytest.mark.parametrize("visits", [1, 5, 20])
def test_a_sweep_that_has_only_begun_is_shown(kept: StoredSweep, visits: int) -> None:
    check(draw(lambda: html_page.render(replace(kept, samples=kept.samples[:visits]))))


def test_one_direction_alone_is_shown() -> None:
    found = check(draw(lambda: html_page.render(stored(read_only=True))))
    assert found.tags["svg"] == 5


def test_a_map_has_each_setting_once_and_its_frames(kept: StoredSweep) -> None:
    replay = replays(kept.samples, kept.profile.evidence)[0]
    ends = heatmap.scale([replay])
    drawn = heatmap.throughput(replay, kept.profile, ends.high)
    every = heatmap.settings([replay])
    assert drawn.chosen in every
    with figure.drawing():
        svg = heatmap.draw(drawn, every, ends, "heat", "label")
        two = heatmap.draw(replace(drawn, cells=dict(list(drawn.cells.items())[:3])), every, ends, "two", "label")
    # The word in a cell has its setting's tip too.
    assert svg.count("<title>") == 2 * len(every)
    assert svg.count("not measured") == 0
    assert two.count("<title>") == 6
    assert "not measured" in two


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", sorted(set(COLOURS) - {"ground", "line", "panel"}))
def test_every_colour_of_words_can_be_read(name: str, place: int) -> None:
    for ground in ("ground", "panel"):
        least = 4.5 if name != "calibrate" else 3.0  # never of words
        assert contrast(COLOURS[name][place], COLOURS[ground][place]) >= least


@pytest.mark.parametrize("colours", ["viridis", "PuOr"])
def test_numbers_in_cells_can_be_read_on_every_colour(colours: str) -> None:
    with figure.drawing():
        import matplotlib as mpl
        from matplotlib.colors import to_hex

        for step in range(257):
            colour = mpl.colormaps[colours](step / 256)
            assert contrast(heatmap._readable(colour), to_hex(colour)) >= 4.5


def test_candidates_become_fewer_and_the_bound_narrower(kept: StoredSweep) -> None:
    replay = replays(kept.samples, kept.profile.evidence)[0]
    read = kept.profile.read
    assert isinstance(read, Result)
    line = build_timeline(replay, kept.profile.evidence)
    found = search_plot.steps(replay, line, read.setting)
    assert found[0].candidates == len(replay.phase.points)
    assert found[-1].candidates < found[0].candidates
    # A finalist that was not measured yet could be better by any amount.
    counted = [visit for visit in line.visits if visit.sample.request.purpose == "repeat"]
    (chosen_s, *_) = (visit.end_s for visit in counted if visit.sample.request.setting == read.setting)
    complete_s = counted[len(replay.curve.points) - 1].end_s
    early = [step for step in found if chosen_s <= step.time_s < complete_s]
    assert early
    assert all(step.regret95 is None for step in early)
    seen = [step.regret95 for step in found if step.regret95 is not None]
    assert seen[-1] < seen[0]
    assert 100 * seen[-1] == pytest.approx(read.regret95_percent, abs=0.01)
    others = found[-1].candidates - (replay.known.best_chances()[replay.known.place(read.setting)] > choose.RIVAL)
    assert read.not_ruled_out == others


def test_the_search_is_ranked_phase_by_phase(kept: StoredSweep) -> None:
    replay = replays(kept.samples, kept.profile.evidence)[0]
    found = search_plot._ranked(replay, build_timeline(replay, kept.profile.evidence))
    last = {
        purpose: max(rank for visit, rank in found if visit.sample.request.purpose == purpose)
        for purpose in ("pass", "repeat")
    }
    assert last == {"pass": len(replay.screen.points), "repeat": len(replay.curve.points)}
    assert {visit.sample.request.transfer_bytes for visit, _ in found} == {
        replay.screen.transfer_bytes,
        replay.curve.transfer_bytes,
    }


def test_the_forest_has_all_finalists_and_first_the_profiles_ties(kept: StoredSweep) -> None:
    for replay in replays(kept.samples, kept.profile.evidence):
        result = getattr(kept.profile, replay.direction)
        found = interval_plot.field(replay, result)
        assert found.chosen is found.ties[0]
        assert found.chosen.setting == result.setting
        assert found.chosen.within == pytest.approx(result.probability_within_tolerance, abs=0.001)
        assert found.tolerance_percent == result.tolerance_percent
        assert len(found.ties) == result.ties
        assert all(row.within < 0.5 for row in found.behind)
        assert (len(found.ties) + len(found.behind), found.hidden) == (len(replay.curve.points), 0)
        assert found.reference is None, "the default is a finalist"


def test_the_forest_of_an_old_profile_may_have_no_chosen_setting(kept: StoredSweep) -> None:
    """A sweep of schema 1 repeated the points that mattered, and not always the one that it chose."""
    replay = replays(kept.samples, kept.profile.evidence)[0]
    old = result(setting=setting(depth=128, threads=16), tolerance_percent=None)
    found = interval_plot.field(replay, old)
    assert found.chosen is None
    with figure.drawing():
        assert "chosen" not in interval_plot.draw(found, "forest", "label")


def test_maps_say_that_they_are_of_the_pass(kept: StoredSweep) -> None:
    text = "".join(check(draw(lambda: html_page.render(kept))).text)
    for replay in replays(kept.samples, kept.profile.evidence):
        name = f"{replay.direction.capitalize()}s"
        screen = formatting.amount(replay.screen.transfer_bytes)
        raced = formatting.amount(replay.curve.transfer_bytes)
        assert replay.screen.transfer_bytes != replay.curve.transfer_bytes
        assert f"{name}: throughput of every setting, each measured once, in transfers of {screen}" in text
        assert f"{name}: the {len(replay.curve.points)} finalists, in transfers of {raced}" in text


@pytest.mark.parametrize("directions", [("read", "write"), ("read",)])
def test_a_check_is_shown(kept: StoredSweep, directions: tuple[str, ...]) -> None:
    """A check has a race alone, of settings that are no grid."""
    samples = tuple(
        each
        for each in kept.samples
        if each.request.purpose in ("calibrate", "repeat") and each.request.direction in directions
    )
    page = draw(lambda: html_page.render(replace(kept, samples=samples)))
    assert check(page).tags["svg"] == 4 * len(directions) + 1
    assert "each measured once" not in page


def test_a_sweep_of_schema_1_is_shown(kept: StoredSweep) -> None:
    """Its repeats had the transfers of its pass, and its profile knows nothing of a posterior."""
    size = next(each.request.transfer_bytes for each in kept.samples if each.request.purpose == "pass")
    samples = tuple(replace(each, request=replace(each.request, transfer_bytes=size)) for each in kept.samples)
    unknown = {item.name: None for item in fields(Result) if item.default is None}
    read, write = (replace(part, **unknown) for part in (kept.profile.read, kept.profile.write))  # type: ignore[arg-type]
    old = replace(kept, profile=replace(kept.profile, schema=1, read=read, write=write), samples=samples)
    for page in (draw(lambda: html_page.render(old)), draw(lambda: comparison.render(old, kept))):
        text = "".join(check(page).text)
        assert "None" not in text
    assert check(draw(lambda: html_page.render(old))).tags["svg"] == 9


def test_a_sweep_without_a_race_is_shown(kept: StoredSweep) -> None:
    samples = tuple(each for each in kept.samples if each.request.purpose != "repeat")
    page = draw(lambda: html_page.render(replace(kept, samples=samples)))
    assert check(page).tags["svg"] == 9
    assert "finalists, in" not in page


# --- two sweeps ------------------------------------------------------------------------------------------


def test_a_comparison_has_both_and_their_ratio(kept: StoredSweep) -> None:
    page = draw(lambda: comparison.render(kept, stored("990-pro", model="OTHER")))
    found = check(page)
    assert found.tags["svg"] == 6
    text = "".join(found.text)
    assert "970-EVO-PLUS" in text
    assert "OTHER" in text
    assert "Reads: B is" in text


def test_a_comparison_without_samples_says_whose_are_missing(kept: StoredSweep) -> None:
    page = draw(lambda: comparison.render(kept, replace(kept, samples=())))
    assert "The samples of B are missing" in "".join(check(page).text)


def test_a_comparison_with_a_drive_that_was_not_written_to(kept: StoredSweep) -> None:
    text = "".join(check(draw(lambda: comparison.render(kept, stored(read_only=True)))).text)
    assert "Writes: not measured in B." in text


def test_what_is_equal_is_not_among_the_differences(kept: StoredSweep) -> None:
    other = replace(kept, profile=replace(kept.profile, evidence=replace(kept.profile.evidence, kernel="7.0")))
    text = "".join(check(draw(lambda: comparison.render(kept, other))).text)
    assert "7.0" in text
    assert "helper_version" not in text
    assert "The same in both." in text


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (result(), "Reads: B is the same as A, with the same setting; the intervals overlap."),
        (
            result(throughput_bytes_per_s=13_000_000_000, throughput_ci95_bytes_per_s=(12_900_000_000, 13_100_000_000)),
            "Reads: B is 100 % above A, with the same setting; the intervals do not overlap.",
        ),
    ],
)
def test_a_difference_in_a_sentence(second: Result, says: str) -> None:
    first = result(throughput_bytes_per_s=6_500_000_000, throughput_ci95_bytes_per_s=(6_400_000_000, 6_600_000_000))
    if second == result():
        second = first
    assert comparison.verdict("read", first, second) == says


# --- the parts -------------------------------------------------------------------------------------------


def test_text_is_escaped_and_markup_is_not() -> None:
    assert markup.tag("p", "a < b", markup.tag("b", "&")) == "<p>a &lt; b<b>&amp;</b></p>"
    assert markup.tag("p", id='"', class_="x", aria_label="y") == '<p id="&quot;" class="x" aria-label="y"></p>'
    assert markup.tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert markup.text("a\x00b\n") == "a\N{REPLACEMENT CHARACTER}b\n"


@pytest.mark.parametrize(
    ("ratio", "says"), [(1.0, "the same as"), (1.049, "5 % above"), (0.8, "20 % below"), (3.456, "250 % above")]
)
def test_a_change_in_words(ratio: float, says: str) -> None:
    assert prose.change(ratio) == says


def lines(made: Profile) -> list[str]:
    return [re.sub(r"<[^>]+>", "", said).replace("\N{NO-BREAK SPACE}", " ") for _, said in prose.verdicts(made)]


def test_a_verdict_has_the_bound_and_the_gain_with_its_interval() -> None:
    read = result(kept_from="earlier")
    first, *_ = lines(profile(read=read))
    assert first.startswith("Reads: 6.51 GB/s (confidence: settled). ")
    for said in (sentences.shortfall(read), sentences.gain(read), sentences.kept(read)):
        assert said
        assert said[1:] in first
    first, *_ = lines(profile(read=result(default_throughput_bytes_per_s=0)))
    assert "default" not in first


def test_low_confidence_has_a_colour_of_its_own() -> None:
    kinds = [kind for kind, _ in prose.verdicts(profile(read=result(confidence="low")))]
    assert kinds == ["low", "", ""]
    assert [kind for kind, _ in prose.verdicts(read_only_profile())] == ["", "unknown"]


def test_figures_have_the_interval_in_the_unit_of_the_throughput() -> None:
    slow = result(throughput_bytes_per_s=990_000_000, throughput_ci95_bytes_per_s=(970_000_000, 1_010_000_000))
    rows = {row[0]: row[1:] for row in figures.rows(profile(read=slow), ())}
    assert rows["throughput"][0] == "990 MB/s"
    assert rows["95 % interval"][0] == "970 to 1010 MB/s"
    assert rows["over the default (95 %)"][0] == "+10.4 % (+9.8 to +10.9 %)"
    assert rows["below the best (95 %)"][0] == "at most 1.6 %, 0.5 % expected"
    assert rows["settings not ruled out"][0] == "3"
    rows = {row[0]: row[1:] for row in figures.rows(profile(read=slow), {"read"})}
    assert rows["95 % interval"][0] == "one measurement"


# --- the first screen ------------------------------------------------------------------------------------


def reader_of(made: Profile) -> Reader:
    return check(draw(lambda: html_page.render(StoredSweep(profile=made, samples=(), path=Path("x.toml")))))


def test_the_blocks_to_copy_are_those_of_get_and_export() -> None:
    made = profile()
    toml_block, deepspeed_block = copy_blocks.blocks(made)
    assert tomllib.loads(toml_block.text) == asdict(made.combined.setting)  # type: ignore[union-attr]
    found = FoundProfile(Disk("", "", "", "", 0, node="", number=""), Path("x.toml"), made)
    exported = deepspeed.export(drive_settings(found), "/mnt", ExportOptions())
    assert f"{deepspeed_block.text}\n" == rendering.render(exported)
    assert json.loads(deepspeed_block.text)["aio"]["queue_depth"] == made.combined.setting.queue_depth  # type: ignore[union-attr]
    page = html_page.render(StoredSweep(profile=made, samples=(), path=Path("x.toml")))
    for block in (toml_block, deepspeed_block):
        assert f'class="copy" tabindex="0">{markup.text(block.text)}</pre>' in page
        assert block.command in page


def test_a_queue_that_deepspeed_cannot_hold_is_capped_in_its_block() -> None:
    deep = setting(block=16 << 20, depth=256, overlap=False)
    made = profile(combined=Unmeasured(setting=deep))
    _, block = copy_blocks.blocks(made)
    assert json.loads(block.text)["aio"]["queue_depth"] == 127


def test_reads_alone_are_copied_where_writes_were_skipped() -> None:
    made = read_only_profile()
    assert isinstance(made.read, Result)
    toml_block, deepspeed_block = copy_blocks.blocks(made)
    assert (toml_block.heading, deepspeed_block.heading) == ("TOML for reads", "DeepSpeed JSON for reads")
    assert tomllib.loads(toml_block.text) == asdict(made.read.setting)
    head, rows = figures.keys(made)
    assert head == ["", "Reads"]
    assert [row[0] for row in rows] == [
        "block_size",
        "queue_depth",
        "io_parallelism",
        "overlap_events",
        "single_submit",
    ]


def test_without_any_setting_there_is_nothing_to_copy() -> None:
    nothing = Skipped(skipped="no room")
    made = replace(profile(), read=nothing, write=nothing, combined=nothing)
    assert copy_blocks.blocks(made) == ()
    assert "no room" in "".join(reader_of(made).text)


def test_the_first_screen_comes_before_the_sections_and_links_to_each(kept: StoredSweep) -> None:
    page = draw(lambda: html_page.render(kept))
    first, _, rest = page.partition("</header>")
    for each in ("block_size", "user-select: all", "TOML", "DeepSpeed", "At most", 'aria-label="Throughput and 95'):
        assert each in first
    assert set(re.findall(r'href="#(\w+)"', first)) == set(re.findall(r'<section id="(\w+)"', rest))


@pytest.mark.parametrize("findings", [(), ("read: slow; the choice is uncertain; look for other I/O",)])
def test_findings_are_on_the_first_screen(findings: tuple[str, ...]) -> None:
    made = profile(evidence=evidence(findings=findings))
    text = "".join(reader_of(made).text)
    assert ("No findings." in text) == (not findings)
    assert all(each in text for each in findings)


def test_options_in_findings_are_not_divided() -> None:
    assert prose.options("a < b; use --time-budget 5m") == "a &lt; b; use <code>--time-budget</code> 5m"
    assert prose.options("--effort quick") == "<code>--effort</code> quick"
    assert prose.options("1--2") == "1--2"


def test_the_chart_has_the_chosen_setting_its_rivals_and_the_default(kept: StoredSweep) -> None:
    for replay in replays(kept.samples, kept.profile.evidence):
        chosen = getattr(kept.profile, replay.direction)
        found = choice_plot.bars(interval_plot.field(replay, chosen), replay)
        assert found[0].setting == chosen.setting
        assert [each.is_chosen for each in found] == [True] + [False] * (len(found) - 1)
        assert sum(each.is_default for each in found) == 1
        assert 3 <= len(found) <= 4
        assert "chosen" in found[0].beside


def test_a_setting_that_was_measured_once_has_no_interval(kept: StoredSweep) -> None:
    replay = replays(kept.samples, kept.profile.evidence)[0]
    cells = heatmap.throughput(replay, kept.profile, 1e9).cells
    by_count = {point.point.setting: point.visits for point in replay.screen.points}
    once = [cells[each].tip for each, count in by_count.items() if count == 1]
    assert once
    assert all(tip.endswith("/s, one measurement") for tip in once)
    repeated = [cells[each].tip for each, count in by_count.items() if count > 1]
    assert all(re.search(r" to .*/s, \d+ measurements$", tip) for tip in repeated)


def test_a_choice_that_was_measured_once_says_so(kept: StoredSweep) -> None:
    """As after a quick sweep whose budget ended with the pass."""
    samples = tuple(each for each in kept.samples if each.request.purpose in ("pass", "calibrate"))
    short = replace(kept, samples=samples)
    every = replays(samples, kept.profile.evidence)
    assert html_page.measured_once(every, kept.profile)
    page = draw(lambda: html_page.render(short))
    first, _, _ = page.partition("</header>")
    assert "a ring is one measurement, without an interval" in first
    text = "".join(check(draw(lambda: comparison.render(short, kept))).text)
    assert "one measurement in A, so no interval" in text
    assert "one measurement" not in comparison.verdict("read", kept.profile.read, kept.profile.read)


def test_users_read_of_measurements_and_settings(kept: StoredSweep) -> None:
    """The words of the code, "visit" and "point", are not among those of the page; keys of the profile may be."""
    after = replace(kept, profile=consumer_profile())
    pages = (draw(lambda: html_page.render(after)), draw(lambda: comparison.render(kept, kept)))
    for page in pages:
        shown = re.sub(r"<(style|pre|code).*?</\1>", "", page, flags=re.DOTALL)
        words = re.sub(r"<title>|</title>", " ", shown)
        assert re.findall(r"(?i)\b(?:visit(?:s|ed)?|points?|same program|gives way|anew)\b", words) == []


def test_every_key_of_the_profile_is_among_the_facts() -> None:
    made = profile(device=device_info(), evidence=evidence(paused_seconds=3.5, temperature_peak_c=61.2))
    tables = dict(facts.sections(made))
    rows = {key: value for table in tables.values() for key, value in table}
    assert rows["paused_seconds"] == "3.5 s"
    assert rows["temperature_peak_c"] == "61.2 °C"
    assert "nr_requests" in rows
    assert "seed" in rows
    assert "findings" not in rows


def test_without_matplotlib_the_user_learns_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="apt-get install python3-matplotlib"), figure.drawing():
        pass


def test_matplotlib_gets_a_folder_where_home_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file/config"))  # no folder can be made there, even by root
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with figure.drawing():
        folder = Path(os.environ["MPLCONFIGDIR"])
        assert folder.is_dir()
    assert "MPLCONFIGDIR" not in os.environ
    assert not folder.exists()


def test_what_follows_the_choice_has_units_among_the_facts() -> None:
    known = dict(dict(facts.sections(consumer_profile()))["Sweep"])
    assert known["read_huge_gain_percent"] == "+18.2 %"
    assert known["read_huge_gain_ci95_percent"] == "+15.1 to +21.4 %"
    assert known["first_write_throughput_bytes_per_s"] == "1.21 GB/s"
    assert known["read_return_us"] == "14 µs"
    assert known["mean_run_bytes"] == "8,192 (8 KiB)"


# --- after the choice ------------------------------------------------------------------------------------


def test_a_sweep_without_curves_has_neither_their_charts_nor_their_sections(kept: StoredSweep) -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        ("huge_share", "mean_run_bytes", "thp", "read_return_us", "write_return_us")
    )
    evidence = replace(kept.profile.evidence, **unknown)
    page = draw(lambda: html_page.render(replace(kept, profile=replace(kept.profile, evidence=evidence))))
    assert not {"sizes", "consumers"} & set(check(page).values("id"))


def test_curves_have_two_charts_and_a_table() -> None:
    found = reader_of(consumer_profile())
    labels = [value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert labels == ["Throughput by request size", "99th percentile latency by request size"]
    assert {"sizes", "consumers"} <= set(found.values("id"))
    words = [text.replace("\N{NO-BREAK SPACE}", " ") for text in found.text]
    for said in (
        "4K",
        "16M",
        "psync (threads)",
        "io_uring",
        "70 % reads",
        "psync mixed",
        "8 (6.20 GB/s)",
        "256 (3.10 GB/s)",
    ):
        assert said in words
    for direction in ("Reads", "Writes"):
        assert f"{direction}: several processes with the chosen setting" in words
    assert "read: huge pages add 18.2 % (+15.1 to +21.4 %, 95 % confidence)" in words
    assert "0.96 of the mean" in words


def test_latencies_that_are_all_unknown_have_no_chart() -> None:
    curves = tuple(
        replace(curve, points=tuple(point._replace(p99_us=None) for point in curve.points))
        for curve in consumer_profile().curves
    )
    assert reader_of(consumer_profile(curves=curves)).tags["svg"] == 1


@pytest.mark.parametrize("rate", [1, 999_999, 6_198_123_456, 10**12])
def test_one_point_alone_has_round_ticks(rate: int) -> None:
    point = SizePoint(512, 1, rate, 1.0, 2.0, 1.0)
    found = reader_of(profile(curves=(SizeCurve(engine="libaio", op="mixed", points=(point,)),)))
    assert sum(" MB/s" in text or " GB/s" in text for text in found.text) >= 2  # of the tick, and of the table


@given(st.floats(1e-3, 1e12), st.floats(3, 1e6))
def test_ticks_are_round_and_within_their_limits(low: float, ratio: float) -> None:
    found = size_plot.ticks(low, low * ratio)
    assert 1 <= len(found) <= 8
    for tick in found:
        assert low * 0.99 <= tick <= low * ratio * 1.01
        assert f"{tick:e}"[0] in "1235"


def test_what_was_measured_after_the_choice_changes_no_other_chart(kept: StoredSweep) -> None:
    last = kept.samples[-1]
    after: tuple[Purpose, ...] = ("curve", "memory", "new_file", "processes")
    late = tuple(
        replace(last, request=replace(last.request, id=last.request.id + place, purpose=purpose), elapsed_ns=10**9)
        for place, purpose in enumerate(after, 1)
    )
    more = replace(kept, samples=(*kept.samples, *late))
    assert draw(lambda: html_page.render(more)) == draw(lambda: html_page.render(kept))
