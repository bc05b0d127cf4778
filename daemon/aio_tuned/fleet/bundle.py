"""Bundles: class results in a file, for sites that are not connected, and for drives before their first network.

A bundle is a JSON object whose `results` have a line each, as the coordinator signed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aio_tuned import trust
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire
from aio_tuned.fleet.class_profile import check_usable
from aio_tuned.fleet.consensus import ClassResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aio_tuned.fleet.signature import Keyring, Signed

ENDING = ".json"
MAX_BUNDLE_BYTES = 16 << 20

_WHAT = "bundle"
_MOST_RESULTS = 4096


def dump(results: Iterable[Signed[ClassResult]]) -> str:
    """Return the bundle of the results, the newest one of each class; raise FleetDataError if it is too large."""
    signed = {(each.document.hardware_class, _age(each.document)): each.text for each in results}
    newest = {hardware_class: signed[hardware_class, age] for hardware_class, age in sorted(signed)}
    lines = ",\n".join(newest.values())
    text = f'{{"schema":{wire.SCHEMA},"results":[\n{lines}\n]}}\n'
    size_bytes = len(text.encode())
    if size_bytes > MAX_BUNDLE_BYTES or len(newest) > _MOST_RESULTS:
        raise FleetDataError(
            f"{_WHAT}: {len(newest)} classes in {size_bytes} bytes are more than a bundle has; export fewer classes"
        )
    return text


def load(text: str, keyring: Keyring | None) -> tuple[ClassResult, ...]:
    """Return the results in a bundle, the newest one of each class; an empty text has none.

    Without a keyring, signatures are not checked: the text must be from a file that only root can have written. Raise
    FleetDataError if the text is no bundle, or if one of its results is damaged or not signed by a trusted key.
    """
    if not text.strip():
        return ()
    document = wire.load(text, _WHAT, MAX_BUNDLE_BYTES)
    rows = wire.fields(document, _WHAT)("results", wire.rows(wire.table, _MOST_RESULTS))
    newest: dict[str, ClassResult] = {}
    for place, row in enumerate(rows, 1):
        try:
            _keep_newest(newest, _read(row, keyring))
        except FleetDataError as error:
            raise FleetDataError(f"{_WHAT}: result {place} of {len(rows)}: {error}") from None
    return tuple(newest[key] for key in sorted(newest))


def load_folders(folders: Sequence[Path]) -> tuple[Mapping[str, ClassResult], tuple[str, ...]]:
    """Return the results in the bundles of these folders by class, and a sentence for what is ignored.

    A file hides one of the same name in an earlier folder, even if it is empty. A later folder's result of a class
    replaces an earlier one's, and in one folder the newest counts. Files that users other than root can have written
    are ignored, and so are results that are not for drives to take.
    """
    ignored: list[str] = []
    files: dict[str, Path] = {}
    for folder in folders:
        files.update({path.name: path for path in _files(folder, ignored)})
    found: dict[str, ClassResult] = {}
    for folder in folders:
        of_folder: dict[str, ClassResult] = {}
        for path in (each for each in files.values() if each.parent == folder):
            for result in _results(path, ignored):
                _keep_newest(of_folder, result)
        found.update(of_folder)
    return found, tuple(ignored)


def _age(result: ClassResult) -> tuple[int, int]:
    return result.generation, result.made_at_s


def _keep_newest(known: dict[str, ClassResult], result: ClassResult) -> None:
    held = known.get(result.hardware_class)
    if held is None or _age(held) < _age(result):
        known[result.hardware_class] = result


def _read(row: dict[str, Any], keyring: Keyring | None) -> ClassResult:
    try:
        # The signature covers this one way to write it.
        text = wire.dump(row if keyring else wire.part(row, "document", wire.table))
    except (ValueError, RecursionError) as error:
        raise FleetDataError(f"signed class: {error}; it is ignored") from None
    return keyring.read_result(text).document if keyring else ClassResult.from_json(text)


def _files(folder: Path, ignored: list[str]) -> list[Path]:
    """Return the bundles in the folder by name, without hidden files, which are those that are being written."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ENDING and path.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        ignored.append(f"{folder}: cannot be read: {error.strerror}; it is ignored")
        return []


def _results(path: Path, ignored: list[str]) -> Iterator[ClassResult]:
    """Yield the results in a file that are for drives to take."""
    try:
        results = load(trust.read_text(path), None)
    except trust.UntrustedError as error:
        ignored.append(str(error))
    except FleetDataError as error:
        ignored.append(f"{path}: {error}")
    except UnicodeDecodeError:
        ignored.append(f"{path}: not UTF-8; it is ignored")
    except OSError as error:
        ignored.append(f"{path}: cannot be read: {error.strerror}; it is ignored")
    else:
        for result in results:
            try:
                check_usable(result)
                yield result
            except FleetDataError as error:
                ignored.append(f"{path}: {error}")
