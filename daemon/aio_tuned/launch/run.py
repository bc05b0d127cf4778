"""A command with the settings of a path: what it gets, in words, and its start."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from aio_tuned import reader
from aio_tuned.errors import AioTunedError, CommandError, Exit, TimedOutError
from aio_tuned.launch import additions, only_drive, private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from aio_tuned.launch.additions import Additions
    from aio_tuned.reader import Source

_INITIAL_ENVIRONMENT = Path("/proc/self/environ")
_ALL = "AIO_TUNED_*"
_OF_ALL = ("AIO_TUNED_READ_", "AIO_TUNED_WRITE_", "AIO_TUNED_COMBINED_")
_ALONE = ("AIO_TUNED_STATE", "AIO_TUNED_SOURCE", "AIO_TUNED_DEVICE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a command gets, for a path whose settings have that source."""

    path: Path
    source: Source
    additions: Additions


def prepare(
    named: Collection[str],
    path: Path | None,
    wait_s: float | None,
    profiles: Path,
    environment: Mapping[str, str],
    waits: Callable[[str], None],
) -> Prepared:
    """Return what a command gets for these consumers, by default for all, and for the path or else the only drive.

    First wait up to `wait_s` seconds until the path has a measured profile; afterwards one in any other state counts.
    `waits` is called with the missing condition. Raise AioTunedError if there are no settings.
    """
    if path is None:
        path = only_drive.find(profiles)
    elif wait_s is not None:
        from aio_tuned.reader import wait

        with contextlib.suppress(TimedOutError):
            wait.until(path.absolute(), "measured", wait_s, profiles, waits)
    path = path.absolute()
    drive = reader.drive_settings_for(path, profiles=profiles)
    made = additions.make(drive, path, environment, named, profiles)
    return Prepared(path=path, source=drive.combined.source, additions=made)


# --- in words -------------------------------------------------------------------------------------------------------


def described(prepared: Prepared, verb: str = "set") -> str:
    """Return a line with the names of what was set and of what the caller has set, without any of the values."""
    made, source = prepared.additions, prepared.source
    state = "" if source.state == "measured" else f", {source.state}"
    given = _listed((*made.variables, *(file.variable for file in made.files)))
    path = str(prepared.path)
    line = f"{path if path.isprintable() else repr(path)} ({source.device}{state}): {verb} {given or 'nothing'}"
    kept = _listed(made.kept)
    return f"{line}; kept {kept}" if kept else line


def _listed(names: Iterable[str]) -> str:
    """Return the names with commas, those of the settings themselves as one."""
    return ", ".join(dict.fromkeys(_ALL if name.startswith(_OF_ALL) or name in _ALONE else name for name in names))


def shown(prepared: Prepared) -> Iterator[str]:
    """Yield the lines of --print: NAME=VALUE for a shell, and each file as a comment without the caller's part."""
    import shlex  # takes 5 ms, and only --print needs it

    for name, value in prepared.additions.variables.items():
        yield f"{name}={shlex.quote(value)}" if value else f"{name}="
    for file in prepared.additions.files:
        yield f"# {file.variable}: the path of a private file {file.name} with"
        yield from (f"#     {line}".rstrip() for line in file.own.splitlines() if not line.startswith("#"))


# --- the start ------------------------------------------------------------------------------------------------------


def inherited_environment(initial: Path = _INITIAL_ENVIRONMENT) -> dict[str, str]:
    """Return the environment that the caller has given; Python changes LC_CTYPE in the C locale (PEP 538)."""
    environment = dict(os.environ)
    with contextlib.suppress(OSError):
        given = [line for line in initial.read_bytes().split(b"\0") if line.startswith(b"LC_CTYPE=")]
        environment.pop("LC_CTYPE", None)
        if given:
            environment["LC_CTYPE"] = os.fsdecode(given[0].partition(b"=")[2])
    return environment


@contextlib.contextmanager
def placed(prepared: Prepared, environment: Mapping[str, str]) -> Iterator[None]:
    """Have the files in a private folder and their variables added; remove the folder if the command does not start.

    Without a private folder, the consumers of the files get nothing.
    """
    private_folder.remove_ended(environment)
    made, folder = prepared.additions, None
    if made.files:
        try:
            folder = private_folder.create({file.name: file.text for file in made.files}, environment)
            made.variables |= {file.variable: str(folder / file.name) for file in made.files}
        except AioTunedError as error:
            made.failed.append(f"{', '.join(file.variable for file in made.files)}: {error}")
        made.files.clear()
    try:
        yield
    finally:
        if folder:
            private_folder.remove(folder)


def start(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the command; raise CommandError if that fails, with the exit code of env(1)."""
    # Python ignores these signals, which the command would inherit.
    ignored = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        _execute(command, environment)
    except (FileNotFoundError, NotADirectoryError):
        raise CommandError(f"{command[0]}: command or its interpreter (#!) not found", Exit.NOT_FOUND) from None
    except (OSError, ValueError) as error:  # ValueError for a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{command[0]}: cannot be executed: {reason}", Exit.NOT_EXECUTABLE) from None
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)


def _execute(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process as execvp(3) does, which runs a script without #! by the shell."""
    if not command[0]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        os.execvpe(command[0], [*command], environment)  # noqa: S606 - the caller's command
    except OSError as error:
        if error.errno != errno.ENOEXEC or not error.filename:
            raise
        os.execve("/bin/sh", ["sh", error.filename, *command[1:]], environment)  # noqa: S606 - as above
