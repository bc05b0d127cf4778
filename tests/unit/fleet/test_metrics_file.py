"""Metrics as text for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import PublishError
from aio_tuned.fleet import metrics_file
from aio_tuned.fleet.metrics_file import Family

if TYPE_CHECKING:
    from pathlib import Path

TEXT = metrics_file.render(
    Family("aio_up", "gauge", "1 while it runs.", {(): True}),
    Family("aio_total", "counter", "Calls.", {(("rack", 'a"b\\c\nd'), ("x", "y")): 2.5, (("rack", "z"), ("x", "")): 0}),
)


def test_each_metric_has_its_help_its_type_and_its_series() -> None:
    assert TEXT == (
        "# HELP aio_up 1 while it runs.\n"
        "# TYPE aio_up gauge\n"
        "aio_up 1.0\n"
        "# HELP aio_total Calls.\n"
        "# TYPE aio_total counter\n"
        'aio_total{rack="a\\"b\\\\c\\nd",x="y"} 2.5\n'
        'aio_total{rack="z",x=""} 0.0\n'
    )


def test_prometheus_client_reads_it() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    samples = [each for family in parser.text_string_to_metric_families(TEXT) for each in family.samples]
    assert [(each.name, each.labels, each.value) for each in samples] == [
        ("aio_up", {}, 1),
        ("aio_total", {"rack": 'a"b\\c\nd', "x": "y"}, 2.5),
        ("aio_total", {"rack": "z", "x": ""}, 0),
    ]


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "fleet.prom"
    metrics_file.write(path, "a\n")
    metrics_file.write(path, TEXT)
    assert path.read_text() == TEXT
    assert [each.name for each in tmp_path.iterdir()] == ["fleet.prom"]
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(PublishError, match="cannot be written"):
        metrics_file.write(tmp_path / "missing/fleet.prom", TEXT)


def test_a_program_writes_into_its_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}:{tmp_path}")
    metrics = metrics_file.MetricsFile("fleet.prom")
    metrics.write(TEXT)
    assert (folder / "fleet.prom").read_text() == TEXT
    (folder / "fleet.prom").unlink()
    folder.rmdir()
    for _ in range(2):
        metrics.write(TEXT)
    assert caplog.text.count("cannot be written") == 1
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    metrics_file.MetricsFile("fleet.prom").write(TEXT)
