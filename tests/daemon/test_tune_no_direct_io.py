"""Filesystems that take O_DIRECT and put the page cache in between: no figure there would be the drive's."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

import pytest

import storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.conftest import Tuner

UNFIT = 66
# linux/fscrypt.h: the ioctls; struct fscrypt_add_key_arg of a key that the kernel names; struct fscrypt_policy_v2 of
# AES-256-XTS for content and AES-256-CTS for names.
ADD_KEY = 0xC0506617
SET_POLICY = 0x800C6613
KEY_ARGUMENT = "=II32sII32s"
KEY_IDENTIFIER = slice(8, 24)
POLICY = "=BBBB4s16s"


def remount(made: storage.Filesystem, *options: str) -> Path:
    """Mount it again with these options, and make a folder in it."""
    assert made.device
    storage.run("mount", *options, made.device, made.path)
    folder = made.path / "folder"
    folder.mkdir()
    return folder


def encrypt(root: Path, folder: Path) -> None:
    """Let the kernel encrypt what comes into an empty folder."""
    argument = bytearray(struct.pack(KEY_ARGUMENT, 2, 0, b"", 64, 0, b"") + os.urandom(64))
    for path, request in ((root, ADD_KEY), (folder, SET_POLICY)):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, request, argument)
        except OSError as error:
            pytest.skip(f"the kernel does not encrypt: {error}")
        finally:
            os.close(descriptor)
        argument = bytearray(struct.pack(POLICY, 2, 1, 4, 2, b"", bytes(argument[KEY_IDENTIFIER])))


def refused(tuner: Tuner, folder: Path) -> None:
    done = tuner.run(folder)
    assert done.code == UNFIT, done.stderr
    assert "no direct I/O here (data journalling, encryption or similar)" in done.stderr
    assert list(folder.iterdir()) == []
    assert not tuner.out.exists() or list(tuner.out.glob("*.toml")) == []


def test_a_folder_of_encrypted_files_is_refused_and_its_neighbour_is_not(
    tuner: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    assert made.device
    storage.run("umount", made.path)
    storage.run("tune2fs", "-O", "encrypt", made.device)
    folder = remount(made)
    encrypt(made.path, folder)
    refused(tuner, folder)
    assert tuner.profile(made.path)["write"]["throughput_bytes_per_s"] > 0


def test_a_filesystem_that_journals_its_data_is_refused(
    tuner: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    storage.run("umount", made.path)
    refused(tuner, remount(made, "-o", "data=journal"))
