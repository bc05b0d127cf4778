from __future__ import annotations

import contextlib
import json
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import jsonschema
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aio_tuned.errors import Exit, ProfileError
from aio_tuned.model.measurement import Engine
from aio_tuned.model.profile import Profile, Result, Skipped, Unmeasured
from aio_tuned.model.size_curve import CurveOp, SizeCurve
from aio_tuned.profiles.codec import HEADER, SCHEMA, parse, render, to_table
from unit.support.builders import (
    CONCURRENCY,
    MIB,
    PROJECT,
    consumer_evidence,
    consumer_profile,
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    setting,
)
from unit.support.limits import digits_are_limited
from unit.support.verdicts import not_better, verdict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA_DOCUMENT = json.loads((PROJECT / "docs/profile.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA_DOCUMENT)

# The keys of a measured section that files of schema 1 lack.
SINCE_SCHEMA_2 = (
    "confidence",
    "regret95_percent",
    "expected_shortfall_percent",
    "tolerance_percent",
    "probability_within_tolerance",
    "versus_default_percent",
    "versus_default_ci95_percent",
    "stopped_because",
    "not_ruled_out",
    "challengers",
)
OLD = replace(
    result(),
    **dict.fromkeys(SINCE_SCHEMA_2),  # type: ignore[arg-type]  # all of them may be None
)
READS_AT_ONCE = replace(
    CONCURRENCY,
    write_throughput_bytes_per_s=None,
    write_p99_us=None,
    write_slowest_share=None,
    write_divisor=None,
)
VARIANTS = {
    "schema 1": replace(profile(), schema=1, read=OLD, write=OLD),
    "full": profile(),
    "read only": read_only_profile(),
    "no combined": replace(profile(), combined=Skipped(skipped="not swept")),
    "provisional": replace(profile(), state="provisional"),
    "stale": replace(profile(), state="stale"),
    "volume": replace(
        profile(), device=device_info(nsid=None, numa_node=None, members=("nvme0n1", "nvme1n1"), transport="")
    ),
    "default not measured": replace(profile(), read=result(default_throughput_bytes_per_s=0)),
    "no findings": replace(profile(), evidence=evidence(findings=())),
    "tiny floats": replace(profile(), evidence=evidence(read_noise=1e-05, write_noise=1.5e-7, read_drift=-2e-300)),
    "never measured": never_measured_profile(),
    "overridden": replace(
        profile(),
        read=Unmeasured(setting=setting(), overridden=("block_size", "single_submit")),
        combined=Unmeasured(setting=setting(), overridden=("queue_depth",)),
    ),
    "checked": replace(
        consumer_profile(),
        device=device_info(boot_id="6ff02615-2f2d-4a56-905e-6babb01430aa"),
        read=result(kept_from="earlier", sustained_throughput_bytes_per_s=1_400_000_000),
        evidence=consumer_evidence(
            temperature_peak_c=61.5,
            paused_seconds=70.0,
            resumed=2,
            checked_against="nvme-other",
            effort="thorough",
            fleet_class="0123456789abcdef",
            fleet_generation=3,
            fleet_contributors=("n1/nvme-a", "n2/nvme-b"),
        ),
        fingerprint=replace(consumer_profile().fingerprint, array="degraded"),
    ),
    "curves": consumer_profile(),
    "verified": replace(profile(), verified=(verdict(), not_better(consumer="lmcache"))),
    "curves in another order": consumer_profile(curves=consumer_profile().curves[::-1]),
    "one direction at once": consumer_profile(concurrency=READS_AT_ONCE),
    "large floats": replace(profile(), read=result(latency_p99_us=1e22), evidence=evidence(seconds=1e16)),
}


@pytest.fixture(params=VARIANTS.values(), ids=list(VARIANTS))
def variant(request: pytest.FixtureRequest) -> Profile:
    found: Profile = request.param
    return found


# --- there and back --------------------------------------------------------------------------------------


def test_what_is_rendered_is_the_table_and_parses_to_the_same_profile(variant: Profile) -> None:
    text = render(variant)
    assert text.startswith(HEADER)
    assert tomllib.loads(text) == to_table(variant)
    assert parse(text) == variant


def test_the_text_is_a_function_of_the_profile(variant: Profile) -> None:
    assert render(variant) == render(parse(render(variant)))


def test_a_section_has_its_setting_first_and_the_file_its_schema() -> None:
    text = render(profile())
    lines = text.splitlines()
    assert lines[1] == f"schema = {SCHEMA}"
    section = lines[lines.index("[read]") + 1 :]
    assert [line.partition(" = ")[0] for line in section[:5]] == [
        "block_size",
        "queue_depth",
        "io_parallelism",
        "overlap_events",
        "single_submit",
    ]
    assert [line for line in lines if line.startswith("[")] == [
        "[device]",
        "[read]",
        "[write]",
        "[combined]",
        "[evidence]",
        "[fingerprint]",
    ]


def test_what_is_unknown_is_left_out() -> None:
    table = to_table(VARIANTS["volume"])
    assert "nsid" not in table["device"]
    assert "numa_node" not in table["device"]
    assert to_table(read_only_profile())["write"] == {"skipped": "asked for reads only (--read-only)"}


NASTY = [
    'a "quoted" model',
    "back\\slash",
    "\\x41\\u0041\\",
    "\\x",
    '\\"',
    "'''",
    '"""',
    "\x00\x01\x1f\x7f",
    "line\nfeed\r\ttab\b\f\v\x85\u2028",
    "\\\x01",
    "😀 emoji",
    "\u202eright to left\u200f",
    "x" * 40,
    "padded   ",
    "[device]",
    "a = 1 # no",
    "\ufeffbom",
    "\U0010ffff",
    "",
]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(alphabet="\\\"'xuU0041\n\x7f\x00[]=# ", max_size=20),
    st.sampled_from(NASTY),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(TEXT, TEXT, st.lists(TEXT, max_size=3))
def test_any_text_comes_back_as_it_was(model: str, reason: str, findings: list[str]) -> None:
    made = replace(
        read_only_profile(reason or "-"),
        device=device_info(model=model, serial=reason, members=tuple(findings)),
        evidence=evidence(findings=tuple(findings)),
    )
    text = render(made)
    assert parse(text) == made
    assert tomllib.loads(text)["device"]["model"] == model


@pytest.mark.parametrize("text", NASTY)
def test_nasty_text_comes_back_as_it_was(text: str) -> None:
    made = replace(profile(), device=device_info(model=text), evidence=evidence(findings=(text, text)))
    assert parse(render(made)) == made


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.floats(0, allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@example(0.1 + 0.2, -0.0)
def test_any_number_comes_back_as_it_was(seconds: float, drift: float) -> None:
    made = replace(profile(), evidence=evidence(seconds=seconds, read_drift=drift))
    assert parse(render(made)).evidence == made.evidence


# --- sections that were not measured ---------------------------------------------------------------------


def test_a_section_without_figures_is_its_setting_alone() -> None:
    table = to_table(never_measured_profile())
    assert table["write"] == {
        "block_size": MIB,
        "queue_depth": 8,
        "io_parallelism": 1,
        "overlap_events": True,
        "single_submit": False,
    }
    assert "measured_at" not in table["evidence"]
    assert parse(render(never_measured_profile())).write == Unmeasured(setting=setting())


def test_what_the_administrator_set_is_named() -> None:
    assert to_table(VARIANTS["overridden"])["read"]["overridden"] == ["block_size", "single_submit"]


@pytest.mark.parametrize("section", ["read", "write", "combined"])
@pytest.mark.parametrize("kept", ["ties", "latency_p99_us", "read_share"])
def test_a_section_with_some_of_its_figures_is_torn_rather_than_unmeasured(section: str, kept: str) -> None:
    table = to_table(profile())[section]
    if kept not in table:
        return
    text = render(profile())
    for key in set(table) - set(bare(section)) - {kept}:
        start = text.index(f"\n{key} = ", text.index(f"[{section}]"))
        text = text[:start] + text[text.index("\n", start + 1) :]
    with pytest.raises(ProfileError, match=rf"{section}\.\w+ is missing"):
        parse(text)


@pytest.mark.parametrize(
    "made",
    [
        replace(profile(), evidence=evidence(measured_at=None)),
        replace(profile(), state="provisional", evidence=evidence(measured_at=None)),
        replace(never_measured_profile(), state="measured"),
    ],
)
def test_figures_without_a_date_are_no_profile(made: Profile) -> None:
    with pytest.raises(ProfileError, match=r"evidence\.measured_at is missing"):
        render(made)


# --- what has no place in a profile ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        np.int64(5),
        np.float64(5.0),
        np.bool_(True),
        np.str_("x"),
        float("nan"),
        float("inf"),
        float("-inf"),
        b"bytes",
        1j,
        {"a": 1},
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["ties", "latency_p99_us"])
def test_foreign_numbers_are_refused_and_the_place_is_named(wrong: Any, where: str) -> None:  # noqa: ANN401
    made = replace(profile(), read=replace(result(), **{where: wrong}))
    with pytest.raises(TypeError, match=rf"^profile\.read\.{where}: a profile cannot hold "):
        render(made)


def test_foreign_numbers_are_refused_in_lists_and_settings_too() -> None:
    with pytest.raises(TypeError, match=r"throughput_ci95_bytes_per_s: a profile cannot hold a int64"):
        render(replace(profile(), read=replace(result(), throughput_ci95_bytes_per_s=(np.int64(1), np.int64(2)))))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=": a profile cannot hold a int64"):
        render(replace(profile(), read=result(setting=setting(depth=np.int64(8)))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made",
    [
        replace(profile(), state="guessed"),  # type: ignore[arg-type]
        replace(profile(), schema=3),
        replace(profile(), read=result(latency_p99_us="fast")),
        replace(profile(), read=result(ties=True)),
        replace(profile(), read=result(throughput_ci95_bytes_per_s=(1, 2, 3))),
    ],
)
def test_what_would_not_read_back_is_not_rendered(made: Profile) -> None:
    with pytest.raises(ProfileError):
        render(made)


def test_a_file_of_schema_1_is_read_as_it_is() -> None:
    """A drive that was measured before an update keeps its profile; what the file does not say is unknown."""
    table = to_table(replace(profile(), schema=1, read=OLD, write=OLD))
    assert not set(SINCE_SCHEMA_2) & set(table["read"])
    text = render(replace(profile(), schema=1, read=OLD, write=OLD))
    found = parse(text.replace("[write]", "[write]\nwithin_percent = 52.0", 1))
    assert (found.schema, found.state) == (1, "measured")
    assert isinstance(found.read, Result)
    assert [getattr(found.read, key) for key in SINCE_SCHEMA_2] == [None] * len(SINCE_SCHEMA_2)
    assert found.read.challenger_shares() == ()


def test_challengers_are_settings_with_their_shares() -> None:
    found = parse(render(profile()))
    assert isinstance(found.read, Result)
    assert found.read.challenger_shares() == (
        (setting(1 << 20, 32, 1), 0.9961),
        (setting(128 << 10, 64, 4), 0.9938),
        (setting(512 << 10, 8, 8, overlap=False, single=True), 0.9907),
    )


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("[[1048576, 32, 1, 1, 0]]", "challengers"),
        ("[[1048576, 32, 1, 1, 0, 9961, 1]]", "challengers"),
        ("[[1048576, 32, 1, 1, 0, 1.5]]", "challengers"),
        ("[1048576, 32, 1, 1, 0, 9961]", "challengers"),
        ("[[1048576, 32, 1, 1, 0, 0]]", r"\[read\] has impossible figures"),
        ("[[1048576, 32, 1, 1, 0, -9961]]", r"\[read\] has impossible figures"),
    ],
)
def test_challengers_that_cannot_be_are_no_profile(value: str, complaint: str) -> None:
    lines = render(profile()).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("challengers"))
    with pytest.raises(ProfileError, match=complaint):
        parse("\n".join([*lines[:place], f"challengers = {value}", *lines[place + 1 :]]))


