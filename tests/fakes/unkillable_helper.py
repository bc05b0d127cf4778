#!/usr/bin/env python3
"""A stand-in for aio-sweep that cannot be ended: after its hello it answers nonsense, and survives SIGKILL.

Its own child traces it with PTRACE_O_TRACEEXIT. When killed, the helper stops before its exit until the tracer resumes
it, which never happens: the closest state to D state without a broken drive. With $HELD=exited it exits instead, but
cannot be waited for until its tracer has done so: a pidfd reports its end, and a wait for it blocks, in which asyncio's
own processes hang from Python 3.12 on. $TRACER_FILE names a file with the child's process id; killing the child ends
the helper too. Exit with 77 if tracing is not allowed.
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
        options = None if os.environ.get("HELD") == "exited" else PTRACE_O_TRACEEXIT
        failed = libc.ptrace(PTRACE_SEIZE, helper, None, options)
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
