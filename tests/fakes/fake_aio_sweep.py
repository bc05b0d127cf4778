#!/usr/bin/env python3
"""A stand-in for aio-sweep by native/PROTOCOL.md, which models a drive and answers at once, in virtual time.

The drive has a bandwidth ceiling per direction, a latency per request, a cost per system call and per thread's start,
and lognormal noise. Every engine costs the same, and random places cost nothing. $FAKE_AIO_SWEEP is a JSON object that
overrides MODEL and may ask for misbehaviour, see `misbehave`. It needs the standard library only, so that it also runs
where aio-tuned is not installed.
"""

from __future__ import annotations

import json
import math
import os
import random
import stat
import sys
import time
from typing import Any

MODEL: dict[str, Any] = {
    "read_bytes_per_s": 6.5e9,
    "write_bytes_per_s": 4.0e9,
    "latency_ns": 90_000,
    "syscall_ns": 4_000,
    "start_ns": 60_000,
    # The time from the last completion to the caller, and the shares by which huge pages are faster, new files slower.
    "return_ns": 15_000,
    "huge_gain": 0.0,
    "new_file_cost": 0.3,
    "noise": 0.01,
    "drift_per_s": 0.0,
    "seed": 1,
    # The real time per setting, for tests that act in the middle of a sweep.
    "pause_s": 0.0,
    # {"at": N, "do": …} misbehaves from the Nth point on, or with "once": true at that point only; the ways are
    # die | garbage | silent | error | newer | lie | wrong-id | cache | foreign | unknown
    "misbehave": None,
    "fill_bytes": None,
    # What hello says with protocol 2: why an engine cannot be used, or "", and the memory of the buffer.
    "engines": {"libaio": "", "io_uring": "", "psync": ""},
    "thp_policy": "madvise",
    "huge_share": 0.0,
    "mean_run_bytes": 65_536,
}
# The keys of a point: those of every protocol, and those of protocol 2.
KEYS = {"id", "op", "block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit"}
KEYS |= {"transfer_bytes", "min_ns", "min_transfers", "max_bytes", "drop_caches"}
NEW_KEYS = {"engine", "access", "seed", "read_percent", "memory", "groups", "new_file", "fixed_buffers"}
NEW_KEYS |= {"max_foreign_bytes"}


def say(**message: object) -> None:
    print(json.dumps(message, separators=(",", ":")), flush=True)


def device_number(path: str) -> str:
    try:
        status = os.stat(path)  # noqa: PTH116 - plain
    except OSError:
        return "0:0"
    number = status.st_rdev if stat.S_ISBLK(status.st_mode) else status.st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def words_of(arguments: list[str]) -> dict[str, str]:
    words = {}
    for argument in arguments:
        key, _, value = argument.removeprefix("--").partition("=")
        words[key] = value
    return words


def threads_of(request: dict[str, str]) -> int:
    return int(request["io_parallelism"]) * int(request.get("groups", 1))


def requests_of(request: dict[str, str]) -> int:
    """Return the number of requests in one transfer."""
    if request.get("access") == "random" or request.get("engine") == "psync":
        return math.ceil(int(request["transfer_bytes"]) / int(request["block_size"]))
    threads = threads_of(request)
    share = int(request["transfer_bytes"]) // threads
    return threads * math.ceil(share / min(int(request["block_size"]), share))


def bytes_per_s(model: dict[str, Any], request: dict[str, str]) -> float:
    """Return the drive's ceiling for the request's mix of reads and writes, and its memory and file."""
    reads = {"read": 100, "write": 0}.get(request["op"], int(request.get("read_percent", 0))) / 100
    rate: float = 1 / (reads / model["read_bytes_per_s"] + (1 - reads) / model["write_bytes_per_s"])
    if request.get("memory") in ("huge", "hugetlb"):
        rate *= 1 + model["huge_gain"]
    if request.get("new_file") == "1":
        rate /= 1 + model["new_file_cost"]
    return rate


