from __future__ import annotations

import os
import re
from dataclasses import fields, replace
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.device_rules import MatchRule
from aio_tuned.config.load import (
    GRID_KEYS,
    Config,
    _sections,
    config_sources,
    lay_grid,
    load_config,
    parse_config,
)
from aio_tuned.errors import ConfigError, Exit
from unit.support.builders import GIB, PROJECT
from unit.support.limits import digits_are_limited

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = (PROJECT / "etc/aio-tuned.conf").read_text(encoding="utf-8")


# --- the shipped file ------------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)


def test_the_shipped_file_with_every_key_uncommented_is_the_defaults() -> None:
    assert parse_config(uncommented(SHIPPED), "aio-tuned.conf") == Config()


def test_the_shipped_file_as_it_is_changes_nothing() -> None:
    other = Config(time_budget=7.0, tolerance_percent=3.0)
    assert parse_config(SHIPPED, "aio-tuned.conf", other) == other


def test_the_shipped_file_shows_every_key_in_its_section() -> None:
    shown: dict[str, set[str]] = {}
    section = ""
    for line in uncommented(SHIPPED).splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif key := re.match(r"(\w+) = ", line):
            shown.setdefault(section, set()).add(key[1])
    known = {name: set(keys) for name, keys in _sections().items()} | {"grid": set(GRID_KEYS)}
    assert shown == known


def test_the_rules_that_the_shipped_file_shows_are_rules() -> None:
    example = SHIPPED[SHIPPED.index("# [[match]]") :]
    text = re.sub(r"^# ?", "", example[: example.index("\n\n")], flags=re.MULTILINE)
    assert parse_config(text, "x").match == (
        MatchRule(transport="tcp", model="Linux*", tune=True),
        MatchRule(name="vd*", tune=True),
    )


def test_every_uncommented_line_is_one_that_takes_effect() -> None:
    changed = uncommented(SHIPPED).replace("time_budget = 150 ", "time_budget = 151 ")
    assert parse_config(changed, "x") == Config(time_budget=151.0)


# --- what is wrong is named ------------------------------------------------------------------------------