# --- what is no profile ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full", "volume"])
def test_every_prefix_of_a_file_is_an_error_or_the_whole(name: str) -> None:
    variant = VARIANTS[name]
    text = render(variant)
    for end in range(len(text)):
        try:
            found = parse(text[:end])
        except ProfileError:
            continue
        assert found == variant
        assert text[end:].strip() == ""


def test_a_file_that_is_cut_off_in_its_curves_is_an_error() -> None:
    lines = render(VARIANTS["curves"]).splitlines()
    for end in range(1, len(lines)):
        with pytest.raises(ProfileError):
            parse("\n".join(lines[:end]))


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("better = true", "better = 1"),
        ("ratio = 1.2", "ratio = 0.0"),
        ("ratio = 1.2", "ratio = 1.3"),
        ("read_bytes_per_s = 2600000000", "read_bytes_per_s = 0"),
        ('version = "0.19.8"', ""),
    ],
)
def test_an_impossible_verdict_is_an_error(line: str, wrong: str) -> None:
    text = render(replace(profile(), verified=(verdict(),)))
    assert text.count(f"\n{line}\n") == 1
    with pytest.raises(ProfileError, match="verified_deepspeed"):
        parse(text.replace(f"\n{line}\n", f"\n{wrong}\n"))


def test_a_hole_in_a_file_is_never_another_profile() -> None:
    """A line lost is an error; only what is optional, or missing in older files, may be missing."""
    lines = render(profile()).splitlines()
    optional = {"nsid", "numa_node", "read_noise", "write_noise", "read_drift", "write_drift", "saturating_concurrency"}
    optional |= {"metadata_bytes", *SINCE_SCHEMA_2}
    for number, line in enumerate(lines):
        key = line.partition(" = ")[0]
        if not line or line.startswith("#") or key in optional:
            continue
        with pytest.raises(ProfileError):
            parse("\n".join(lines[:number] + lines[number + 1 :]))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "schema number missing"),
        ("[project]\nname = 'x'\n", "schema number missing"),
        ("schema = true\n", "schema number missing"),
        ("schema = '1'\n", "schema number missing"),
        ("schema = 1.0\n", "schema number missing"),
        ("schema = 3\n", "schema 3 is not supported"),
        ("schema = 0\n", "schema 0 is not supported"),
        ("schema = 1\n", "state"),
        ("schema = 2\n", "state"),
        ("schema = 1\nstate = 'measured'\n", r"section \[device\] is missing"),
        ("schema = 1\nstate = 'measured'\ndevice = 3\n", r"section \[device\] is missing"),
        ("schema = 1\nstate = 'measured'\ndevice = []\n", r"section \[device\] is missing"),
        ("schema = 1\nstate = 'measured'\n[device]\n", "device.id is missing"),
        ("{}", "not valid TOML"),
        ("\x00\x00\x00", "not valid TOML"),
        ("x = " + "[" * 5000, "not valid TOML"),
        pytest.param("x = " + "9" * 5000, "not valid TOML", marks=digits_are_limited),
    ],
    ids=range(17),
)
def test_foreign_text_is_a_profile_error(text: str, complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint) as caught:
        parse(text)
    assert caught.value.exit_code == Exit.DATA


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('state = "measured"', 'state = "done"', "state = 'done'"),
        ('state = "measured"', "state = 1", "state = 1"),
        ('state = "measured"', "state = []", "state"),
        ("queue_depth = 16", "queue_depth = 16.0", "queue_depth"),
        ("queue_depth = 16", "queue_depth = true", "queue_depth"),
        ("queue_depth = 16", 'queue_depth = "16"', "queue_depth"),
        ("overlap_events = true", "overlap_events = 1", "overlap_events"),
        ("latency_p99_us = 1210.0", "latency_p99_us = true", "latency_p99_us"),
        ("latency_p99_us = 1210.0", "latency_p99_us = nan", "latency_p99_us"),
        ("latency_p99_us = 1210.0", "latency_p99_us = 1" + "0" * 400, "latency_p99_us"),
        ("members = []", "members = [1]", "members"),
        ("members = []", 'members = "nvme0n1"', "members"),
        ("6480000000, 6544000000", "6480000000", "throughput_ci95_bytes_per_s"),
        ("nsid = 1", "nsid = 'one'", "nsid"),
    ],
)
def test_a_value_of_another_type_is_a_profile_error(old: str, new: str, complaint: str) -> None:
    text = render(profile())
    broken = text.replace(old, new, 1)
    assert broken != text
    with pytest.raises(ProfileError, match=complaint):
        parse(broken)


