from __future__ import annotations

import json
from dataclasses import replace

from aio_tuned.model.profile import Profile, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles import codec
from aio_tuned.report.terminal import consumers
from aio_tuned.report.terminal.explain import Way, describe, setting_text, to_document
from unit.support import builders

WAY = Way(path="/mnt/nvme/kv", device=builders.device(), node_name="nvme0n1p1", mount=builders.mount())


ABOUT = "Samsung SSD 980 PRO 1TB, serial S5GXNF0R123456, id eui.0025385b21404e5f"


def said(profile: Profile, way: Way = WAY, *changed: str) -> list[str]:
    return describe(way, profile, "/etc/aio-tuned/x.toml", changed).split("\n")


def test_the_way_from_the_path_to_the_file() -> None:
    assert said(builders.profile())[:5] == [
        "/mnt/nvme/kv",
        "  filesystem: ext4, mounted at /mnt/nvme, device 259:1",
        "  partition:  nvme0n1p1",
        f"  drive:      {builders.device().name} (nvme0n1): {ABOUT}",
        "  profile:    /etc/aio-tuned/x.toml",
    ]


def test_a_volumes_way_names_what_is_below_it() -> None:
    volume = builders.device(sys_name="md0", model="", serial="", id="md-uuid-1", member_names=("nvme-a", "nvme-b"))
    way = Way(path="/data", device=volume, node_name="md0", mount=builders.mount(root="/sub"))
    lines = said(builders.profile(), way)
    assert "  filesystem: ext4, mounted at /mnt/nvme (from /sub), device 259:1" in lines
    assert "  drive:      nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1 (md0): id md-uuid-1" in lines
    assert "  members:    nvme-a, nvme-b" in lines
    assert not any("partition" in line for line in lines)


def test_what_was_chosen_against_what() -> None:
    read = builders.result(
        ties=1,
        confidence="bounded",
        stopped_because="the usual measuring time ran out",
        kept_from="nvme-B_1",
        challengers=((1 << 20, 32, 1, 1, 0, 9961),),
    )
    lines = said(builders.profile(read=read))
    at = lines.index("read: blocks of 1M, depth 16, 2 threads, overlap, batch submit")
    assert lines[at + 1 : lines.index("write: blocks of 1M, depth 4, 1 thread, overlap, batch submit")] == [
        "  6.51 GB/s (6.48 GB/s to 6.54 GB/s, 95 % confidence)",
        "  at most 1.6 % below the best (95 % confidence)",
        "  bounded, stopped because the usual measuring time ran out",
        "  the best measured setting; 3 others may be better, of 508 measured settings",
        "  10.4 % above the default setting (+9.8 to +10.9 %, 95 % confidence): 5.90 GB/s",
        "  kept from nvme-B_1",
        (
            "  best with other threads or blocks: blocks of 1M, depth 32, 1 thread, overlap, batch submit,"
            " 99.6 % of this throughput"
        ),
        "  16 requests in flight saturate the drive",
    ]
    at = lines.index("combined: blocks of 1M, depth 16, 1 thread, overlap, batch submit")
    assert lines[at + 1] == "  98 % of the best read, 99 % of the best write, one of 62 equivalent settings"


def test_the_default_is_not_compared_with_itself() -> None:
    chosen = builders.result(
        setting=DEFAULT_SETTING, versus_default_percent=0.0, versus_default_ci95_percent=(0.0, 0.0)
    )
    assert "  it is the default setting" in said(builders.profile(read=chosen))


def test_sections_without_figures() -> None:
    lines = said(
        builders.profile(
            state="provisional",
            read=Unmeasured(setting=DEFAULT_SETTING, overridden=("queue_depth", "block_size")),
            write=Skipped(skipped="read-only"),
            combined=Unmeasured(setting=DEFAULT_SETTING),
        )
    )
    assert "write: no settings: read-only" in lines
    assert "  queue_depth, block_size set by the administrator; not measured with these values" in lines
    assert "  not measured on this drive" in lines
    assert any(line.startswith("provisional (swept at ") for line in lines)


def test_what_has_changed_and_what_was_found() -> None:
    lines = said(builders.profile(), WAY, "firmware changed from A to B")
    assert lines[-3:] == ["! stale: firmware changed from A to B", "", "! read: something was noticed"]


def test_a_check_names_whose_settings_it_has_confirmed() -> None:
    profile = builders.profile()
    evidence = replace(
        profile.evidence,
        checked_against="class 0123456789abcdef generation 2",
        fleet_contributors=("n1/nvme-a", "n2/nvme-b"),
    )
    place = said(replace(profile, evidence=evidence)).index("")
    assert said(replace(profile, evidence=evidence))[place + 2 : place + 5] == [
        "check of the settings of class 0123456789abcdef generation 2, not a full sweep",
        "swept for the class on n1/nvme-a, n2/nvme-b",
        "",
    ]
    assert said(profile)[place + 2] == ""


def test_a_setting_in_words() -> None:
    setting = builders.setting(block=128 << 10, depth=4, threads=8, overlap=False, single=True)
    assert setting_text(setting) == "blocks of 128K, depth 4, 8 threads, sequential, single submit"


def test_the_document_has_the_way_the_profile_and_what_has_changed() -> None:
    found = to_document(WAY, builders.profile(), "/etc/aio-tuned/x.toml", ["firmware changed from A to B"])
    assert json.loads(json.dumps(found)) == {
        "path": "/mnt/nvme/kv",
        "filesystem": {"type": "ext4", "mount_point": "/mnt/nvme", "root": "/", "device_number": "259:1"},
        "partition": "nvme0n1p1",
        "drive": {
            "name": "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1",
            "kernel_name": "nvme0n1",
            "model": "Samsung SSD 980 PRO 1TB",
            "serial": "S5GXNF0R123456",
            "id": "eui.0025385b21404e5f",
            "members": [],
        },
        "file": "/etc/aio-tuned/x.toml",
        "stale_because": ["firmware changed from A to B"],
        "profile": codec.to_table(builders.profile()),
    }
    way = Way(path="/dev/nvme0n1", device=builders.device(), node_name="nvme0n1")
    node = to_document(way, builders.profile(), "x", ())
    assert (node["filesystem"], node["partition"], node["stale_because"]) == (None, None, [])


def test_the_tables_of_consumers_come_before_the_findings() -> None:
    lines = said(builders.consumer_profile())
    tables = consumers.lines(builders.consumer_profile())
    end = lines.index("! read: something was noticed") - 1
    assert lines[end - len(tables) : end] == tables
