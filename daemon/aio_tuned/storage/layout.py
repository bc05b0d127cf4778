"""The places of the files that aio-tuned keeps about drives, below its state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def catalog_folder(state: Path) -> Path:
    """Return the catalog's folder, with the last measured profile of every drive, present or not."""
    return state / "profiles"


def samples_file(state: Path, name: str) -> Path:
    """Return the file with the samples of the drive's last published sweep."""
    return state / f"{name}.samples.jsonl"


def checkpoint_file(state: Path, name: str) -> Path:
    """Return the file with the checkpoint of the drive's interrupted sweep."""
    return state / "journals" / f"{name}.journal"


def verdicts_file(state: Path, name: str) -> Path:
    """Return the file with the verdicts of `aio-tuned verify` on the drive."""
    return state / "verified" / f"{name}.toml"


def history_folder(state: Path) -> Path:
    """Return the folder that has a folder of finished sweeps for each drive."""
    return state / "history"