BAD = [
    ("grid", "block_size", "[]", "at least one value"),
    ("grid", "block_size", "1000", "multiple of 512"),
    ("grid", "block_size", '"65M"', "up to 64M"),
    ("grid", "block_size", '["128K", true]', "128K"),
    ("grid", "queue_depth", "0", "from 1 to 4096"),
    ("grid", "queue_depth", "[4, 4097]", "from 1 to 4096"),
    ("grid", "queue_depth", "true", "whole number"),
    ("grid", "queue_depth", "4.0", "whole number"),
    ("grid", "io_parallelism", "65", "from 1 to 64"),
    ("grid", "io_parallelism", '"2"', "whole number"),
    ("grid", "overlap_events", "1", "true or false"),
    ("grid", "single_submit", '["yes"]', "true or false"),
    ("sweep", "transfer_bytes", '"big"', "64G"),
    ("sweep", "span_bytes", "0", "more than 0"),
    ("sweep", "buffer", '"pages"', "consumer, huge, hugetlb"),
    ("sweep", "processes", "4", "write [1, 2, 4], or [] for none"),
    ("sweep", "processes", "[1, 17]", "from 1 to 16"),
    ("sweep", "processes", "[true]", "whole number"),
    ("curves", "enabled", "1", "true or false"),
    ("curves", "engines", '["io_urng"]', "did you mean 'io_uring'"),
    ("curves", "engines", "[]", "at least one value"),
    ("curves", "sizes", '["4K", 1000]', "multiple of 512"),
    ("curves", "sizes", '"128M"', "up to 64M"),
    ("sweep", "drop_caches", '"sometimes"', "auto, always, file, never"),
    ("sweep", "drop_caches", "[]", "auto, always, file, never"),
    ("sweep", "time_budget", '"3 days"', "3m"),
    ("sweep", "time_budget", "nan", "at most a week"),
    ("sweep", "write_budget", "-1", "more than 0"),
    ("sweep", "write_budget_percent", "0", "from 0.01 to 100"),
    ("sweep", "write_budget_percent", "nan", "from 0.01 to 100"),
    ("sweep", "write_budget_floor", "1979-05-27", "64G"),
    ("choose", "tolerance_percent", "0.01", "from 0.1 to 20"),
    ("choose", "tolerance_percent", '"1%"', "from 0.1 to 20"),
    ("choose", "read_weight", "1.1", "from 0 to 1"),
    ("choose", "read_weight", "true", "from 0 to 1"),
    ("safety", "raw_write", '"always"', "never, blank"),
    ("safety", "raw_write", "true", "never, blank"),
    ("safety", "thin_writes", '"/dev/mapper/vg-thin"', '["/dev/mapper/NAME"]'),
    ("safety", "thin_writes", '["vg-thin"]', "absolute path"),
    ("daemon", "settle", "61", "give 0 to 60 seconds"),
    ("daemon", "settle", "-1", "give 0 to 60 seconds"),
    ("daemon", "siblings", '"none"', "check, full"),
    ("daemon", "kernel_change", '"major"', "minor, exact, never"),
    ("daemon", "min_retry", "0", "more than 0"),
    ("daemon", "max_retry", '"6 hours"', "1h"),
    ("throttle", "busy_bytes_per_s", "0", "more than 0"),
    ("throttle", "busy_pressure_percent", "101", "from 0 to 100"),
    ("throttle", "busy_requests_per_s", "-1", "from 0 to 1000000"),
    ("throttle", "patience", '"always"', '"never"'),
    ("throttle", "min_pause", "[]", "90s"),
    ("throttle", "max_hold", '"8d"', "90s"),
    ("throttle", "quiet_hours", '"22:00-06:00"', '["22:00-06:00"]'),
    ("throttle", "quiet_hours", '["22-6"]', '"22:00-06:00"'),
    ("throttle", "nice", "-1", "from 0 to 19"),
    ("throttle", "nice", "20", "from 0 to 19"),
    ("throttle", "io_priority", '"best-effort"', "best-effort:7, idle"),
    ("throttle", "io_priority", '"realtime:0"', "best-effort:7, idle"),
    ("throttle", "max_celsius", "29", "from 30 to 120"),
    ("throttle", "max_celsius", '"hot"', '"drive"'),
    ("throttle", "write_budget_per_day", '"all"', "64G"),
    ("publish", "metrics", '"folder/metrics.prom"', "neither a file name nor an absolute path"),
    ("publish", "metrics", '".."', "neither a file name nor an absolute path"),
    ("publish", "metrics", '"/a\\u0000b"', "absolute path"),
    ("publish", "metrics", "false", 'write "" for none'),
    ("publish", "node_features", "[]", '"" for none'),
    ("publish", "node_features_expiry", "0", "more than 0"),
    ("publish", "node_features_expiry", "299", "at least 5 minutes"),
    ("fleet", "enabled", "1", "true or false"),
    ("fleet", "store", '"redis"', "etcd, kubernetes"),
    ("fleet", "ca_file", '"ca.pem"', '"" for none'),
    ("fleet", "user", '"a b"', "at most 64 letters"),
    ("fleet", "node", '"-a"', "dots and dashes"),
    ("fleet", "domain", "3", "dots and dashes"),
    ("fleet", "sweeps_per_domain", "0", "from 1 to 16"),
    ("fleet", "max_wait", '"never"', "90s"),
    ("fleet", "report_every", "60", "at least 5 minutes"),
    ("paths", "profiles", '"etc"', "absolute path"),
    ("paths", "runtime", '"run"', "absolute path"),
    ("paths", "state", "1", "absolute path"),
]


