"""What check-config prints: TOML that reads back to the same configuration, with units as people write them."""

from __future__ import annotations

import json
import sys
from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.config.device_rules import MatchRule
from aio_tuned.config.export_rules import ExportRule, parse_rule
from aio_tuned.config.load import GRID_KEYS, Config, _sections, lay_grid, parse_config
from aio_tuned.config.render import render, to_document

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHANGED = Config(
    grid=lay_grid({"block_size": ["1.5M", 4096, 512 * 3], "overlap_events": True}, Config().grid),
    match=(
        MatchRule(name="vd*", tune=True),
        MatchRule(model='QEMU "x" \\ [0-9]\x7f\n', transport="tcp", serial="Ü?", tune=False),
    ),
    export=(
        ExportRule(consumer="kvikio", path=Path('/mnt/"a" b\n'), file=Path("/srv/x")),
        ExportRule(
            consumer="env",
            path=Path("/"),
            file=Path("/srv/y"),
            mode=0o600,
            max_block_size=1 << 20,
            request_size=12345,
            for_version="1.2",
        ),
    ),
    export_folders=(Path("/srv"),),
    quiet_hours=((time(22, 0), time(6, 30)), (time(12, 0), time(13, 0))),
    thin_writes=(Path("/dev/mapper/a"), Path('/dev/mapper/"b"')),
    max_celsius=70.5,
    patience=None,
    metrics=None,
    node_features=Path("/etc/features.d/aio"),
    settle=0.0,
    time_budget=90.0,
    min_retry=0.1,
    max_hold=7201.0,
    min_free=(10 << 30) + 1,
    processes=(),
    curves=False,
    curve_engines=("libaio",),
    curve_sizes=(3 << 19, 64 << 10),
    write_budget_percent=0.25,
    fleet=True,
    fleet_endpoints=("https://etcd-1:2379", "https://[::1]:2379"),
    fleet_ca_file=Path("/etc/aio-tuned/ca.pem"),
    fleet_node="node-1",
    fleet_domain="rack.7",
    fleet_trusted_keys=("NzubEzjE6xs/ZFdlr9ZRtLl7NcMsRyt5zD/CFiwJ8WM=",),
    fleet_node_keys=Path("/etc/aio-tuned/node-keys"),
    fleet_sweeps_per_domain=16,
    fleet_report_every=86400.0,
)


@pytest.mark.parametrize("config", [Config(), CHANGED], ids=["defaults", "changed"])
def test_it_reads_back_to_the_same_configuration(config: Config) -> None:
    assert parse_config(render(config), "x") == config


@pytest.mark.parametrize("config", [Config(), CHANGED], ids=["defaults", "changed"])
def test_the_document_is_json_and_its_values_are_those_that_the_file_takes(config: Config) -> None:
    document = json.loads(json.dumps(to_document(config)))
    text = "".join(
        f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for section, table in document.items()
        if section not in ("match", "export")
    )
    rules = [MatchRule(**rule) for rule in document["match"]]
    assert (*parse_config(text, "x").match, *rules) == config.match
    assert tuple(parse_rule(rule) for rule in document["export"]) == config.export
    assert parse_config(text, "x", Config(match=config.match, export=config.export)) == config


def test_every_key_has_its_section() -> None:
    table = tomllib.loads(render(Config()))
    assert {section: set(keys) for section, keys in table.items()} == {
        "grid": set(GRID_KEYS),
        **{section: set(keys) for section, keys in _sections().items()},
    }
    assert set(to_document(Config())) == {*table, "match", "export"}


def test_units_are_written_as_people_write_them() -> None:
    lines = render(Config(write_budget_per_day=128 << 30)).splitlines()
    for line in (
        'block_size = ["128K", "256K", "512K", "1M"]',
        "overlap_events = [true, false]",
        'write_budget_per_day = "128G"',
        'time_budget = "150s"',
        "processes = [1, 2, 4, 8]",
        'engines = ["psync", "io_uring"]',
        'sizes = ["4K", "16K", "64K", "128K", "256K", "512K", "1M", "2M", "4M", "8M", "16M"]',
        'min_retry = "1m"',
        'max_retry = "6h"',
        'patience = "24h"',
        'max_celsius = "drive"',
        'metrics = "metrics.prom"',
        'node_features = ""',
        'profiles = "/etc/aio-tuned"',
        "quiet_hours = []",
        "tolerance_percent = 2",
    ):
        assert line in lines


def test_a_figure_that_is_no_multiple_of_a_unit_stays_exact() -> None:
    lines = render(CHANGED).splitlines()
    assert 'block_size = ["1536K", "4K", 1536]' in lines
    assert f"min_free = {(10 << 30) + 1}" in lines
    assert "min_retry = 0.1" in lines
    assert 'max_hold = "7201s"' in lines
    assert 'settle = "0s"' in lines


def test_rules_are_tables_in_their_order() -> None:
    assert tomllib.loads(render(CHANGED))["match"] == [
        {"name": "vd*", "tune": True},
        {"transport": "tcp", "model": 'QEMU "x" \\ [0-9]\x7f\n', "serial": "Ü?", "tune": False},
    ]


@given(st.integers(1, (1 << 63) - 1), st.floats(1e-9, 7 * 86400, allow_nan=False))
def test_no_figure_is_rounded(size: int, seconds: float) -> None:
    config = Config(min_free=size, time_budget=seconds)
    assert parse_config(render(config), "x") == config
