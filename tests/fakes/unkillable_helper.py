#!/usr/bin/env python3
"""A stand-in for aio-sweep that cannot be ended: after its hello it answers nonsense, and survives SIGKILL.

Its own child traces it, and asked to be told before it exits. Killed, it stops there until the tracer lets it go on,
which this one never does: as near to a process in D state as one gets without a broken drive. (One that has exited
already, and that its tracer has not waited for, is another thing: a pidfd says that it has ended, and waiting for it
blocks.) The child's process id is in the file that $TRACER_FILE names; when that is killed, the helper goes as well.
Leaves with 77 where tracing is not allowed.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path

PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1).value
PTRACE_SEIZE = 0x4206
PTRACE_O_TRACEEXIT = ctypes.c_ulong(0x40)
HELLO = {
    "type": "hello",
    "protocol": 1,
    "version": "fake",
    "target": {"device_number": "0:0"},
    "dio_alignment_bytes": 4096,
    "buffer": {"bytes": 0, "backing": "pages", "huge_bytes": 0, "locked": False},
    "page_cache": {"drop_caches": True},
    "counters": {"live": True},
    "fill_bytes": 0,
}


def main() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    helper = os.getpid()
    libc.prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
    ready, ready_in = os.pipe()
    if os.fork() == 0:
        os.setsid()
        failed = libc.ptrace(PTRACE_SEIZE, helper, None, PTRACE_O_TRACEEXIT)
        Path(os.environ["TRACER_FILE"]).write_text(str(os.getpid()))
        os.write(ready_in, b"0" if failed else b"1")
        os.closerange(0, 100)  # the tracer must not hold the helper's pipes open
        time.sleep(60)
        os._exit(0)
    if os.read(ready, 1) != b"1":
        return 77
    print(json.dumps(HELLO), flush=True)
    sys.stdin.readline()
    print("what?", flush=True)
    time.sleep(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