def test_keys_of_a_later_version_are_left_alone() -> None:
    text = render(profile())
    later = text.replace("schema = 1\n", "schema = 1\nfuture = [1, 2]\n").replace("[read]\n", "[read]\nmood = 'good'\n")
    assert later != text
    assert parse(later + "\n[more]\nx = 1\n") == profile()


def test_a_section_that_is_skipped_has_no_setting_whatever_else_it_says() -> None:
    table = to_table(profile())
    text = render(profile()).replace("[read]\n", '[read]\nskipped = "why"\n')
    assert parse(text).read == Skipped(skipped="why")
    assert "skipped" not in table["read"]


def test_a_whole_number_where_a_fraction_is_due_is_fine() -> None:
    text = render(profile()).replace("latency_p99_us = 1210.0", "latency_p99_us = 1210")
    assert parse(text) == profile()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_a_flipped_character_is_an_error_or_a_profile_but_never_a_crash(data: st.DataObject) -> None:
    text = render(profile())
    place = data.draw(st.integers(0, len(text) - 1))
    what = data.draw(st.characters(exclude_categories=["Cs"]))
    with contextlib.suppress(ProfileError):
        parse(text[:place] + what + text[place + 1 :])


# --- the schema ------------------------------------------------------------------------------------------


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA_DOCUMENT)


