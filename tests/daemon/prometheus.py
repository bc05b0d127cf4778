"""Prometheus and node_exporter as Debian has them, on this machine's loopback, over a folder of .prom files."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from needed import command
from processes import until

if TYPE_CHECKING:
    from pathlib import Path

GET = "apt-get install prometheus prometheus-node-exporter"
INSTANCE = "gpu-1"
_CONFIG = """
# A scrape may take as long as the interval.
global: {{scrape_interval: 1s, evaluation_interval: 200ms}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:{port}"]
        labels: {{instance: {instance}}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Monitoring:
    """Both of them. What the rules wait for (`for:`) is a second here."""

    def __init__(self, folder: Path, rules: Path) -> None:
        self.folder = folder / "textfiles"
        self.folder.mkdir()
        self._port, exporter = free_port(), free_port()
        (folder / "rules.yml").write_text(re.sub(r"for: \w+", "for: 1s", rules.read_text()))
        (folder / "prometheus.yml").write_text(_CONFIG.format(port=exporter, instance=INSTANCE))
        self.log = folder / "log"
        self._processes = []
        for words in (
            (
                command("prometheus-node-exporter", GET),
                f"--web.listen-address=127.0.0.1:{exporter}",
                "--collector.disable-defaults",
                "--collector.textfile",
                f"--collector.textfile.directory={self.folder}",
            ),
            (
                command("prometheus", GET),
                f"--web.listen-address=127.0.0.1:{self._port}",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
            ),
        ):
            with self.log.open("ab") as log:
                self._processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _get(self, path: str, **words: str) -> Any:  # noqa: ANN401 - whatever JSON it is
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(words)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", (words, answer.get("error"))
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What the expression is now: (labels, value) of each series."""
        return [(found["metric"], float(found["value"][1])) for found in self._get("query", query=expression)["result"]]

    def alerts(self) -> dict[tuple[str, str], str]:
        """The state of each alert that there is, "pending" or "firing", by its name and the device."""
        found = self._get("alerts")["alerts"]
        return {(alert["labels"]["alertname"], alert["labels"]["device"]): alert["state"] for alert in found}

    def evaluate(self) -> None:
        """Wait until the rules have been evaluated twice: once at least by what is shown now."""
        for _ in range(2):
            before = self._evaluated()
            assert until(lambda: self._evaluated() != before)  # noqa: B023 - called at once

    def _evaluated(self) -> list[str]:
        """When each group of rules was evaluated last."""
        return [group["lastEvaluation"] for group in self._get("rules")["groups"]]

    def wait(self, expression: str) -> None:
        """Wait until the expression has a value."""

        def there() -> bool:
            try:
                return bool(self.query(expression))
            except (OSError, http.client.HTTPException, ValueError):  # it does not answer yet
                return False

        assert until(there), f"{expression} has no value\n{self.log.read_text()[-4000:]}"
