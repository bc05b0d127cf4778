"""fio, for itself and as stand-in for a consumer whose package is missing: one run for each measurement."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from aio_tuned.launch.verify.drivers.protocol import DATA, Consumer, serve


class Fio(Consumer):
    """Jobs with options by direction; fio's own report has bytes and time, so its start does not count."""

    module = "fio"

    def release(self) -> dict[str, str]:
        """Return fio's release and its program."""
        program = shutil.which("fio")
        if program is None:
            raise ImportError(self.module)
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return {"version": said.stdout.strip(), "file": str(Path(program).resolve())}

    def configure(self, folder: Path, size: int, values: dict[str, Any]) -> dict[str, Any]:
        """Keep the options."""
        del size  # the jobs have it
        self.folder = folder
        self._jobs = values
        return {}

    def run(self, direction: str) -> tuple[int, float]:
        """Run the direction's job on the file."""
        options = [f"--{name}={value}" for name, value in self._jobs[direction].items()]
        done = subprocess.run(
            ["fio", "--name=verify", "--output-format=json", f"--filename={DATA}", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise OSError(f"fio: exit {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-300:]}")
        # Messages may precede the report.
        report = json.loads(done.stdout[done.stdout.index("{") :])
        found = report["jobs"][0][direction]
        # fio rounds the time up to milliseconds.
        return found["io_bytes"], max(found["runtime"] - 0.5, 0.5) / 1000


if __name__ == "__driver__":
    serve(Fio())