def test_what_we_render_is_valid(variant: Profile) -> None:
    VALIDATOR.validate(tomllib.loads(render(variant)))
    VALIDATOR.validate(json.loads(json.dumps(to_table(variant))))


def test_the_schema_describes_every_key_that_we_write_and_requires_all_but_the_optional() -> None:
    table = to_table(VARIANTS["checked"])
    for section in ("device", "evidence", "fingerprint"):
        described = SCHEMA_DOCUMENT["properties"][section]
        assert set(described["properties"]) == set(table[section])
        optional = set(table[section]) - set(described["required"])
        expected = {
            "device": {"nsid", "numa_node", "boot_id"},
            "evidence": {
                *("measured_at", "read_noise", "write_noise", "read_drift", "write_drift"),
                *("temperature_peak_c", "paused_seconds", "resumed", "checked_against", "effort"),
                *("fleet_class", "fleet_generation", "fleet_contributors"),
                *("huge_share", "mean_run_bytes", "thp", "first_write_throughput_bytes_per_s"),
                *("read_huge_gain_percent", "read_huge_gain_ci95_percent", "read_return_us"),
                *("write_huge_gain_percent", "write_huge_gain_ci95_percent", "write_return_us"),
                *("io_uring_read_ratio", "io_uring_read_ratio_ci95"),
                *("io_uring_write_ratio", "io_uring_write_ratio_ci95"),
            },
            "fingerprint": {"array", "metadata_bytes", "cpu_model", "cpus", "thp", "page_bytes", "iommu", "numa_node"},
        }
        assert optional == expected[section]
    setting_keys = set(SCHEMA_DOCUMENT["$defs"]["setting"]["properties"])
    result_keys = set(SCHEMA_DOCUMENT["$defs"]["result"]["oneOf"][2]["allOf"][1]["properties"])
    assert setting_keys | result_keys == set(table["read"])
    combined_keys = set(SCHEMA_DOCUMENT["properties"]["combined"]["oneOf"][2]["allOf"][1]["properties"])
    assert setting_keys | combined_keys == set(table["combined"])
    assert set(SCHEMA_DOCUMENT["properties"]["concurrency"]["properties"]) == set(table["concurrency"])
    assert set(SCHEMA_DOCUMENT["$defs"]["curve"]["properties"]) == set(SCHEMA_DOCUMENT["$defs"]["curve"]["required"])
    assert set(SCHEMA_DOCUMENT["$defs"]["curve"]["properties"]) == set(table["curve_psync_read"])


