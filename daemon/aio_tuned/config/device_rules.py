"""The rules that select the devices that the daemon tunes: the operator's [[match]] tables, then the default."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aio_tuned.model.target import Skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.device import Device

PATTERN_KEYS = ("transport", "model", "serial", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRule:
    """One [[match]] table: globs that must all match, and whether matching devices are tuned; "" matches anything.

    `name` matches the by-id style name or the kernel's ("vd*").
    """

    tune: bool
    transport: str = ""
    model: str = ""
    serial: str = ""
    name: str = ""

    def __str__(self) -> str:
        words = [f'{key} = "{getattr(self, key)}"' for key in PATTERN_KEYS if getattr(self, key)]
        return ", ".join([*words, f"tune = {str(self.tune).lower()}"])

    def fits(self, device: Device) -> bool:
        """Return whether the rule applies to this device."""
        texts = {
            "transport": (device.transport,),
            "model": (device.model,),
            "serial": (device.serial,),
            "name": (device.name, device.sys_name),
        }
        return all(
            any(fnmatchcase(text, glob) for text in texts[key]) for key in PATTERN_KEYS if (glob := getattr(self, key))
        )


def _is_nvme(device: Device) -> bool:
    return device.sys_name.startswith("nvme")


def _first(device: Device, rules: Sequence[MatchRule]) -> MatchRule | None:
    return next((rule for rule in rules if rule.fits(device)), None)


def wanted(device: Device, members: Sequence[Device], rules: Sequence[MatchRule]) -> Skip | None:
    """Return None if the daemon tunes this device, else the reason; the first rule that fits decides.

    Without such a rule, NVMe drives on PCIe are tuned, and volumes whose `members` (the disks below) all are tuned.
    """
    if device.hidden:
        return Skip(
            reason=f"{device.sys_name} is a hidden path of a multipath namespace, which is tuned through its head"
        )
    if rule := _first(device, rules):
        return None if rule.tune else Skip(reason=f"excluded by [[match]]: {rule}")
    if device.members:
        return _volume_wanted(device, members, rules)
    if _is_nvme(device) and device.transport == "pcie":
        return None
    kind = f"transport {device.transport or 'unknown'}"
    return Skip(
        reason=f"{device.sys_name} is not tuned by default ({'NVMe, ' if _is_nvme(device) else 'not NVMe, '}{kind}); to"
        " tune it, add a [[match]] rule with tune = true"
    )


def _volume_wanted(device: Device, members: Sequence[Device], rules: Sequence[MatchRule]) -> Skip | None:
    known = {member.sys_name: member for member in members}
    for name in device.members:
        if name not in known:
            return Skip(reason=f"its member {name} is missing; replace the member, or dissolve the volume")
        if skip := wanted(known[name], (), rules):
            return Skip(
                reason=f"its member {name} is not tuned ({skip.reason}); to tune the volume anyway, add a [[match]]"
                " rule with its name"
            )
    return None


def is_of_interest(device: Device, rules: Sequence[MatchRule] = ()) -> bool:
    """Return whether `status` lists the device even if it is skipped.

    It lists NVMe drives, volumes with an NVMe member, present or missing, and devices that a rule matches.
    """
    return (
        any(name.startswith("nvme") for name in (device.sys_name, *device.members)) or _first(device, rules) is not None
    )
