"""The metrics of the agent and the coordinator, and the documents and rules that name them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from unit.support.builders import PROJECT
from unit.support.fleet_metrics import fleet_metrics

if TYPE_CHECKING:
    from pathlib import Path

PAGE = PROJECT / "docs/reference/metrics.md"
MONITORING = PROJECT / "docs/monitoring"


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[str], str]]:
    """Return the kind, the labels and the help of each metric that the programs write, by its name."""
    found = {}
    for family in text_string_to_metric_families(fleet_metrics(tmp_path_factory.mktemp("fleet"))):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, sorted(labels), family.documentation)
    return found


def test_the_page_has_every_metric(emitted: dict[str, tuple[str, list[str], str]]) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## The fleet\n")[2]
    rows = [
        row for line in section.splitlines() if (row := re.fullmatch(r"\| `(\w+)` \| (\w+) \| (.*) \| (.+) \|", line))
    ]
    assert {row[1]: (row[2], re.findall(r"`(\w+)`", row[3]), row[4]) for row in rows} == emitted
    assert len(rows) == len(emitted)


@pytest.mark.parametrize(
    "path",
    [MONITORING / "grafana-dashboard.json", MONITORING / "aio-tuned.rules.yml", MONITORING / "aio-tuned.rules.test.yml",
     PROJECT / "docs/how-to/monitor.md", PROJECT / "docs/explanation/fleet.md"],
    ids=lambda path: path.name,
)  # fmt: skip
def test_only_metrics_that_exist_are_used(path: Path, emitted: dict[str, tuple[str, list[str], str]]) -> None:
    used = set(re.findall(r"\baio_tuned_fleet_\w+", path.read_text(encoding="utf-8")))
    assert used
    assert used <= emitted.keys()


def test_the_rules_use_labels_that_exist(emitted: dict[str, tuple[str, list[str], str]]) -> None:
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions.append((MONITORING / "aio-tuned.rules.yml").read_text(encoding="utf-8"))
    used = {found for text in expressions for found in re.findall(r"by \((\w+)\) \((aio_tuned_fleet_\w+)", text)}
    assert used
    assert [(label, name) for label, name in sorted(used) if label not in emitted[name][1]] == []
