from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.errors import ConfigError, Exit
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles import codec as profile_text
from aio_tuned.profiles.override import Override, merge, parse
from unit.support.builders import MIB, never_measured_profile, profile, read_only_profile, setting

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile

ORIGIN = "/etc/aio-tuned/override.d/nvme-x.toml"
KIB = 1 << 10


def override(**sections: dict[str, int | bool]) -> Override:
    return Override(origin=ORIGIN, sections=sections)


# --- the file --------------------------------------------------------------------------------------------


def test_a_file_may_have_every_parameter_in_every_section() -> None:
    text = """
        [read]
        block_size = "512K"
        queue_depth = 4
        io_parallelism = 2
        overlap_events = false
        single_submit = true
        [write]
        [combined]
        queue_depth = 1
    """
    read = {
        "block_size": 512 * KIB,
        "queue_depth": 4,
        "io_parallelism": 2,
        "overlap_events": False,
        "single_submit": True,
    }
    assert parse(text, ORIGIN) == override(read=read, write={}, combined={"queue_depth": 1})


def test_an_empty_file_overrides_nothing() -> None:
    assert parse("# later\n", ORIGIN) == override()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[read]\nqueue_depth = 0\n", "[read] queue_depth: 0 is not a whole number from 1 to 4096"),
        ("[read]\nqueue_depth = [4, 8]\n", "[read] queue_depth: [4, 8] is not a whole number"),
        ("[write]\nblock_size = 1000\n", "[write] block_size: 1000 is not a multiple of 512"),
        ('[write]\nblock_size = "big"\n', '"128K"'),
        ("[combined]\nio_parallelism = 65\n", "[combined] io_parallelism: 65 is not a whole number from 1 to 64"),
        ("[combined]\noverlap_events = 1\n", "[combined] overlap_events: 1 is not true or false"),
        ("[read]\ndepth = 4\n", "[read] unknown key 'depth'; did you mean 'queue_depth'?"),
        ("[device]\n", "unknown section [device]; the sections are read, write, combined"),
        ("read = 3\n", "unknown section [read]; the sections are read, write, combined"),
        ("[[read]]\nqueue_depth = 3\n", "unknown section [read]"),
        ("queue_depth = 3\n", "unknown section [queue_depth]"),
        ("[read", "not valid TOML"),
        ("x = " + "[" * 5000, "not valid TOML"),
    ],
    ids=range(13),
)
def test_what_is_wrong_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, ORIGIN)
    assert str(caught.value).startswith(f"{ORIGIN}: ")
    assert complaint in str(caught.value)
    assert caught.value.exit_code == Exit.CONFIG


# --- what readers get ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "wanted", "section", "after"),
    [
        (
            profile(),
            {"block_size": 256 * KIB},
            "read",
            Unmeasured(setting=setting(block=256 * KIB, depth=16, threads=2), overridden=("block_size",)),
        ),
        (
            profile(),
            {"queue_depth": 4, "single_submit": True},
            "write",
            Unmeasured(setting=setting(depth=4, single=True), overridden=("queue_depth", "single_submit")),
        ),
        (
            profile(),
            {"io_parallelism": 4},
            "combined",
            Unmeasured(setting=setting(depth=16, threads=4), overridden=("io_parallelism",)),
        ),
        (
            read_only_profile(),
            {"queue_depth": 32},
            "write",
            Unmeasured(setting=replace(DEFAULT_SETTING, queue_depth=32), overridden=("queue_depth",)),
        ),
        (
            never_measured_profile(),
            {"overlap_events": True},
            "combined",
            Unmeasured(setting=DEFAULT_SETTING, overridden=("overlap_events",)),
        ),
        (
            replace(never_measured_profile(), read=Unmeasured(setting=setting(depth=32, threads=4))),
            {"block_size": 256 * KIB},
            "read",
            Unmeasured(setting=setting(block=256 * KIB, depth=32, threads=4), overridden=("block_size",)),
        ),
    ],
)
def test_a_section_that_is_overridden(
    before: Profile, wanted: dict[str, int | bool], section: str, after: object
) -> None:
    found = merge(before, override(**{section: wanted}))
    assert getattr(found, section) == after
    assert found.state == before.state
    untouched = {"read", "write", "combined", "device", "fingerprint"} - {section}
    assert all(getattr(found, name) == getattr(before, name) for name in untouched)
    assert len(found.evidence.findings) == len(before.evidence.findings) + 1
    assert profile_text.parse(profile_text.render(found)) == found


def test_the_finding_names_the_file_and_the_measured_best() -> None:
    found = merge(profile(), override(read={"block_size": 512 * KIB, "overlap_events": False}))
    assert found.evidence.findings[-1] == (
        f"[read] block_size = 512K (measured best: 1M), overlap_events = false (measured best: true): set by {ORIGIN}"
    )


def test_where_nothing_was_measured_there_is_no_measured_best() -> None:
    found = merge(never_measured_profile(), override(write={"queue_depth": 64}))
    assert found.evidence.findings == (f"[write] queue_depth = 64: set by {ORIGIN}",)


@pytest.mark.parametrize(
    "same",
    [
        override(),
        override(read={}),
        override(read={"block_size": MIB, "queue_depth": 16, "io_parallelism": 2}, combined={"queue_depth": 16}),
    ],
)
def test_an_override_that_changes_nothing_changes_nothing(same: Override) -> None:
    assert merge(profile(), same) == profile()


@pytest.mark.parametrize("before", [profile(), read_only_profile(), never_measured_profile()])
def test_an_empty_section_changes_nothing(before: Profile) -> None:
    assert merge(before, override(read={}, write={}, combined={})) == before


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "block_size": st.sampled_from([512, 128 * KIB, MIB]),
    "queue_depth": st.sampled_from([1, 8, 16]),
    "io_parallelism": st.integers(1, 3),
    "overlap_events": st.booleans(),
    "single_submit": st.booleans(),
}


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    st.sampled_from([profile(), read_only_profile(), never_measured_profile()]),
    st.dictionaries(
        st.sampled_from(["read", "write", "combined"]),
        st.fixed_dictionaries({}, optional=VALUES),
    ),
)
def test_readers_get_every_wanted_value_and_figures_only_for_what_was_measured(
    before: Profile, sections: dict[str, dict[str, int | bool]]
) -> None:
    found = merge(before, override(**sections))
    for section in ("read", "write", "combined"):
        part, was = getattr(found, section), getattr(before, section)
        wanted = sections.get(section, {})
        if isinstance(part, (Result, CombinedResult, Skipped)):
            assert part == was
        if not isinstance(part, Skipped):
            assert asdict(part.setting) | wanted == asdict(part.setting)
        else:
            assert not wanted
