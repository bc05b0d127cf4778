from __future__ import annotations


class RigError(Exception):
    """The rig or the guest did not do what was asked."""


class CommandError(RigError):
    """A guest command given to sh() failed."""

    def __init__(self, command: object, status: int, output: str) -> None:
        super().__init__(f"guest command failed (exit {status}): {command}\n{output[-4000:]}")
        self.status = status
        self.output = output
