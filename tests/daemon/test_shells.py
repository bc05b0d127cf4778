"""etc/completions in the shells themselves."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from needed import command
from processes import PATIENCE_S, until

FINISHED = "finished"
FOLDER = Path(__file__).parents[2] / "etc/completions"
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


def printed(folder: Path, *words: str | Path) -> list[str]:
    """Return the lines that the shell prints."""
    done = subprocess.run(shelled(folder, *words), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split("\n")


def parted(lines: list[str]) -> list[set[str]]:
    """Return what stands between the lines that say FINISHED."""
    found: list[set[str]] = [set()]
    for line in lines:
        if line == FINISHED:
            found.append(set())
        elif line:
            found[-1].add(line)
    assert found.pop() == set()
    return found


# --- the shells ------------------------------------------------------------------------------------------

# As readline does it: the words, the place, and the function that `complete` names.
BASH = """
compopt() { :; }  # without a line being edited it has nothing to set, and says so
source "$1"
shift
[[ $(complete -p aio-tuned) =~ -F\\ ([^ ]+) ]] || exit
completing=${BASH_REMATCH[1]}
for typed; do
  COMP_WORDS=($typed)
  [[ $typed != *' ' ]] || COMP_WORDS+=('')
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  $completing
  printf '%s\\n' "${COMPREPLY[@]}" finished
done
"""


def in_bash(folder: Path, *typed: str) -> list[set[str]]:
    bash = command("bash", "apt-get install bash")
    return parted(printed(folder, bash, "--norc", "-c", BASH, "bash", FOLDER / "bash/aio-tuned", *typed))


def in_fish(folder: Path, *typed: str) -> list[set[str]]:
    fish = command("fish", "apt-get install fish")
    script = "source $argv[1]; for typed in $argv[2..-1]; complete --do-complete $typed; echo finished; end"
    lines = printed(folder, fish, "--no-config", "-c", script, FOLDER / "fish/aio-tuned.fish", *typed)
    return parted([line.partition("\t")[0] for line in lines])


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
finished() {{ BUFFER=; print -r -- "finished" >>{out} }}
zle -N finished
bindkey '^X' finished
print started >>{out}
"""


def in_zsh(folder: Path, *typed: str) -> list[set[str]]:
    zsh = command("zsh", "apt-get install zsh")
    out, rc = folder.parent / "offered", folder.parent / ".zshrc"
    rc.write_text(ZSH.format(folder=FOLDER / "zsh", out=out))
    mine, theirs = pty.openpty()
    environment = {**os.environ, "ZDOTDIR": str(folder.parent), "TERM": "dumb"}
    with subprocess.Popen(
        shelled(folder, zsh, "-i"), stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as shell:
        os.close(theirs)
        try:
            wait_for(out, "started", 1)
            for place, line in enumerate(typed, start=1):
                os.write(mine, (line + "\t\x18").encode())
                wait_for(out, FINISHED, place)
        finally:
            shell.kill()
            os.close(mine)
    return parted(out.read_text().removeprefix("started\n").split("\n"))


def wait_for(path: Path, line: str, times: int) -> None:
    reached = until(lambda: path.exists() and path.read_text().split("\n").count(line) == times)
    assert reached, f"zsh has not come to {line} {times} times"


SHELLS = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}

# --- what they offer -------------------------------------------------------------------------------------

# For the last word of what is typed. Of folders only the names count.
OFFERS: dict[str, tuple[str, set[str]]] = {
    "commands": ("aio-tuned s", {"show", "status", "stop"}),
    "options": ("aio-tuned tune --write", {"--write-budget"}),
    "choices of an option": ("aio-tuned tune --effort ", {"quick", "default", "thorough"}),
    "consumers": ("aio-tuned export lm", {"lmcache", "lmcache_server"}),
    "names of drives and files where both will do": ("aio-tuned show nvme", {DRIVE, "nvme-folder", "nvme-file"}),
    "files alone where a name will not do": ("aio-tuned tune nvme", {"nvme-folder", "nvme-file"}),
    "folders alone where a file will not do": ("aio-tuned show --out nvme", {"nvme-folder"}),
    "a path after a choice": ("aio-tuned export vllm nvme", {"nvme-folder", "nvme-file"}),
}


@pytest.fixture(scope="module", params=SHELLS)
def offered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return what one shell offers for each line of OFFERS, in a folder with a folder and a file in it."""
    place = tmp_path_factory.mktemp("shell") / "place"
    (place / "nvme-folder").mkdir(parents=True)
    (place / "nvme-file").touch()
    lines = [typed for typed, _ in OFFERS.values()]
    # The last one's names are all profiles': what one is called is never run.
    *found, _ = SHELLS[request.param](place, *lines, "aio-tuned stop ")
    assert {path.name for path in place.iterdir()} == {"nvme-folder", "nvme-file"}
    return dict(zip(OFFERS, found, strict=True))


@pytest.mark.parametrize("what", OFFERS)
def test_the_shell_offers(offered: dict[str, set[str]], what: str) -> None:
    assert {word.rstrip("/") for word in offered[what]} == OFFERS[what][1]
