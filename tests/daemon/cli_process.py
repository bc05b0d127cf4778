"""The command as a user runs it, with folders of the test's own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from processes import PATIENCE_S, aio_tuned, environment_with

if TYPE_CHECKING:
    from pathlib import Path


class Cli:
    """Runs the command with a configuration of its own."""

    def __init__(self, root: Path) -> None:
        self.profiles = root / "profiles"
        self.profiles.mkdir(mode=0o755)
        self.config = root / "aio-tuned.conf"
        self.config.write_text(f'[paths]\nprofiles = "{self.profiles}"\nruntime = "{root}/run"\n')
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *words: str | Path, code: int = 0) -> str:
        """Standard output; of a failure, standard error."""
        out, err = self.both(*words, code=code)
        return err if code else out

    def both(self, *words: str | Path, code: int = 0) -> tuple[str, str]:
        """Standard output and standard error."""
        done = subprocess.run(
            aio_tuned(self.config, *words),
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE_S,
            env=environment_with({}),
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    def start(self, *words: str | Path, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start the command, `under` another one such as unshare; return it once it has said that it waits."""
        command = [*under, *aio_tuned(self.config, *words)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=-1, text=True, env=environment_with({}))
        self._started.append(process)
        assert process.stderr
        assert "waiting: " in process.stderr.readline()
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
