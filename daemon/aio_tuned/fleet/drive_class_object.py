"""The DriveClass object of a hardware class: the operators' pin in its spec, and what the fleet knows in its status."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet import wire
from aio_tuned.fleet.rollout import STEPS
from aio_tuned.formatting import size, throughput
from aio_tuned.model.profile import SHARE_ONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassDirection, ClassResult
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.signature import Signed
    from aio_tuned.model.setting import Setting

KIND, PLURAL = "DriveClass", "driveclasses"
_SECTIONS = ("read", "write", "combined")
_COUNTS = ("generation", "nodes", "drives", "confirmed", "refused", "waiting", "stale", "ignored", "swept", "wanted")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


# --- the pin --------------------------------------------------------------------------------------------------


def pin_spec(pin: Pin) -> dict[str, Any]:
    """Return the pin as the spec has it."""
    sections = {key: _setting_spec(found) for key in _SECTIONS if (found := getattr(pin, key))}
    return {**sections, "by": pin.by, "why": pin.why, "at": pin.at_s, "restores": pin.restores}


def pin_in(found: Mapping[str, Any]) -> str:
    """Return the text of the pin in an object, "" if it has none. An operator need not write more than the setting."""
    pin = (found.get("spec") or {}).get("pin")
    if pin is None:
        return ""
    return wire.dump(
        {
            "schema": wire.SCHEMA,
            "class": found["metadata"]["name"],
            **{key: _setting_row(pin[key]) if key in pin else None for key in _SECTIONS},
            "by": pin.get("by", ""),
            "why": pin.get("why", ""),
            "at": pin.get("at") or _changed_at_s(found),
            "restores": pin.get("restores", 0),
        }
    )


def pin_changed(event: Mapping[str, Any]) -> bool:
    """Return whether an event of a watch may be about the pin: the status tells which pin the coordinator has seen."""
    found = event["object"]
    pinned = bool((found.get("spec") or {}).get("pin"))
    generation = found["metadata"].get("generation", 1)
    if event["type"] == "MODIFIED":
        observed = (found.get("status") or {}).get("observedGeneration")
        return bool((pinned or generation > 1) and generation != observed)
    return pinned


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(each.capitalize() for each in others)


def _setting_spec(setting: Setting) -> dict[str, Any]:
    return {_camel(key): getattr(setting, key) for key in SETTING_KEYS}


def _setting_row(spec: Mapping[str, Any]) -> list[Any]:
    """Return the row of a setting; a parameter that is missing or of another type is refused by its reader."""
    found = (spec.get(_camel(key)) for key in SETTING_KEYS)
    return [int(value) if isinstance(value, bool) else value for value in found]


def _changed_at_s(found: Mapping[str, Any]) -> int:
    """Return when the spec was last written, by the server's clock."""
    metadata = found["metadata"]
    times = [each.get("time") for each in metadata.get("managedFields") or [] if "f:spec" in each.get("fieldsV1", {})]
    try:
        newest = max([*filter(None, times), metadata.get("creationTimestamp", "")])
        return int(datetime.strptime(newest, _TIME).replace(tzinfo=timezone.utc).timestamp())
    except ValueError:
        return 0


# --- the status -----------------------------------------------------------------------------------------------


def result_status(result: ClassResult) -> dict[str, Any]:
    """Return what the status tells of the settings of a result."""
    parts = {name: _direction_text(part) for name, part in result.directions()}
    return {"settings": {**parts, "combined": _setting_text(result.combined.setting) if result.combined else None}}


def status(
    signed: Signed[ClassStatus], observed: int | None, before: Mapping[str, Any], now_s: float
) -> dict[str, Any]:
    """Return the status of a class, its signed text and its conditions.

    `observed` is the generation of the spec whose pin it takes into account. `before` is the status until now, whose
    conditions tell since when they are as they are.
    """
    of = signed.document
    step = of.rollout.step if of.rollout else len(STEPS) - 1
    rolling = step < len(STEPS) - 1
    reason = _reason(of, rolling=rolling)
    conditions = (
        ("Ready", reason == "Settled", reason, of.decision),
        ("RollingOut", rolling, "Step" if rolling else "AllNodes", of.decision),
        ("Disagreement", bool(of.disagreement), "SweepsDiffer" if of.disagreement else "SweepsAgree", of.disagreement),
    )
    known = {each.get("type"): each for each in before.get("conditions") or []}
    now = datetime.fromtimestamp(now_s, timezone.utc).strftime(_TIME)
    return {
        **({"observedGeneration": observed} if observed else {}),
        **{key: getattr(of, key) for key in _COUNTS},
        "about": of.about,
        "reached": f"{100 * STEPS[step] // SHARE_ONE} %" if of.generation else "",
        "pinned": of.pinned,
        "report": signed.text,
        "conditions": [_condition(*each, known.get(each[0], {}), observed, now) for each in conditions],
    }


def _reason(of: ClassStatus, *, rolling: bool) -> str:
    """Return why a class is ready, "Settled", or is not."""
    if not of.generation:
        return "NoResult"
    if of.disagreement:
        return "Disagreement"
    return "RollingOut" if rolling else "Settled"


def _condition(
    kind: str, true: bool, reason: str, message: str, before: Mapping[str, Any], observed: int | None, now: str
) -> dict[str, Any]:
    value = "True" if true else "False"
    since = before.get("lastTransitionTime", now) if before.get("status") == value else now
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        **({"observedGeneration": observed} if observed else {}),
    }


def _setting_text(setting: Setting) -> str:
    return f"{size(setting.block_size)} x {setting.queue_depth} x {setting.io_parallelism}"


def _direction_text(part: ClassDirection | None) -> str | None:
    return f"{_setting_text(part.setting)}, {throughput(part.rate.bytes_per_s)}" if part else None