@pytest.mark.parametrize(("section", "key", "value", "mend"), BAD)
def test_a_bad_value_names_file_section_key_and_mend(section: str, key: str, value: str, mend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[{section}]\n{key} = {value}\n", "/etc/x.conf")
    message = str(caught.value)
    assert message.startswith(f"/etc/x.conf: [{section}] {key}: ")
    assert mend in message
    assert caught.value.exit_code == Exit.CONFIG


@pytest.mark.parametrize(
    "section", ["grid", "sweep", "choose", "safety", "daemon", "throttle", "publish", "fleet", "paths"]
)
def test_an_unknown_key_names_the_known_ones(section: str) -> None:
    with pytest.raises(ConfigError, match=rf"^/etc/x.conf: \[{section}\] unknown key 'speed'; the keys are \w+"):
        parse_config(f"[{section}]\nspeed = 1\n", "/etc/x.conf")


# Old names, each refused with the new one named.
@pytest.mark.parametrize(
    ("section", "key", "value", "new"),
    [
        ("throttle", "least_pause", '"10s"', "min_pause"),
        ("throttle", "most_hold", '"60s"', "max_hold"),
        ("throttle", "most_celsius", "70", "max_celsius"),
        ("daemon", "retry_first", '"1m"', "min_retry"),
        ("daemon", "retry_most", '"6h"', "max_retry"),
    ],
)
def test_an_old_key_is_refused_with_the_new_one_named(section: str, key: str, value: str, new: str) -> None:
    with pytest.raises(ConfigError, match=rf"^x: \[{section}\] {key} is now called {new}; rename it$"):
        parse_config(f"[{section}]\n{key} = {value}\n", "x")


def test_an_old_section_is_refused_with_the_new_one_named() -> None:
    with pytest.raises(ConfigError, match=r"^x: \[manners\] is now called \[throttle\]; rename it$"):
        parse_config("[manners]\nnice = 3\n", "x")


SECTIONS = "grid, match, export, sweep, curves, choose, safety, daemon, throttle, publish, fleet, paths"


@pytest.mark.parametrize("text", ["[[grid]]\n", "grid = 3\n"])
def test_a_section_that_is_no_table_says_how_it_is_written(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^/etc/x.conf: \[grid\] is not a table; write \[grid\], with single brackets$"
    ):
        parse_config(text, "/etc/x.conf")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("[throtle]\n", "unknown section [throtle]; did you mean 'throttle'?"),
        ("[sweep]\ntime_bugdet = 3\n", "[sweep] unknown key 'time_bugdet'; did you mean 'time_budget'?"),
        ("[grid]\nqueue_dept = 3\n", "[grid] unknown key 'queue_dept'; did you mean 'queue_depth'?"),
        ("[[match]]\ntune = true\nmodle = 'x'\n", "[match] rule 1: unknown key 'modle'; did you mean 'model'?"),
        (
            "[sweep]\neffort = 'thorogh'\n",
            "[sweep] effort: \"thorogh\" is not one of quick, default, thorough; did you mean 'thorough'?",
        ),
    ],
)
def test_a_word_that_is_almost_right_is_suggested(text: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "/etc/x.conf")
    assert str(caught.value) == f"/etc/x.conf: {near}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[safety]\nraw_write = true\n", "true is not one of never, blank"),
        ("[safety]\nraw_write = ['never']\n", '["never"] is not one of never, blank'),
        ("[sweep]\ntime_budget = 1979-05-27\n", "1979-05-27 is not a time"),
        ("[grid]\nqueue_depth = [4, 'x']\n", '"x" is not a whole number'),
        ("[grid]\noverlap_events = 1\n", "1 is not true or false"),
    ],
)
def test_a_bad_value_is_shown_as_the_file_has_it(text: str, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "/etc/x.conf")
    assert f": {shown}" in str(caught.value)


@pytest.mark.parametrize("text", ["[tune]\n", "time_budget = 3\n"])
def test_an_unknown_section_names_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^/etc/x.conf: .*the sections are {SECTIONS}$"):
        parse_config(text, "/etc/x.conf")


@pytest.mark.parametrize(
    "text",
    [
        "[sweep",
        "a = ",
        "[sweep]\ntime_budget = 1\ntime_budget = 2\n",
        "\x00",
        "x = " + "[" * 5000,
        pytest.param("x = " + "9" * 5000, marks=digits_are_limited),
    ],
    ids=["torn", "no value", "twice", "nul", "nested", "huge"],
)
def test_what_is_no_toml_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^/etc/x.conf: not valid TOML"):
        parse_config(text, "/etc/x.conf")


# --- rules -----------------------------------------------------------------------------------------------

RULE = '[[match]]\nmodel = "Sam*"\nserial = "?1"\ntransport = "tcp"\nname = "nvme-*"\ntune = false\n'


def test_a_rule_may_have_every_pattern() -> None:
    rule = MatchRule(model="Sam*", serial="?1", transport="tcp", name="nvme-*", tune=False)
    assert parse_config(RULE, "x").match == (rule,)


