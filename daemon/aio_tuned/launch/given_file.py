"""Files that the command's consumers would read anyway, and exports merged into their text.

The messages of this module have neither the path nor the content of a file, because the path may be a value of the
caller's environment, and the content may hold passwords.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aio_tuned.consumers.merge import apply, json_editor, yaml_editor
from aio_tuned.errors import AioTunedError, ConfigError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export
    from aio_tuned.consumers.merge.document import Path as Keys

_MOST_BYTES = 64 << 10
# A file of that size has fewer values, unless its aliases repeat lists of lists. Nine lines of nine aliases each would
# be compared for minutes: seven take 1.7 s, and each further line nine times as long.
_MOST_VALUES = 1 << 16
_LOAD = {"json": json_editor.load, "yaml": yaml_editor.load}


def read(path: str | os.PathLike[str], named: str) -> str:
    """Return the text of a regular file; messages call it `named`.

    Raise FileNotFoundError if it does not exist, and ConfigError if it cannot be read or is larger than 64 KiB. The
    bytes of a pipe, such as bash's <(...), are left to the command.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{named}: not a regular file; settings cannot be added to it")
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError for a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{named}: cannot be read: {reason}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{named}: larger than {_MOST_BYTES >> 10} KiB; use aio-tuned export --merge")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{named}: not encoded as UTF-8; convert it") from None


def missing_from(text: str, export: Export, named: str) -> Export:
    """Return the export without the keys that the text already has, with any value.

    Raise ConfigError if the text is not of the export's format, or if a package to read it is missing.
    """
    try:
        document = _LOAD[export.format](text)
    except ConfigError:
        raise  # a package is missing
    except (ValueError, RecursionError):
        raise _unusable(export, named) from None
    if not _is_small(document):
        raise _unusable(export, named)
    return replace(export, values={keys: value for keys, value in export.values.items() if not _has(document, keys)})


def merged(text: str, export: Export, named: str) -> str:
    """Return the text with the export's values set; raise ConfigError if they cannot be set."""
    try:
        return apply.merge(export, text, "")
    except AioTunedError:  # its text may quote the file
        raise _unusable(export, named) from None


def _unusable(export: Export, named: str) -> ConfigError:
    return ConfigError(
        f"{named}: the settings cannot be added ({export.format.upper()}); aio-tuned export --merge prints the reason"
    )


def _has(document: Any, keys: Keys) -> bool:  # noqa: ANN401 - whatever the file holds
    """Return whether the document has a value under these keys, which must all be names."""
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def _is_small(document: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether the document has few enough values to be compared, each alias counted as what it repeats."""
    rest, count = [document], 0
    while rest and count <= _MOST_VALUES:
        node = rest.pop()
        count += 1
        if isinstance(node, (dict, list)):
            rest += node.values() if isinstance(node, dict) else node
    return not rest
