"""The id and the by-id style name of a drive, which stay the same across reboots and slots.

This module imports little, because the reader must load fast; identity.py makes a whole Device.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# udev(7), string_escape=replace, keeps these, letters, digits and valid UTF-8.
_KEPT = frozenset("#+-.:=@_")
_LONGEST_NAME = 200
_OF_THIS_BOOT = "block:"


def escape(text: str) -> str:
    """Return a part of a by-id style name, without trailing padding and with "_" for characters that udev replaces."""
    return "".join(
        char if char in _KEPT or char.isalnum() or (char > "\x7f" and char.isprintable()) else "_"
        for char in text.rstrip(" \t\r\n\0")
    )


def clean_text(text: str) -> str:
    """Return a vendor's string without padding.

    Control bytes become spaces, and invalid UTF-8 the replacement character.
    """
    repaired = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in repaired).strip()


def file_name(name: str) -> str:
    """Return the name as a file name: not empty, without a slash or a leading dot, and of 200 bytes at most."""
    safe = escape(name).lstrip(".") or "unnamed"
    if len(safe.encode()) > _LONGEST_NAME:
        import hashlib  # deferred: it loads OpenSSL

        digest = hashlib.sha256(safe.encode()).hexdigest()[:16]
        safe = safe.encode()[: _LONGEST_NAME - 17].decode("utf-8", "ignore") + "-" + digest
    return safe


def device_node(sys_name: str) -> Path:
    """Return the path of the device's node; the kernel writes "!" for a slash in a name (cciss!c0d0)."""
    return Path("/dev") / sys_name.replace("!", "/")


def _is_unique(wwid: str) -> bool:
    """Return whether the wwid identifies a single drive.

    Consumer drives report wwids of zeros. Where a drive has no wwid, the kernel writes
    "nvme.VENDOR-SERIAL-MODEL-NSID", which without a serial number all drives of the model share.
    """
    if wwid.startswith("nvme.") and wwid.split("-")[1:2] == [""]:
        return False
    return bool(wwid) and any(char not in "0.-" for char in wwid.partition(".")[2] or wwid)


def is_of_this_boot(identifier: str) -> bool:
    """Return whether the id is made of the kernel name, which may belong to another disk after the next boot."""
    return identifier.startswith(_OF_THIS_BOOT)


def holds_after_boot(identifier: str, then: str | None, now: str) -> bool:
    """Return whether the id still identifies the same drive; `then` and `now` are boot ids, "" or None if unknown."""
    return not is_of_this_boot(identifier) or (bool(now) and then == now)


def _mdadm_uuid(kernel_uuid: str) -> str:
    """Return an array's uuid as mdadm and udev write it, in four words with colons; the kernel writes dashes."""
    digits = kernel_uuid.replace("-", "")
    if len(digits) != 32:  # noqa: PLR2004 - hexadecimal digits of a uuid
        return kernel_uuid
    return ":".join(digits[place : place + 8] for place in range(0, 32, 8))


def _names(facts: Mapping[str, str]) -> tuple[str, str]:
    get = facts.get
    sys_name = facts["sys_name"]
    model, serial = clean_text(get("model", "")), clean_text(get("serial", ""))
    wwid = clean_text(get("wwid", ""))
    if sys_name.startswith("nvme"):
        # These are not the cleaned strings, because udev replaces each blank by an underscore, leading ones too.
        parts = [escape(get("model", "")), escape(get("serial", ""))]
        has_wwid = _is_unique(wwid)
        if not serial and not has_wwid:
            parts[1] = escape(sys_name)
        elif not any(parts):
            parts = [escape(wwid)]
        name = "nvme-" + "_".join(part for part in (*parts, get("nsid", "")) if part)
        return wwid if has_wwid else name if serial else f"{_OF_THIS_BOOT}{sys_name}", name
    if uuid := get("dm_uuid"):
        return f"dm-uuid-{uuid}", f"dm-name-{escape(get('dm_name', uuid))}"
    if uuid := get("udev.MD_UUID") or _mdadm_uuid(get("md_uuid", "")):
        return f"md-uuid-{uuid}", f"md-uuid-{escape(uuid)}"
    if backing := get("loop_file"):
        return f"loop:{backing}", f"loop-{escape(backing.strip('/').replace('/', '_'))}"
    if known := get("udev.ID_SERIAL"):
        name = f"{get('udev.ID_BUS', 'disk')}-{escape(known)}"
        return (wwid if _is_unique(wwid) else name), name
    if serial:
        name = f"disk-{escape('_'.join(part for part in (model, serial) if part))}"
        return (wwid if _is_unique(wwid) else name), name
    if _is_unique(wwid):  # in a container the udev properties for a better name are missing
        return wwid, f"disk-{escape(wwid)}"
    return f"{_OF_THIS_BOOT}{sys_name}", f"block-{escape(sys_name)}"


def id_and_name(facts: Mapping[str, str]) -> tuple[str, str]:
    """Return the id and the by-id style name of the whole disk or volume that the facts of sysfs.who() describe.

    The name is safe as a file name.
    """
    identifier, name = _names(facts)
    return clean_text(identifier), file_name(name)
