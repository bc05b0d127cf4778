"""A folder with all files that aio-tuned keeps about drives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def fill(root: Path, *names: str) -> dict[str, Path]:
    """Files of these drives, and what is nobody's, by their place."""
    places = [
        place.format(name)
        for name in names
        for place in (
            "etc/{}.toml",
            "etc/override.d/{}.toml",
            "var/profiles/{}.toml",
            "var/{}.samples.jsonl",
            "var/journals/{}.journal",
            "var/names/{}",
            "var/history/{}/20260101T000000Z.toml",
            "var/history/{}/20260101T000000Z.samples.jsonl.gz",
        )
    ]
    made = {}
    for place in (*places, "etc/aio-tuned.conf", "var/written.journal"):
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        made[place] = path
    return made


def left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
