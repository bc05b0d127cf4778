"""docs/completions in the shells themselves."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daemon.processes import PATIENCE_S, until
from needed import command

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[2] / "docs/completions"
DRIVE = "nvme-QEMU_NVMe_Ctrl_S3XYNX0K1_1"
# The profiles that the shells look for, out of sight of the machine's own.
WITH_PROFILES = """
mount -t tmpfs none /etc
mkdir /etc/aio-tuned
touch "/etc/aio-tuned/$1.toml" '/etc/aio-tuned/$(touch ran).toml' /etc/aio-tuned/aio-tuned.conf
shift
cd "$1"
shift
exec "$@"
"""


def shelled(folder: Path, *words: str | Path) -> list[str]:
    """The words in `unshare` that run a shell in `folder`, where there is one profile of a drive."""
    start = ["unshare", "--mount", "--propagation=private", "sh", "-ec", WITH_PROFILES, "sh", DRIVE]
    return [*start, str(folder), *map(str, words)]


def run(folder: Path, *words: str | Path) -> set[str]:
    """The lines that the shell prints."""
    done = subprocess.run(shelled(folder, *words), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


# --- the shells ------------------------------------------------------------------------------------------

# As readline does it: the words, the place, and the function that `complete` names.
BASH = """
source "$1"
shift
[[ $(complete -p aio-tuned) =~ -F\\ ([^ ]+) ]] || exit
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
${BASH_REMATCH[1]}
printf '%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(folder: Path, *typed: str) -> set[str]:
    bash = command("bash", "apt-get install bash")
    # Without a line being edited `compopt` has nothing to set, and says so.
    script = "compopt() { :; }\n" + BASH
    return run(folder, bash, "--norc", "-c", script, "bash", FOLDER / "bash/aio-tuned", *typed)


def in_fish(folder: Path, *typed: str) -> set[str]:
    fish = command("fish", "apt-get install fish")
    script = "source $argv[1]; complete --do-complete $argv[2]"
    lines = run(folder, fish, "--no-config", "-c", script, FOLDER / "fish/aio-tuned.fish", " ".join(typed))
    return {line.partition("\t")[0] for line in lines}


# Every match that any of zsh's functions offers is written down: `compadd` is where they all end.
ZSH = """
PS1= PS2=
fpath=({folder} $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {{
  if [[ ${{@[(I)-[OAD]*]}} -eq 0 ]]; then
    local -a offered
    builtin compadd -O offered "$@"
    print -rl -- $offered >>{out}
  fi
  builtin compadd "$@"
}}
finished() {{ print -r -- "finished" >>{out} }}
zle -N finished
bindkey '^X' finished
print started >>{out}
"""


def in_zsh(folder: Path, *typed: str) -> set[str]:
    zsh = command("zsh", "apt-get install zsh")
    out = folder / "offered"
    rc = folder / ".zshrc"
    rc.write_text(ZSH.format(folder=FOLDER / "zsh", out=out))
    mine, theirs = pty.openpty()
    environment = {**os.environ, "ZDOTDIR": str(folder), "TERM": "dumb"}
    words = shelled(folder, zsh, "-i")
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as shell:
        os.close(theirs)
        try:
            wait_for(out, "started")
            os.write(mine, (" ".join(typed) + "\t\x18").encode())
            wait_for(out, "finished")
        finally:
            shell.kill()
            os.close(mine)
    lines = set(out.read_text().split("\n")) - {"", "started", "finished"}
    out.unlink()
    rc.unlink()
    return lines


def wait_for(path: Path, line: str) -> None:
    reached = until(lambda: path.exists() and line in path.read_text().split("\n"))
    assert reached, f"zsh has not come to {line}"


SHELLS = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}


@pytest.fixture(params=SHELLS)
def complete(request: pytest.FixtureRequest) -> Callable[..., set[str]]:
    """`complete(folder, "aio-tuned", "sh")`: what the shell offers for the last word."""
    return SHELLS[request.param]


# --- what they offer -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a folder and a file in it, to complete in."""
    place = tmp_path / "place"
    (place / "nvme-folder").mkdir(parents=True)
    (place / "nvme-file").touch()
    return place


def named(offered: set[str]) -> set[str]:
    return {word.rstrip("/") for word in offered}


def test_commands(complete: Callable[..., set[str]], folder: Path) -> None:
    assert complete(folder, "aio-tuned", "s") == {"show", "status", "stop"}


def test_options(complete: Callable[..., set[str]], folder: Path) -> None:
    assert complete(folder, "aio-tuned", "tune", "--write") == {"--write-budget"}


def test_choices_of_an_option(complete: Callable[..., set[str]], folder: Path) -> None:
    assert complete(folder, "aio-tuned", "tune", "--effort", "") == {"quick", "default", "thorough"}


def test_consumers(complete: Callable[..., set[str]], folder: Path) -> None:
    assert complete(folder, "aio-tuned", "export", "l") == {"lmcache"}


def test_names_of_drives_and_files_where_both_will_do(complete: Callable[..., set[str]], folder: Path) -> None:
    assert named(complete(folder, "aio-tuned", "show", "nvme")) == {DRIVE, "nvme-folder", "nvme-file"}


def test_files_alone_where_a_name_will_not_do(complete: Callable[..., set[str]], folder: Path) -> None:
    assert named(complete(folder, "aio-tuned", "tune", "nvme")) == {"nvme-folder", "nvme-file"}


def test_folders_alone_where_a_file_will_not_do(complete: Callable[..., set[str]], folder: Path) -> None:
    assert named(complete(folder, "aio-tuned", "show", "--out", "nvme")) == {"nvme-folder"}


def test_a_path_after_a_choice(complete: Callable[..., set[str]], folder: Path) -> None:
    assert named(complete(folder, "aio-tuned", "export", "vllm", "nvme")) == {"nvme-folder", "nvme-file"}


def test_what_a_profile_is_called_is_never_run(complete: Callable[..., set[str]], folder: Path) -> None:
    complete(folder, "aio-tuned", "stop", "")
    assert {path.name for path in folder.iterdir()} == {"nvme-folder", "nvme-file"}
