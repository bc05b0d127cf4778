"""The commands for sites without a network between them, and for keys: export, import and keygen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.cli import output
from aio_tuned.cli.arguments import read_config
from aio_tuned.cli.fleet.login import enabled, find_class, open_store
from aio_tuned.errors import ConfigError, Exit, FleetDataError, PublishError, TargetError
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    import argparse

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.signature import Signed


def export(arguments: argparse.Namespace) -> int:
    """Write the signed results of classes to a file or standard output."""
    store = open_store(arguments, enabled(arguments))
    from aio_tuned.fleet import bundle

    known = [each.document.hardware_class for each in store.list_statuses()]
    wanted = [find_class(known, given) for given in arguments.hardware_class] or known
    results: list[Signed[ClassResult]] = []
    for hardware_class in dict.fromkeys(wanted):
        entry = store.get_class(hardware_class)
        if entry.result:
            results.append(entry.result)
        elif arguments.hardware_class:
            raise TargetError(f"class {hardware_class}: {entry.ignored or 'has no result yet; wait for its sweeps'}")
    if not results:
        raise TargetError("the fleet has no results yet; aio-tuned fleet status shows how far its classes are")
    text = bundle.dump(results)
    if arguments.file == "-":
        output.use_utf8()
        sys.stdout.write(text)
        return Exit.OK
    atomic_file.publish(Path(arguments.file), text)
    for each in results:
        print(f"class {each.document.hardware_class}: generation {each.document.generation}")
    return Exit.OK


def import_(arguments: argparse.Namespace) -> int:
    """Put a bundle that trusted coordinators signed into the folder that the daemon reads."""
    config = read_config(arguments)
    if not config.fleet_trusted_keys:
        raise ConfigError(
            "[fleet] trusted_keys: not set, and signatures cannot be checked without it; add the public keys of the"
            " coordinators that signed the file"
        )
    from aio_tuned.fleet import access, bundle
    from aio_tuned.service import fleet_places

    file: Path = arguments.file
    text = _read(file, bundle.MAX_BUNDLE_BYTES)
    try:
        results = bundle.load(text, access.keyring(config))
    except FleetDataError as error:
        raise FleetDataError(f"{file}: {error}") from None
    if not results:
        raise FleetDataError(f"{file}: has no result of a class; export it again")
    folder = fleet_places.bundles(config)[-1]
    atomic_file.make_folder(folder)
    # The daemon takes no hidden file, and none with another ending.
    target = folder / f"{file.stem.lstrip('.') or 'imported'}{bundle.ENDING}"
    atomic_file.publish(target, text)
    for each in results:
        print(f"class {each.hardware_class}: generation {each.generation}")
    print(f"{target}; to use it now: systemctl reload aio-tuned")
    return Exit.OK


def _read(file: Path, most_bytes: int) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(most_bytes + 1)
    except OSError as error:
        raise FleetDataError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > most_bytes:
        raise FleetDataError(f"{file}: larger than {most_bytes >> 20} MiB; export fewer classes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FleetDataError(f"{file}: not UTF-8; it is no file of aio-tuned fleet export") from None


def keygen(arguments: argparse.Namespace) -> int:
    """Create the file of a new private key, which its owner alone may read, and print the public key."""
    # The first import tells how to install cryptography if it is missing.
    from aio_tuned.fleet.signature import SigningKey  # isort: skip
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = SigningKey(Ed25519PrivateKey.generate())
    file: Path = arguments.file
    try:
        # A file that is there may be the key of a node, and is not replaced.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            opened.write(key.to_pem())
            opened.flush()
            os.fsync(descriptor)
        atomic_file.sync_folder(file.absolute().parent)
    except FileExistsError:
        raise PublishError(f"{file}: exists already, and may be a key in use; pass another file") from None
    except OSError as error:
        raise PublishError(f"{file}: cannot be written: {error.strerror}") from None
    print(key.public)
    return Exit.OK
