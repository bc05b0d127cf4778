"""The user as whom a consumer's interpreter runs: root only if nobody else can have changed what it executes."""

from __future__ import annotations

import json
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from aio_tuned import trust
from aio_tuned.child_process import Account
from aio_tuned.errors import PrivilegeError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Settings of the language, of DeepSpeed, torch, KvikIO, LMCache, and of the GPU.
_GIVEN = ("LANG", "LC_", "DS_", "TORCH_", "KVIKIO_", "LMCACHE_", "CUDA_", "NVIDIA_", "ROCM_", "HIP_", "LD_LIBRARY_PATH")
# The folder of the operators that torch has built; the default is below HOME.
_BUILT = "TORCH_EXTENSIONS_DIR"


def choose(python: Path, folder: Path, euid: int) -> Account | None:
    """Return the account for an interpreter whose I/O is in the folder; None for this process's own user.

    It is the folder's owner. That may be root if the interpreter's whole tree and the way to the folder are root's and
    not writable by others. Raise PrivilegeError if only root is left, and TargetError if the owner is unknown or the
    folder cannot be read.
    """
    if euid != 0:
        return None
    try:
        owner = folder.stat().st_uid
    except OSError as error:
        raise TargetError(f"{folder}: {error.strerror}") from None
    if owner == 0:
        if doubt := untrusted(python) or _doubt(folder, _check_way):
            raise PrivilegeError(
                f"{python}: not run as root: {doubt}; pass a folder of the user who runs the consumer, or an"
                " interpreter of root's"
            )
        return None
    try:
        found = pwd.getpwuid(owner)
    except KeyError:
        raise TargetError(f"{folder}: its owner {owner} is no user of this host; pass a folder of a user") from None
    return Account(uid=owner, gid=found.pw_gid, groups=tuple(os.getgrouplist(found.pw_name, found.pw_gid)))


def environment(account: Account | None, python: Path) -> dict[str, str]:
    """Return the environment of that account's processes: this process's, with the interpreter's programs first.

    Another user gets only the variables that consumers read, since root's may hold passwords. Root gets its own home,
    since operators are built and loaded there. Raise PrivilegeError if another user may write root's operators.
    """
    path = os.pathsep.join((str(python.parent), *os.get_exec_path()))
    if account is None:
        return {**os.environ, "PATH": path} if os.geteuid() else {**_as_root(), "PATH": path}
    user = pwd.getpwuid(account.uid)
    given = {name: value for name, value in os.environ.items() if name.startswith(_GIVEN)}
    return {**given, "PATH": path, "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def _as_root() -> dict[str, str]:
    built = os.environ.get(_BUILT)
    if built:
        path = Path(built).absolute()
        if doubt := _untrusted_tree([path]) if path.exists() else _doubt(path, _check_way):
            raise PrivilegeError(f"{_BUILT}={built}: not used by root: {doubt}; choose a folder of root's")
    given = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    return {**given, "HOME": pwd.getpwuid(0).pw_dir}


def untrusted(python: Path) -> str:
    """Return why other users may have changed what the interpreter executes, or ""."""
    pending = [python.absolute(), python.resolve()]
    for program in dict.fromkeys(pending):
        pending += _code(program.parent.parent)
    return _untrusted_tree(pending)


def _untrusted_tree(tops: list[Path]) -> str:
    """Return why other users may have written what is in the folders, or where their files send Python to, or ""."""
    pending, seen = [*tops], set()
    while pending:
        if (top := pending.pop(0)) in seen:
            continue
        seen.add(top)
        if doubt := _doubt(top, _check):
            return doubt
        for folder, folders, names in os.walk(top):
            for name in (*folders, *names):
                if doubt := _doubt(Path(folder, name), _check_inside):
                    return doubt
            pending += _elsewhere(Path(folder), names)
    return ""


def _code(prefix: Path) -> tuple[Path, ...]:
    """Return the folders with an interpreter's code: all of a virtual environment, else the libraries alone."""
    if (prefix / "pyvenv.cfg").exists():
        return (prefix,)
    # The other files of /usr are no part of the interpreter. Debian's searches /usr/local too.
    return tuple(sorted((*prefix.glob("lib*/python3*"), *prefix.glob("local/lib*/python3*"))))


def _elsewhere(folder: Path, names: list[str]) -> Iterator[Path]:
    """Yield the places that Python is sent to by files of a checked folder."""
    for name in names:
        file = folder / name
        if name == "pyvenv.cfg":
            # An environment with a copy of the interpreter has the libraries of its home.
            pairs = (line.partition("=") for line in _lines(file))
            yield from (
                each for key, _, home in pairs if key.strip() == "home" for each in _code(Path(home.strip()).parent)
            )
        elif name.endswith(".pth") and folder.name in {"site-packages", "dist-packages"}:
            listed = (line.strip() for line in _lines(file) if not line.startswith(("#", "import ", "import\t")))
            yield from (folder / line for line in listed if line and (folder / line).exists())
        elif name == "direct_url.json":  # where the code of a development install is
            with suppress(ValueError, AttributeError):
                about = json.loads("\n".join(_lines(file)))
                if about.get("dir_info", {}).get("editable"):
                    yield Path(unquote(urlsplit(about["url"]).path))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _doubt(path: Path, check: Callable[[Path], None]) -> str:
    """Return what the check has against the path, or ""."""
    try:
        check(path)
    except trust.UntrustedError as error:
        return str(error).partition("; run ")[0]
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _check(path: Path) -> None:
    """Raise UntrustedError if other users may have written or replaced the path itself."""
    trust.check_way(path)
    trust.check(path.stat(), path, path.parent)


def _check_inside(path: Path) -> None:
    """Check a path in a folder that was checked; a dangling link is nothing to execute."""
    if not path.is_symlink():
        trust.check(path.lstat(), path, path.parent)
    elif path.exists():
        _check(path)


def _check_way(folder: Path) -> None:
    """Raise UntrustedError if other users may replace what is in the folder."""
    trust.check_way(folder / "x")