def test_the_schema_describes_the_curve_of_every_engine_and_direction() -> None:
    (name,) = (each for each in SCHEMA_DOCUMENT["patternProperties"] if each.startswith("^curve_"))
    for engine in get_args(Engine):
        for op in get_args(CurveOp):
            assert re.search(name, SizeCurve(engine=engine, op=op, points=()).name)
    assert not re.search(name, "curve_sqpoll_read")


def bare(section: str) -> dict[str, Any]:
    """The section's setting alone."""
    table = to_table(profile())[section]
    return {key: table[key] for key in SCHEMA_DOCUMENT["$defs"]["setting"]["properties"]}


def without(section: str, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda table: table[section].pop(key)


def with_value(section: str, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda table: table[section].update({key: value})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.pop("read"),
        lambda table: table.update(schema=3),
        lambda table: table.update(state="done"),
        without("read", "queue_depth"),
        without("read", "ties"),
        without("combined", "read_share"),
        without("device", "id"),
        without("evidence", "seed"),
        without("fingerprint", "kernel"),
        with_value("read", "queue_depth", 0),
        with_value("read", "block_size", 1000),
        with_value("read", "io_parallelism", 65),
        with_value("read", "overlap_events", 1),
        with_value("read", "throughput_bytes_per_s", 0),
        with_value("read", "throughput_ci95_bytes_per_s", [1]),
        with_value("combined", "write_share", 1.1),
        with_value("device", "name", "../etc/passwd"),
        with_value("device", "name", ".hidden"),
        with_value("device", "name", ""),
        with_value("evidence", "cache_verdict", "cache"),
        with_value("evidence", "points_measured", 0),
        with_value("evidence", "drop_caches", ""),
        without("evidence", "measured_at"),
        lambda table: (table.update(state="provisional"), table["evidence"].pop("measured_at")),
        with_value("read", "throughput_bytes_per_s", None),
        without("write", "throughput_bytes_per_s"),
        without("read", "confidence"),
        without("write", "challengers"),
        with_value("read", "confidence", "sure"),
        with_value("read", "regret95_percent", 101),
        with_value("read", "probability_within_tolerance", 1.01),
        with_value("read", "kept_from", ""),
        with_value("read", "challengers", [[1, 2, 3, 4, 5]]),
        lambda table: table.update(read={**bare("read"), "overridden": []}),
        lambda table: table.update(read={**bare("read"), "overridden": ["latency"]}),
        lambda table: table.update(combined={**bare("combined"), "ties": 3}),
        lambda table: table.update(write={"skipped": ""}),
        lambda table: table.update(write={}),
        without("curve_psync_read", "share"),
        with_value("curve_psync_read", "request_bytes", [256]),
        with_value("curve_psync_read", "request_bytes", [1000]),
        with_value("curve_psync_read", "request_bytes", [128 << 20]),
        with_value("curve_psync_read", "request_bytes", []),
        with_value("curve_io_uring_write", "in_flight", [0]),
        with_value("curve_io_uring_write", "in_flight", [4097]),
        with_value("curve_psync_mixed", "throughput_bytes_per_s", [0]),
        with_value("curve_psync_mixed", "p50_us", [0]),
        with_value("curve_psync_mixed", "p99_us", [-1]),
        with_value("curve_psync_mixed", "share", [1.1]),
        lambda table: table.update(curve_psync_read=3),
        without("concurrency", "processes"),
        without("concurrency", "read_p99_us"),
        without("concurrency", "write_divisor"),
        lambda table: table.update(concurrency={"processes": [1, 2]}),
        with_value("concurrency", "processes", [0]),
        with_value("concurrency", "read_slowest_share", [0]),
        with_value("concurrency", "write_divisor", [0]),
        with_value("evidence", "huge_share", 1.1),
        with_value("evidence", "read_huge_gain_ci95_percent", [1]),
        with_value("evidence", "first_write_throughput_bytes_per_s", 0),
        with_value("fingerprint", "cpus", 0),
        with_value("fingerprint", "numa_node", -2),
    ],
    ids=range(62),
)
def test_a_broken_table_is_not_valid(spoil: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(json.dumps(to_table(consumer_profile())))
    spoil(table)
    assert not VALIDATOR.is_valid(table)


def test_measured_at_is_rfc_3339() -> None:
    stamp = to_table(profile())["evidence"]["measured_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", stamp)
