"""Standard output and standard error of a command: a failed write is an error of ours, never a traceback."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

from aio_tuned.errors import Exit, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class _Stream:
    """A text stream that leaves failed writes to `_failed`; everything else is the wrapped stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text; return its length."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
        return len(text)

    def flush(self) -> None:
        """Write the buffer."""
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _failed(self, error: OSError) -> None:
        """Discard the buffer; subclasses report the error."""
        del error
        # The interpreter flushes the stream again when it ends, and would print a traceback.
        with contextlib.suppress(OSError):
            descriptor = self._stream.fileno()
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, descriptor)
            os.close(null)


class _Output(_Stream):
    """Standard output; a failed write raises OutputError."""

    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        if error.errno == errno.EPIPE:
            raise OutputError("standard output: closed by its reader", Exit.CLOSED_PIPE) from None
        raise OutputError(f"standard output: cannot be written: {error.strerror}") from None


class _Messages(_Stream):
    """Standard error; messages that cannot be written are lost, and the command continues.

    `aio-tuned tune TARGET 2>&1 | head` must not abandon a sweep because nobody reads its progress.
    """


def _open_missing() -> None:
    """Open the standard descriptors that the caller has closed, so that no other file gets their numbers.

    Like gnulib's stdopen(), open them the wrong way round: writes to a closed standard output fail.
    """
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if descriptor == _STDIN else os.O_RDONLY)


def _stream(found: TextIO | None, descriptor: int) -> TextIO:
    """Return the stream, or a new one of the descriptor if the interpreter found it closed."""
    if found is None:
        found = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - used until the command ends
    if isinstance(found, io.TextIOWrapper):
        found.reconfigure(errors="backslashreplace")  # a terminal may be limited to ASCII
    return found


@contextlib.contextmanager
def lossy_stderr() -> Iterator[None]:
    """Lose the messages of this context that standard error does not take."""
    _open_missing()
    stream = cast("TextIO", _Messages(_stream(sys.stderr, _STDERR)))
    with contextlib.redirect_stderr(stream):
        yield


@contextlib.contextmanager
def checked_stdout() -> Iterator[None]:
    """Raise OutputError in this context when standard output cannot be written; write the buffer at the end."""
    _open_missing()
    output = _Output(_stream(sys.stdout, _STDOUT))
    with contextlib.redirect_stdout(cast("TextIO", output)):
        try:
            yield
        except SystemExit:  # argparse raises it after --help
            output.flush()
            raise
        except BaseException:
            with contextlib.suppress(OutputError):  # the first error is reported
                output.flush()
            raise
        output.flush()


def use_utf8() -> None:
    """Have standard output encode text as UTF-8, as HTML pages declare it, whatever the terminal's encoding is."""
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(encoding="utf-8")