def transfer_ns(
    model: dict[str, Any], request: dict[str, str], noise: random.Random, now_s: float
) -> tuple[int, int, int]:
    """Return (elapsed, latency, processor time) of one transfer; the slowest of device, queue and threads decides."""
    size, threads = int(request["transfer_bytes"]), threads_of(request)
    share = size // threads
    block = min(int(request["block_size"]), share)
    blocks = math.ceil(share / block)
    depth = min(int(request["queue_depth"]), blocks)
    rate = bytes_per_s(model, request) * math.exp(model["drift_per_s"] * now_s)
    service = model["latency_ns"] + block / rate * 1e9
    waves = blocks / depth if request["overlap_events"] == "1" and depth > 1 else math.ceil(blocks / depth)
    calls = blocks * (2 if request["single_submit"] == "1" else 1.2)
    # The threads of psync wake each other, like a tree.
    starts = 1 + math.log2(threads) if request.get("engine") == "psync" else threads
    elapsed = max(size / rate * 1e9, waves * service, calls * model["syscall_ns"]) + starts * model["start_ns"]
    elapsed *= math.exp(noise.gauss(0, model["noise"]))
    cpu = min(elapsed, calls * model["syscall_ns"]) * threads
    return max(1, int(elapsed)), int(service + depth * threads * block / rate * 1e9), int(cpu)


def wrong_with(request: dict[str, str], options: dict[str, str], protocol: int, model: dict[str, Any]) -> str:
    """Return why a request is refused, or ""."""
    allowed = KEYS | (NEW_KEYS if protocol > 1 else set())
    if unknown := sorted(set(request) - allowed):
        return f"{unknown[0]}: not a key of a point"
    if request["op"] not in (("read", "write", "mixed") if protocol > 1 else ("read", "write")):
        return f"op={request['op']}: not an operation"
    if request["op"] != "read" and "allow-write" not in options:
        return "not allowed"
    if (request["op"] == "mixed") != ("read_percent" in request):
        return "read_percent: needed with op=mixed, and only there"
    if why := model["engines"].get(request.get("engine", "libaio"), "not an engine"):
        return f"engine={request.get('engine')}: {why}"
    if request.get("engine") == "psync" and request["queue_depth"] != "1":
        return f"queue_depth={request['queue_depth']}: psync has 1"
    if threads_of(request) > (512 if request.get("engine") == "psync" else 64):
        return f"io_parallelism={request['io_parallelism']}: too many threads"
    if request.get("access") == "random" and int(request["transfer_bytes"]) % int(request["block_size"]):
        return f"transfer_bytes={request['transfer_bytes']}: not a multiple of block_size"
    if request.get("new_file") == "1" and (request["op"] != "write" or "scratch" not in options):
        return "new_file=1: needs --scratch and op=write"
    return ""


def drops(policy: str, request: dict[str, str], *, first_read: bool) -> bool:
    """Return whether the page cache of the host is dropped before the point."""
    if "drop_caches" in request:
        return request["drop_caches"] == "1"
    return policy == "always" or (policy == "auto" and first_read)


