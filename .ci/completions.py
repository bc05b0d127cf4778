"""Writes the shells' completions of `aio-tuned` from its own parser: python .ci/completions.py [FOLDER].

The files are kept in etc/completions, since shtab is not in every distribution that we build packages on. What an
argument completes is known by the word that stands for it in the help.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shtab

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "daemon"))

from aio_tuned.cli import arguments  # noqa: E402 - found by the line above
from aio_tuned.cli import main as cli_main  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {"bash": "bash/aio-tuned", "zsh": "zsh/_aio-tuned", "fish": "fish/aio-tuned.fish"}

# A drive's name is that of its profile. Compared as text: `compgen -W` would run what a file is called.
# bash takes what these print for names of files, with a slash after folders, since their own names have "file" in them.
_NAMES = {
    "bash": """\
_aio_tuned_file_or_profile() {
  compgen -f -- "$1"
  local path name
  for path in /etc/aio-tuned/*.toml; do
    name=${path##*/} name=${name%.toml}
    [[ -f $path && $name == "$1"* ]] && printf '%s\\n' "$name"
  done
}
_aio_tuned_command_or_file() {
  compgen -c -f -- "$1"
}
""",
    "zsh": """\
_aio_tuned_file_or_profile() {
  local -a profiles
  profiles=(/etc/aio-tuned/*.toml(N:t:r))
  _alternative 'profiles:profile:compadd -a profiles' 'files:file:_files'
}
_aio_tuned_command_or_file() {
  _alternative 'commands:command:_command_names -e' 'files:file:_files'
}
""",
    "fish": """\
function _aio_tuned_file_or_profile
  __fish_complete_path (commandline -ct)
  for path in /etc/aio-tuned/*.toml
    string replace --regex '^.*/(.*)\\.toml$' '$1' -- $path
  end
end
function _aio_tuned_command_or_file
  __fish_complete_command
  __fish_complete_path (commandline -ct)
end
""",
}
_FILE_OR_PROFILE = {
    "bash": "_aio_tuned_file_or_profile",
    "zsh": "_aio_tuned_file_or_profile",
    "fish": "(_aio_tuned_file_or_profile)",
}
_COMMAND_OR_FILE = {
    "bash": "_aio_tuned_command_or_file",
    "zsh": "_aio_tuned_command_or_file",
    "fish": "(_aio_tuned_command_or_file)",
}
# By metavar. `tune` takes no names: its TARGET is a path.
_COMPLETES: dict[str, Any] = {
    "DIR": shtab.DIRECTORY,
    "FILE": shtab.FILE,
    "PATH": shtab.FILE,
    "TARGET": _FILE_OR_PROFILE,
    "TARGET[@TIME]": _FILE_OR_PROFILE,
    "A[@TIME]": _FILE_OR_PROFILE,
    "COMMAND": _COMMAND_OR_FILE,
    "INTERPRETER": _COMMAND_OR_FILE,
}
_FREE = {
    "CLASS",
    "CONSUMER,...",
    "KEY",
    "KEY=V,V...",
    "N",
    "NAME",
    "NODE",
    "SETTING",
    "SIZE",
    "TEXT",
    "TIME",
    "VERSION",
}


def _parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of all commands below it, described by the lines that list them, which are short."""
    yield top
    for action in top._actions:  # noqa: SLF001 - argparse shows its actions in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for listed in action._choices_actions:  # noqa: SLF001 - as above
                command = action.choices[listed.dest]
                command.description = listed.help
                yield from _parsers(command)


def parser() -> argparse.ArgumentParser:
    """The command's parser, whose actions know what they complete. ValueError for one of which that is not known."""
    top = cli_main.parser()
    for each in _parsers(top):
        for action in each._actions:  # noqa: SLF001 - as above
            if action.nargs == 0 or action.choices is not None:
                continue
            word = action.metavar[0] if isinstance(action.metavar, tuple) else action.metavar
            if word in _COMPLETES:
                path = word == "TARGET" and action.type is arguments.path
                action.complete = shtab.FILE if path else _COMPLETES[word]  # type: ignore[attr-defined]  # shtab's
            elif word not in _FREE:
                raise ValueError(f"{each.prog}: {action.dest}: say in .ci/completions.py what {word} completes")
    return top


def main(folder: Path) -> None:
    """Write all of them."""
    for shell, name in FILES.items():
        text = shtab.complete(parser(), shell, preamble=_NAMES)  # type: ignore[arg-type]  # shtab takes one a shell
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Write the completions of aio-tuned for bash, zsh and fish.")
    options.add_argument(
        "folder", nargs="?", type=Path, default=ROOT / "etc/completions", help="where to (%(default)s)"
    )
    main(options.parse_args().folder)
