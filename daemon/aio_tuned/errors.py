"""The errors that are reported to users; each has an exit code, and its text says what is wrong and what to do."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `aio-tuned`, after sysexits(3); README lists them."""

    OK = 0
    USAGE = 64
    DATA = 65
    TARGET = 66
    BUSY = 69
    HELPER = 70
    SYSTEM = 71
    PUBLISH = 73
    IO = 74
    TIMEOUT = 75
    PRIVILEGE = 77
    CONFIG = 78
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class AioTunedError(Exception):
    """The base of every error that is reported to the user without a traceback."""

    exit_code: Exit = Exit.SYSTEM


class UsageError(AioTunedError):
    """The command line, or a budget, asks for something impossible."""

    exit_code = Exit.USAGE


class ConfigError(AioTunedError):
    """The configuration is unreadable, or a key or value of it is wrong."""

    exit_code = Exit.CONFIG


class TargetError(AioTunedError):
    """The target does not exist, has no block device, or may not be swept."""

    exit_code = Exit.TARGET


class NoProfileError(TargetError):
    """The target's drive has no profile (yet), or the profile has no settings for what was asked."""


class TimedOutError(AioTunedError):
    """A wait exceeded its time limit."""

    exit_code = Exit.TIMEOUT


class PrivilegeError(AioTunedError):
    """The command needs root."""

    exit_code = Exit.PRIVILEGE


class BusyError(AioTunedError):
    """Another process holds the device, or the daemon is already running, or not running."""

    exit_code = Exit.BUSY


class HelperError(AioTunedError):
    """The helper could not be run, broke its protocol, or reported an error (then with its exit code)."""

    exit_code = Exit.HELPER

    def __init__(self, message: str, exit_code: Exit = Exit.HELPER) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DeferredError(AioTunedError):
    """The sweep is deferred (I/O of other processes, quiet hours, heat, the day's writes); try again later.

    Nothing measured is lost; `seconds` is how long to wait.
    """

    exit_code = Exit.BUSY

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class BusyDriveError(DeferredError):
    """The sweep is deferred because other processes use the drive; the message names their I/O."""


class MeasurementError(AioTunedError):
    """The samples do not support any profile: nothing may be published."""

    exit_code = Exit.IO


class ProfileError(AioTunedError):
    """A profile is invalid (torn, foreign, of an unknown schema), or others may have written it."""

    exit_code = Exit.DATA


class MissingProfileError(ProfileError):
    """There is no file of that name."""


class PublishError(AioTunedError):
    """A profile could not be written; the previous one is untouched."""

    exit_code = Exit.PUBLISH