def main() -> int:
    model = MODEL | json.loads(os.environ.get("FAKE_AIO_SWEEP", "{}"))
    options = words_of(sys.argv[1:])
    kind = next(key for key in ("scratch", "file", "device") if key in options)
    span, most = int(options["span-bytes"]), int(options["max-transfer-bytes"])
    filled = model["fill_bytes"] if model["fill_bytes"] is not None else (span if kind == "scratch" else 0)
    misbehave = model["misbehave"] or {"at": 1 << 62, "do": ""}
    protocol = int(options.get("protocol", 1))
    engines = {"engines": model["engines"]} if protocol > 1 else {}
    say(type="tick", phase="fill", bytes=filled, total_bytes=filled)
    say(
        type="hello",
        protocol=3 if misbehave["do"] == "newer" else protocol,
        helper="fake-aio-sweep",
        version="fake",
        target={
            "kind": kind,
            "path": options[kind],
            "offset_bytes": 0,
            "span_bytes": span,
            "device_number": device_number(options[kind]),
        },
        dio_alignment_bytes=4096,
        logical_block_bytes=4096,
        allow_write="allow-write" in options,
        buffer={
            "bytes": most,
            "backing": "pages",
            "huge_bytes": int(most * model["huge_share"]),
            "locked": True,
            "thp_policy": model["thp_policy"],
            "mean_run_bytes": model["mean_run_bytes"],
        },
        page_cache={"policy": options["drop-caches"], "drop_caches": True, "residency": "none", "reason": ""},
        counters={"path": "", "live": misbehave["do"] != "unknown"},
        fill_bytes=filled,
        fill_ns=0,
        setup_ns=1000,
        **engines,
    )
    noise = random.Random(model["seed"])
    points, moved, now_ns = 0, {"read": 0, "write": filled}, 0
    for line in sys.stdin:
        time.sleep(model["pause_s"])
        verb, *pairs = line.split()
        request = dict(pair.split("=", 1) for pair in pairs)
        points += 1
        wrong = ""
        if points == misbehave["at"] or (points > misbehave["at"] and not misbehave.get("once")):
            wrong = misbehave["do"]
        if wrong == "die":
            return 3
        if wrong == "garbage":
            print("what?", flush=True)
            return 0
        if wrong == "silent":
            time.sleep(3600)
        if wrong == "error":
            lost = "/dev/fake: read of 4096 bytes at offset 0: ENODATA: media error in these blocks"
            say(type="error", code=74, op="io_submit", errno=61, name="ENODATA", message=lost, id=points)
            return 74
        refusal = wrong_with(request, options, protocol, model) if verb == "point" else f"{verb}: not a verb"
        if refusal:
            say(type="error", code=65, op="request", errno=0, name="", message=refusal, line=line.strip()[:200])
            return 65
        size = int(request["transfer_bytes"])
        min_ns, least = int(request.get("min_ns", 0)), int(request.get("min_transfers", 1))
        max_bytes = int(request.get("max_bytes", 0))
        times: list[int] = []
        latency, cpu = 0, 0
        while not times or (
            (sum(times) < min_ns or len(times) < least) and not (max_bytes and (len(times) + 1) * size > max_bytes)
        ):
            elapsed, latency, busy = transfer_ns(model, request, noise, (now_ns + sum(times)) / 1e9)
            times.append(elapsed)
            cpu += busy
        total = size * len(times)
        first_read = request["op"] == "read" and not moved["read"]
        reads = {"read": 100, "write": 0}.get(request["op"], int(request.get("read_percent", 0)))
        parts = {"read": total * reads // 100, "write": total - total * reads // 100}
        for way, part in parts.items():
            moved[way] += part
        now_ns += sum(times)
        groups = int(request.get("groups", 1))
        requests = len(times) * requests_of(request)
        say(
            type="point",
            id=int(request["id"]) + (wrong == "wrong-id"),
            op=request["op"],
            transfers_ns=times,
            transfer_bytes=size,
            bytes=total + (wrong == "lie"),
            elapsed_ns=sum(times),
            wall_ns=sum(times) + 50_000,
            requests=requests,
            submits=requests,
            reaps=requests,
            again=0,
            return_ns=model["return_ns"],
            latency_ns={"p50": latency, "p90": latency, "p99": latency * 2, "p999": latency * 3, "max": latency * 3},
            cpu_user_ns=0,
            cpu_system_ns=cpu,
            cache={
                "dropped": drops(options["drop-caches"], request, first_read=first_read),
                "resident_bytes": 0,
                "verdict": "unknown" if wrong == "unknown" else "cache" if wrong == "cache" else "device",
            },
            counters={
                f"{way}_bytes": part // 2 if wrong == "cache" else part * 3 if wrong == "foreign" else part
                for way, part in parts.items()
            },
            device_ios=requests,
            device_merges=0,
            host_cpu_ns=cpu,
            **({"groups_ns": [sum(times)] * groups} if groups > 1 else {}),
        )
    say(type="end", reason="eof", points=points, bytes_read=moved["read"], bytes_written=moved["write"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
