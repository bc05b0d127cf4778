"""The commands that change what a class gets: pin, unpin and rollback."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.cli.fleet.login import enabled, find_class, open_store, user
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.errors import Exit, TargetError, UsageError
from aio_tuned.report import parameters
from aio_tuned.report.terminal.explain import setting_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.store import Store
    from aio_tuned.model.setting import Grid, Setting

_SECTIONS = ("read", "write", "combined")


def pin(arguments: argparse.Namespace) -> int:
    """Give the drives of a class settings of the operator's."""
    given = {section: getattr(arguments, section) for section in _SECTIONS if getattr(arguments, section)}
    if not given:
        raise UsageError("fleet pin: no setting; pass --read, --write or --combined")
    config = enabled(arguments)
    store = open_store(arguments, config)
    hardware_class = _class(store, arguments)
    current = _current(store, hardware_class)
    present = dict(zip(_SECTIONS, current.settings(), strict=True))
    pinned = {section: _over(present[section], changes, section, current.grid) for section, changes in given.items()}
    _put(store, arguments, hardware_class, pinned, arguments.why)
    return Exit.OK


def unpin(arguments: argparse.Namespace) -> int:
    """Give the drives of a class the settings of its sweeps again."""
    store = open_store(arguments, enabled(arguments))
    hardware_class = _class(store, arguments)
    if not store.delete_pin(hardware_class):
        raise TargetError(f"class {hardware_class}: not pinned; aio-tuned fleet status shows the classes that are")
    print(f"class {hardware_class}: no longer pinned; the coordinator rolls out the settings of its sweeps")
    return Exit.OK


def rollback(arguments: argparse.Namespace) -> int:
    """Pin the drives of a class to the settings of the last generation that had others."""
    store = open_store(arguments, enabled(arguments))
    hardware_class = _class(store, arguments)
    current = _current(store, hardware_class)
    before = _before(store, current)
    pinned = dict(zip(_SECTIONS, before.settings(), strict=True))
    why = arguments.why or f"rollback from generation {current.generation} to {before.generation}"
    _put(store, arguments, hardware_class, pinned, why, before.generation)
    return Exit.OK


def _class(store: Store, arguments: argparse.Namespace) -> str:
    return find_class((each.document.hardware_class for each in store.list_statuses()), arguments.hardware_class)


def _current(store: Store, hardware_class: str) -> ClassResult:
    """Return the result of the class; raise TargetError if it has none that is trusted."""
    entry = store.get_class(hardware_class)
    if entry.result is None:
        why = entry.ignored or "has no result yet, and so no grid to check settings by; wait for its sweeps"
        raise TargetError(f"class {hardware_class}: {why}")
    return entry.result.document


def _before(store: Store, current: ClassResult) -> ClassResult:
    """Return the newest older generation with other settings; raise TargetError if none is kept."""
    for each in store.history(current.hardware_class):
        found = each.document
        if found.generation < current.generation and found.settings() != current.settings():
            return found
    raise TargetError(
        f"class {current.hardware_class}: no older generation with other settings is kept; give settings with"
        " aio-tuned fleet pin"
    )


def _over(present: Setting | None, changes: Mapping[str, object], section: str, grid: Grid) -> Setting:
    """Return the present setting with the changes; raise UsageError if nodes would refuse it."""
    if present is None:
        raise UsageError(f"--{section}: the class has no setting of {section}; leave the option out")
    found = replace(present, **changes)  # type: ignore[arg-type]  # the parser has checked the types
    for key in SETTING_KEYS:
        if getattr(found, key) not in getattr(grid, key):
            values = ", ".join(str(each).lower() for each in getattr(grid, key))
            raise UsageError(
                f"--{section}: {key} {parameters.value(found, key)} is not of the class's grid; give one of {values}"
            )
    return found


def _put(
    store: Store,
    arguments: argparse.Namespace,
    hardware_class: str,
    settings: Mapping[str, Setting | None],
    why: str,
    restores: int = 0,
) -> None:
    from aio_tuned.fleet.pin import Pin

    made = Pin(
        hardware_class=hardware_class,
        read=settings.get("read"),
        write=settings.get("write"),
        combined=settings.get("combined"),
        by=user(arguments),
        why=why,
        at_s=int(time.time()),
        restores=restores,
    )
    # As its readers will see it: a reason that is too long is refused here, and not by the coordinator.
    store.put_pin(Pin.from_json(made.to_json()))
    _tell(made)


def _tell(made: Pin) -> None:
    origin = f" as of generation {made.restores}" if made.restores else ""
    print(f"class {made.hardware_class}: pinned{origin}")
    for section in _SECTIONS:
        if setting := getattr(made, section):
            print(f"  {section + ':':<10}{setting_text(setting)}")
    print(
        "the coordinator makes this the next generation, which nodes check before they take it; see aio-tuned fleet"
        f" status --class {made.hardware_class}; to end it: aio-tuned fleet unpin {made.hardware_class}"
    )
