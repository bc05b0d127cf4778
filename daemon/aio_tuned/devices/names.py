"""What a drive is called: its id and its by-id style name, by what stays with it over reboots and slots. Pure.

Loads in a moment, for the reader: identity.py makes a whole Device.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# udev(7), string_escape=replace, keeps these, letters, digits and valid UTF-8.
_KEPT = frozenset("#+-.:=@_")
_LONGEST_NAME = 200


def escape(text: str) -> str:
    """A by-id style name part: trailing padding goes, and each character that udev would not keep is an underscore."""
    return "".join(
        char if char in _KEPT or char.isalnum() or (char > "\x7f" and char.isprintable()) else "_"
        for char in text.rstrip(" \t\r\n\0")
    )


def clean_text(text: str) -> str:
    """A vendor's string without padding; NULs and other control bytes become spaces, broken UTF-8 the mark for it."""
    repaired = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in repaired).strip()


def file_name(name: str) -> str:
    """The name as a file's: never a slash, a leading dot, empty, or longer than file systems take."""
    safe = escape(name).lstrip(".") or "unnamed"
    if len(safe.encode()) > _LONGEST_NAME:
        import hashlib  # and with it OpenSSL

        digest = hashlib.sha256(safe.encode()).hexdigest()[:16]
        safe = safe.encode()[: _LONGEST_NAME - 17].decode("utf-8", "ignore") + "-" + digest
    return safe


def device_node(sys_name: str) -> Path:
    """The device's node. The kernel writes "!" for a slash in a name (cciss!c0d0)."""
    return Path("/dev") / sys_name.replace("!", "/")


def _means_something(wwid: str) -> bool:
    """Consumer drives report wwids of zeros."""
    return bool(wwid) and any(char not in "0.-" for char in wwid.partition(".")[2] or wwid)


def _mdadm_uuid(kernel_uuid: str) -> str:
    """The kernel writes an array's uuid with dashes as any other; mdadm, and so udev, as four words with colons."""
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
        # Not the cleaned strings: udev makes an underscore of each blank, those at the beginning too.
        parts = [escape(get("model", "")), escape(get("serial", ""))]
        if not any(parts):
            parts = [escape(wwid) if _means_something(wwid) else escape(sys_name)]
        name = "nvme-" + "_".join(part for part in (*parts, get("nsid", "")) if part)
        return (wwid if _means_something(wwid) else name), name
    if uuid := get("dm_uuid"):
        return f"dm-uuid-{uuid}", f"dm-name-{escape(get('dm_name', uuid))}"
    if uuid := get("udev.MD_UUID") or _mdadm_uuid(get("md_uuid", "")):
        return f"md-uuid-{uuid}", f"md-uuid-{escape(uuid)}"
    if backing := get("loop_file"):
        return f"loop:{backing}", f"loop-{escape(backing.strip('/').replace('/', '_'))}"
    if known := get("udev.ID_SERIAL"):
        name = f"{get('udev.ID_BUS', 'disk')}-{escape(known)}"
        return (wwid if _means_something(wwid) else name), name
    if serial:
        name = f"disk-{escape('_'.join(part for part in (model, serial) if part))}"
        return (wwid if _means_something(wwid) else name), name
    if _means_something(wwid):  # a container does not see what udev makes the names of
        return wwid, f"disk-{escape(wwid)}"
    # Nothing but the kernel's name, which holds for this boot.
    return f"block:{sys_name}", f"block-{escape(sys_name)}"


def id_and_name(facts: Mapping[str, str]) -> tuple[str, str]:
    """(id, by-id style name) of the whole disk or volume that the facts of sysfs.who() describe.

    The name is safe as a file's.
    """
    identifier, name = _names(facts)
    return clean_text(identifier), file_name(name)