def test_rules_of_drop_ins_come_after_those_of_the_file(tmp_path: Path) -> None:
    main = tmp_path / "aio-tuned.conf"
    main.write_text('[[match]]\nname = "1"\ntune = true\n[[match]]\nname = "2"\ntune = false\n')
    folder = tmp_path / "aio-tuned.conf.d"
    folder.mkdir()
    (folder / "10-a.conf").write_text('[[match]]\nname = "3"\ntune = true\n')
    (folder / "20-b.conf").write_text("[sweep]\ntime_budget = 3\n")
    found = load_config(main)
    assert [(rule.name, rule.tune) for rule in found.match] == [("1", True), ("2", False), ("3", True)]
    assert found.time_budget == 3.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[match]\ntune = true\n", "write [[match]]"),
        ("match = 3\n", "write [[match]]"),
        ("match = [3]\n", "write [[match]]"),
        ("[[match]]\n", "rule 1: lacks tune"),
        ('[[match]]\nname = "x"\n', "rule 1: lacks tune"),
        ("[[match]]\ntune = true\n", "rule 1: has no pattern; set one of transport, model, serial, name"),
        (RULE + "[[match]]\nvendor = 'x'\n", "rule 2: unknown key 'vendor'; the keys are transport, model"),
        (RULE + "[[match]]\nname = ''\n", 'rule 2: name: "" is not a pattern'),
        (RULE + "[[match]]\nname = ['x']\n", 'rule 2: name: ["x"] is not a pattern'),
        (RULE + "[[match]]\ntune = 'yes'\n", 'rule 2: tune: "yes" is not true or false'),
    ],
)
def test_what_is_no_rule_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "/etc/x.conf")
    assert str(caught.value).startswith("/etc/x.conf: [match] ")
    assert complaint in str(caught.value)


def test_no_rules_are_fine() -> None:
    assert parse_config("match = []\n", "x") == Config()


# --- grids -----------------------------------------------------------------------------------------------


def test_one_value_may_stand_without_a_list_and_duplicates_count_once() -> None:
    grid = lay_grid({"queue_depth": 8, "block_size": ["1M", 1 << 20, "1024K"]}, Config().grid)
    assert grid == replace(Config().grid, queue_depth=(8,), block_size=(1 << 20,))


def test_a_grid_of_nothing_is_the_base() -> None:
    assert lay_grid({}, Config().grid) == Config().grid


# --- files -----------------------------------------------------------------------------------------------


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.conf") == Config()


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.conf: no such file"):
        load_config(tmp_path / "none.conf", must_exist=True)


def test_drop_ins_are_laid_over_the_file_in_the_order_of_their_names(tmp_path: Path) -> None:
    main = tmp_path / "aio-tuned.conf"
    main.write_text("[sweep]\ntime_budget = 1\ntransfer_bytes = 4096\n[choose]\nread_weight = 0\n")
    folder = tmp_path / "aio-tuned.conf.d"
    folder.mkdir()
    (folder / "20-b.conf").write_text("[sweep]\ntime_budget = 3\n")
    (folder / "10-a.conf").write_text("[sweep]\ntime_budget = 2\nspan_bytes = 512\n")
    (folder / "30-c.conf.bak").write_text("nonsense")
    assert load_config(main) == Config(time_budget=3.0, transfer_bytes=4096, read_weight=0.0, span_bytes=512)
    assert config_sources(main) == (main, folder / "10-a.conf", folder / "20-b.conf")


def test_drop_ins_hold_without_the_main_file(tmp_path: Path) -> None:
    folder = tmp_path / "aio-tuned.conf.d"
    folder.mkdir()
    (folder / "x.conf").write_text('[safety]\nraw_write = "blank"\n')
    assert load_config(tmp_path / "aio-tuned.conf") == Config(raw_write="blank")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "c.conf"
    path.write_text("\ufeff[grid]\nqueue_depth = [4]\n", encoding="utf-8")
    assert load_config(path).grid.queue_depth == (4,)


def test_a_bad_drop_in_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "aio-tuned.conf.d"
    folder.mkdir()
    (folder / "x.conf").write_text("[sweep]\ntime_budget = 0\n")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(folder))}/x\.conf: \[sweep\] time_budget: "):
        load_config(tmp_path / "aio-tuned.conf")


def test_a_drop_in_that_is_not_utf8_or_no_file_is_named(tmp_path: Path) -> None:
    main = tmp_path / "aio-tuned.conf"
    main.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match=r"aio-tuned.conf: cannot be read"):
        load_config(main)
    main.unlink()
    main.mkdir()
    with pytest.raises(ConfigError, match=r"aio-tuned.conf: cannot be read"):
        load_config(main)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("which", ["aio-tuned.conf", "aio-tuned.conf.d", "aio-tuned.conf.d/10-a.conf", "."])
