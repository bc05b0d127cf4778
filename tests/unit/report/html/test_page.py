from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned import formatting
from aio_tuned.errors import ConfigError
from aio_tuned.model.profile import Result
from aio_tuned.model.setting import Grid
from aio_tuned.report.html import comparison, facts, figure, heatmap, interval_plot, markup, prose, search_plot
from aio_tuned.report.html import page as html_page
from aio_tuned.report.html.style import COLOURS
from aio_tuned.report.measurement_timeline import build_timeline
from aio_tuned.report.replay import replays
from aio_tuned.search import choose
from aio_tuned.storage.sweep_archive import StoredSweep
from unit.support.builders import (
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    setting,
)
from unit.support.sweeps import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.model.profile import Profile

HOSTILE = "<script>alert(1)</script>\"' & \x1b[31m"
ALONE = {"meta", "br", "hr"}


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
    assert found.tags["svg"] == 8
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
    assert page.count("no setting was measured in both") == 2


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
        (profile(), "The samples of this sweep are not there"),
        (read_only_profile(), "asked for reads only (--read-only)"),
        (never_measured_profile(), "Nothing has been measured on this drive yet"),
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
    assert found.tags["svg"] == 4


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
        screen, raced = (formatting.size(curve.transfer_bytes) for curve in (replay.screen, replay.curve))
        assert screen != raced
        assert f"{name}: throughput of every setting, measured once each in the pass, in transfers of {screen}" in text
        assert f"{name}: the {len(replay.curve.points)} finalists, in transfers of {raced}" in text


def test_the_verdict_says_how_many_are_not_ruled_out(kept: StoredSweep) -> None:
    read = kept.profile.read
    assert isinstance(read, Result)
    alone = replace(kept, profile=replace(kept.profile, read=replace(read, ties=1, not_ruled_out=7)))
    assert "the best seen; 7 others are not ruled out" in "".join(check(draw(lambda: html_page.render(alone))).text)


@pytest.mark.parametrize("directions", [("read", "write"), ("read",)])
def test_a_check_is_shown(kept: StoredSweep, directions: tuple[str, ...]) -> None:
    """A check has a race alone, of settings that are no grid."""
    samples = tuple(
        each
        for each in kept.samples
        if each.request.purpose in ("calibrate", "repeat") and each.request.direction in directions
    )
    page = draw(lambda: html_page.render(replace(kept, samples=samples)))
    assert check(page).tags["svg"] == 4 * len(directions)
    assert "measured once each" not in page


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
    assert check(draw(lambda: html_page.render(old))).tags["svg"] == 8


def test_a_sweep_without_a_race_is_shown(kept: StoredSweep) -> None:
    samples = tuple(each for each in kept.samples if each.request.purpose != "repeat")
    page = draw(lambda: html_page.render(replace(kept, samples=samples)))
    assert check(page).tags["svg"] == 8
    assert "finalists, in" not in page


# --- two sweeps ------------------------------------------------------------------------------------------


def test_a_comparison_has_both_and_their_ratio(kept: StoredSweep) -> None:
    page = draw(lambda: comparison.render(kept, stored("990-pro", model="OTHER")))
    found = check(page)
    assert found.tags["svg"] == 6
    text = "".join(found.text)
    assert "970-EVO-PLUS" in text
    assert "OTHER" in text
    assert "Reads: B gives" in text


def test_a_comparison_without_samples_says_whose_are_missing(kept: StoredSweep) -> None:
    page = draw(lambda: comparison.render(kept, replace(kept, samples=())))
    assert "The samples of B are not there" in "".join(check(page).text)


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
        (result(), "Reads: B gives the same as A, with the same setting; the intervals overlap."),
        (
            result(throughput_bytes_per_s=13_000_000_000, throughput_ci95_bytes_per_s=(12_900_000_000, 13_100_000_000)),
            "Reads: B gives 100 % above A, with the same setting; the intervals are apart.",
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


def lines(made: Profile) -> Iterator[str]:
    for _, said in prose.verdicts(made):
        yield re.sub(r"<[^>]+>", "", said)


def test_the_verdict_in_sentences() -> None:
    first, *_ = lines(profile(read=result(kept_from="earlier", sustained_throughput_bytes_per_s=1_500_000_000)))
    assert first == (
        "Reads: 6.51 GB/s with blocks of 1M, 16 in flight on 2 threads, overlap, batch;"
        " 10.4 % above the default setting (+9.8 to +10.9 %, 95 % confidence);"
        " 40 other settings are probably as good (within 2 % of the best)."
        " At most 1.6 % below the best (95 % confidence); settled, stopped because the choice is clear."
        " Kept from the earlier sweep. Written on and on it gave 1.50 GB/s at the end."
    )
    first, *_ = lines(profile(read=result(ties=1, default_throughput_bytes_per_s=0, not_ruled_out=0)))
    assert "overlap, batch; no other setting is as good. At most" in first
    first, *_ = lines(profile(read=result(ties=1, default_throughput_bytes_per_s=0, not_ruled_out=12)))
    assert "overlap, batch; the best seen; 12 others are not ruled out. At most" in first


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
    import sys

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
