"""What kubelet makes of a file that a container takes its variables from, by `fileKeyRef`."""

from __future__ import annotations

import re


def variables(text: str) -> dict[str, str]:
    """Return what kubelet of 1.35 reads: NAME='VALUE' lines. Raise ValueError for any but comments and blank lines."""
    found = {}
    for line in text.splitlines():
        words = line.lstrip(" \t")
        if not words or words.startswith("#"):
            continue
        if not (one := re.fullmatch(r"([^=\s]+)='([^']*)'", words)):
            raise ValueError(f"kubelet would not take this line: {line}")
        found[one[1]] = one[2]
    return found
