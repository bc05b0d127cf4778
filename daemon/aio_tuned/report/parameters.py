"""A setting as text, one parameter at a time."""

from __future__ import annotations

from dataclasses import fields

from aio_tuned.model.setting import Setting

KEYS = tuple(item.name for item in fields(Setting))


def value(setting: object, key: str) -> str:
    """Return a parameter of a setting, or of settings of the reader, as TOML writes it: "1048576", "true"."""
    return str(getattr(setting, key)).lower()


def toml_lines(setting: object) -> list[str]:
    """Return all parameters as lines of TOML, to paste."""
    return [f"{key} = {value(setting, key)}" for key in KEYS]