@pytest.mark.parametrize("change", [lambda path: path.chmod(0o777), lambda path: os.chown(path, 12345, 0)])
def test_what_others_can_write_is_refused(tmp_path: Path, which: str, change: Callable[[Path], None]) -> None:
    main = tmp_path / "aio-tuned.conf"
    main.write_text("")
    drop_in = tmp_path / "aio-tuned.conf.d/10-a.conf"
    drop_in.parent.mkdir()
    drop_in.write_text('[safety]\nraw_write = "blank"\n')
    assert load_config(main).raw_write == "blank"
    change(tmp_path / which)
    with pytest.raises(ConfigError, match=rf"^{tmp_path / which}: not trusted: .*; run ch(mod|own) "):
        load_config(main)
    assert load_config(main, owners=None).raw_write == "blank"


def test_a_folder_of_drop_ins_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "aio-tuned.conf.d").write_text("")
    with pytest.raises(ConfigError, match=r"aio-tuned\.conf\.d: cannot be read: Not a directory"):
        load_config(tmp_path / "aio-tuned.conf")


def test_where_others_can_remove_drop_ins_none_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "aio-tuned.conf.d").mkdir()
    (tmp_path / "aio-tuned.conf.d").chmod(0o1777)
    with pytest.raises(ConfigError, match=r"aio-tuned\.conf\.d: not trusted: writable by other users"):
        load_config(tmp_path / "aio-tuned.conf")


def test_hidden_files_of_editors_are_no_drop_ins(tmp_path: Path) -> None:
    folder = tmp_path / "aio-tuned.conf.d"
    folder.mkdir()
    (folder / ".#x.conf").symlink_to("user@host.1234")
    assert load_config(tmp_path / "aio-tuned.conf") == Config()


# --- what it comes to ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "device_bytes", "budget"),
    [
        ({}, 3_000 * GIB, 30 * GIB),
        ({}, 1_000 * GIB, 25 * GIB),
        ({}, 250 * GIB, 25 * GIB),
        ({}, 0, 25 * GIB),
        ({}, 100_000 * GIB, 64 * GIB),
        ({"write_budget": GIB}, 1_000 * GIB, GIB),
        ({"write_budget": GIB, "write_budget_floor": 2 * GIB}, 1_000 * GIB, GIB),
        ({"write_budget_percent": 100.0}, 32 * GIB, 32 * GIB),
        ({"write_budget_floor": 1}, 100 * GIB, GIB),
    ],
)
def test_write_budget(changes: dict[str, float], device_bytes: int, budget: int) -> None:
    assert replace(Config(), **changes).write_budget_bytes(device_bytes) == budget  # type: ignore[arg-type]


def test_every_key_can_be_changed() -> None:
    text = """
        [sweep]
        btrfs = "nocow"
        buffer = "hugetlb"
        processes = []
        [curves]
        enabled = false
        engines = "libaio"
        sizes = ["1M", "64K"]
        [daemon]
        settle = 0
        siblings = "full"
        kernel_change = "exact"
        min_retry = "5s"
        max_retry = "1h"
        [throttle]
        busy_bytes_per_s = "1M"
        busy_requests_per_s = 0
        busy_pressure_percent = 0
        min_pause = 1
        max_hold = "2m"
        patience = "never"
        quiet_hours = ["08:00-20:00"]
        nice = 0
        io_priority = "idle"
        max_celsius = 70
        write_budget_per_day = "1G"
        [publish]
        metrics = ""
        node_features = "/tmp/features"
        node_features_expiry = "2h"
        export_folders = []
        [paths]
        runtime = "/tmp/run"
    """
    found = parse_config(text, "x")
    default = Config()
    names = [
        item.name
        for item in fields(Config)
        if item.metadata.get("section") in ("curves", "daemon", "throttle", "publish")
        or item.name in ("btrfs", "buffer", "processes", "runtime")
    ]
    assert all(getattr(found, name) != getattr(default, name) for name in names)
    assert found.quiet_hours == ((time(8, 0), time(20, 0)),)
    assert (found.settle, found.max_retry, found.max_celsius) == (0.0, 3600.0, 70.0)


def test_metrics_without_a_folder_lie_beside_the_rest_of_the_state() -> None:
    assert Config().metrics_file == Path("/var/lib/aio-tuned/metrics.prom")
    assert parse_config('[paths]\nstate = "/srv/aio"', "here").metrics_file == Path("/srv/aio/metrics.prom")
    assert parse_config('[publish]\nmetrics = "/srv/node/aio.prom"', "here").metrics_file == Path("/srv/node/aio.prom")
    assert parse_config('[publish]\nmetrics = ""', "here").metrics_file is None
