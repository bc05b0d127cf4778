"""The errors that are reported to users: each has an exit code, and a text with the cause and the remedy."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `aio-tuned`, after sysexits(3); from 128 on, 128 plus a signal's number. aio-tuned(1) lists them.

    OBSTACLE is the answer of `doctor` that something costs throughput, which is no error. NOT_EXECUTABLE and NOT_FOUND
    are those of shells and env(1) for a command that does not start.

    CLOSED_PIPE is what a shell reports for a program that SIGPIPE has killed, such as `ls | head -1`: output was lost,
    so 0 would be wrong, but the reader wanted no more, so there is no message.
    """

    OK = 0
    OBSTACLE = 1
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
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    HANGUP = 129
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


class AioTunedError(Exception):
    """The base of all errors that are reported to the user without a traceback."""

    exit_code: Exit = Exit.SYSTEM


class UsageError(AioTunedError):
    """The command line is wrong, or a budget is too small for the sweep."""

    exit_code = Exit.USAGE


class ConfigError(AioTunedError):
    """The configuration cannot be read, or one of its keys or values is wrong."""

    exit_code = Exit.CONFIG


class TargetError(AioTunedError):
    """The target does not exist, has no block device, or may not be swept."""

    exit_code = Exit.TARGET


class NoProfileError(TargetError):
    """The target's drive has no profile yet, or its profile has no settings for the requested direction."""


class NoCurveError(NoProfileError):
    """The profile has no figures for the requested engine, direction or request size."""


class LatencyError(NoProfileError):
    """No measured number of requests in flight keeps the p99 within the bound.

    `lowest_us` is the lowest p99 that was measured, with `in_flight` requests in flight; both are None without any.
    """

    def __init__(self, message: str, lowest_us: float | None, in_flight: int | None) -> None:
        super().__init__(message)
        self.lowest_us = lowest_us
        self.in_flight = in_flight


class TimedOutError(AioTunedError):
    """A wait exceeded its time limit."""

    exit_code = Exit.TIMEOUT


class PrivilegeError(AioTunedError):
    """The command needs root."""

    exit_code = Exit.PRIVILEGE


class BusyError(AioTunedError):
    """The device is in use, or the daemon is already running, or is not running."""

    exit_code = Exit.BUSY


class NotRunningError(BusyError):
    """The daemon is not running."""


class HelperError(AioTunedError):
    """The helper could not be run, broke its protocol, or reported an error (then with its exit code)."""

    exit_code = Exit.HELPER

    def __init__(self, message: str, exit_code: Exit = Exit.HELPER) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DeferredError(AioTunedError):
    """The sweep is deferred for `seconds`: other processes do I/O, quiet hours, heat, or the daily write budget.

    Its measurements are kept.
    """

    exit_code = Exit.BUSY

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class BusyDriveError(DeferredError):
    """The sweep is deferred because other processes use the drive; the message gives their I/O."""


class MeasurementError(AioTunedError):
    """The samples are not sufficient for a profile: nothing may be published."""

    exit_code = Exit.IO


class ProfileError(AioTunedError):
    """A profile is damaged, is not a profile, has an unknown schema, or may have been written by another user."""

    exit_code = Exit.DATA


class MissingProfileError(ProfileError):
    """The profile's file does not exist."""


class FleetDataError(AioTunedError):
    """A report or a class result of the fleet is damaged, too large, or has values that it cannot have."""

    exit_code = Exit.DATA


class CommandError(AioTunedError):
    """The command of `aio-tuned run` cannot be started; the exit code is NOT_FOUND or NOT_EXECUTABLE, as of env(1)."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class PublishError(AioTunedError):
    """A file could not be written; the previous one is unchanged."""

    exit_code = Exit.PUBLISH


class OutputError(AioTunedError):
    """Standard output cannot be written.

    The exit code is PUBLISH if it is closed or its disk is full, and CLOSED_PIPE if the reader of the pipe has ended.
    """

    exit_code = Exit.PUBLISH

    def __init__(self, message: str, exit_code: Exit = Exit.PUBLISH) -> None:
        super().__init__(message)
        self.exit_code = exit_code
