"""Draws that need no agreement: numbers as good as random, which all nodes compute alike from the same words."""

from __future__ import annotations

import hashlib


def draw(*words: object) -> int:
    """Return the number below 2^64 that belongs to the words."""
    text = "/".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
