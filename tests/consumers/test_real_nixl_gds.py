"""NIXL's plugins for GPUDirect Storage with the parameters that we export, without a GPU.

Libraries stand in for cuFile, by plain reads and writes that are counted, and for the CUDA runtime. The plugins are
NIXL's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import nixl_gds
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer
from consumers.stubs import library
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
RUNTIME = """
int cudaSetDevice(int device) { return device; }
const char *cudaGetErrorString(int error) { return error ? "error" : "none"; }
"""
# The declarations of cufile.h that the plugins use.
CUFILE = """
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
typedef struct { int error, cuda; } Error;
typedef struct { int type; union { int fd; void *other; } handle; const void *operations; } Descriptor;
typedef struct {
    int mode;
    struct { void *base; off_t file_offset, base_offset; size_t size; } batch;
    void *handle;
    int opcode;
    void *cookie;
} Request;
typedef struct { void *cookie; int status; size_t moved; } Event;
typedef struct { unsigned count; Event events[]; } Batch;
static const Error none;
static atomic_uint active, most_active, batches, requests;
static atomic_size_t largest;

unsigned counted(int what) { return what == 0 ? most_active : what == 1 ? batches : what == 2 ? requests : largest; }

Error cuFileDriverOpen(void) { return none; }
Error cuFileDriverClose_v2(void) { return none; }
Error cuFileBufRegister(void) { return none; }
Error cuFileBufDeregister(void) { return none; }
void cuFileHandleDeregister(void) {}
Error cuFileHandleRegister(void **handle, Descriptor *of)
{
    *handle = (void *)(intptr_t)(of->handle.fd + 1);
    return none;
}

static ssize_t move(void *handle, char *at, size_t size, off_t offset, int writes)
{
    int fd = (int)(intptr_t)handle - 1;
    unsigned now = atomic_fetch_add(&active, 1) + 1;
    unsigned most = most_active;
    while (now > most && !atomic_compare_exchange_weak(&most_active, &most, now)) {}
    atomic_fetch_add(&requests, 1);
    if (size > largest)
        largest = size;
    usleep(2000); // as long as a drive takes, so that every thread has its turn
    ssize_t moved = writes ? pwrite(fd, at, size, offset) : pread(fd, at, size, offset);
    atomic_fetch_sub(&active, 1);
    return moved;
}
ssize_t cuFileRead(void *handle, void *base, size_t size, off_t offset, off_t base_offset)
{
    return move(handle, (char *)base + base_offset, size, offset, 0);
}
ssize_t cuFileWrite(void *handle, const void *base, size_t size, off_t offset, off_t base_offset)
{
    return move(handle, (char *)base + base_offset, size, offset, 1);
}

Error cuFileBatchIOSetUp(Batch **batch, unsigned most)
{
    *batch = calloc(1, sizeof **batch + most * sizeof(Event));
    batches++;
    return none;
}
Error cuFileBatchIOSubmit(Batch *batch, unsigned count, Request *all, unsigned flags)
{
    batch->count = flags ? 0 : count;
    for (unsigned i = 0; i < batch->count; i++) {
        Request *one = &all[i];
        char *at = (char *)one->batch.base + one->batch.base_offset;
        ssize_t moved = move(one->handle, at, one->batch.size, one->batch.file_offset, one->opcode);
        batch->events[i] = (Event){one->cookie, moved < 0 ? 0x40 : 0x10, (size_t)moved}; // failed or complete
    }
    return none;
}
Error cuFileBatchIOGetStatus(Batch *batch, unsigned least, unsigned *count, Event *events)
{
    (void)least;
    *count = batch->count;
    for (unsigned i = 0; i < batch->count; i++)
        events[i] = batch->events[i];
    return none;
}
Error cuFileBatchIOCancel(void) { return none; }
void cuFileBatchIODestroy(Batch *batch) { free(batch); }
"""
SCRIPT = """
import ctypes, json, os, sys, tomllib
from pathlib import Path
from nixl._api import nixl_agent, nixl_agent_config

plugin, size, count = sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
agent = nixl_agent("tester", nixl_agent_config(backends=[]))
agent.create_backend(plugin, tomllib.loads(Path(sys.argv[1]).read_text())[plugin])
data = ctypes.create_string_buffer(os.urandom(size * count), size * count)
back = ctypes.create_string_buffer(size * count)
file = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR, 0o600)
agent.register_memory([(ctypes.addressof(buffer), size * count, 0, "") for buffer in (data, back)], "DRAM", [plugin])
agent.register_memory([(0, size * count, file, "")], "FILE", [plugin])

def move(operation, buffer):
    pieces = range(0, size * count, size)
    memory = agent.get_xfer_descs([(ctypes.addressof(buffer) + at, size, 0) for at in pieces], "DRAM")
    storage = agent.get_xfer_descs([(at, size, file) for at in pieces], "FILE")
    handle = agent.initialize_xfer(operation, memory, storage, "tester", backends=[plugin])
    state = agent.transfer(handle)
    while state == "PROC":
        state = agent.check_xfer_state(handle)
    return state

states = [move("WRITE", data), move("READ", back)]
counted = ctypes.CDLL("libcufile.so.0").counted
print(json.dumps({
    "states": states,
    "written": Path(sys.argv[2]).read_bytes() == data.raw,
    "read": back.raw == data.raw,
    "counted": [counted(what) for what in range(4)],
}))
"""
DRIVE = drive(
    curves=(
        curve("psync", "read", {MIB: 7}),
        curve("psync", "write", {MIB: 3}),
        curve("io_uring", "read", {MIB: 8, 16 * MIB: 4}, {MIB: 6_000_000_000, 16 * MIB: 3_000_000_000}),
    )
)


def moved(tmp_path: Path, text: str, plugin: str, size: int, count: int) -> list[int]:
    """Write and read a file by a plugin, and return what cuFile's stand-in counted.

    These are the most requests in flight, the batches, the requests, and the bytes of the largest request.
    """
    python = package_python("nixl")
    library(CUFILE, tmp_path / "libcufile.so.0")
    library(RUNTIME, tmp_path / "libcudart.so.12", "libcudart.so.12")
    file = tmp_path / "gds.toml"
    file.write_text(text)
    where = {"LD_LIBRARY_PATH": str(tmp_path)}
    said: dict[str, Any] = answer(python, SCRIPT, file, tmp_path / "data", plugin, str(size), str(count), **where)
    assert said["states"] == ["DONE", "DONE"]
    assert said["written"]
    assert said["read"]
    counted: list[int] = said["counted"]
    return counted


def ours() -> str:
    return render(nixl_gds.export(DRIVE, "/data", ExportOptions()))


def test_as_many_threads_move_descriptors_as_we_export(tmp_path: Path) -> None:
    threads, _, requests, largest = moved(tmp_path, ours(), "GDS_MT", 65536, 100)
    assert (threads, requests, largest) == (7, 200, 65536)


def test_descriptors_are_divided_into_requests_of_our_size(tmp_path: Path) -> None:
    _, batches, requests, largest = moved(tmp_path, ours(), "GDS", 8 * MIB, 3)
    assert (requests, largest) == (2 * 3 * 8, MIB)
    assert batches == 256  # 32 GiB in batches of 128 requests


def test_our_usual_request_and_pool_are_the_plugins(tmp_path: Path) -> None:
    _, batches, requests, largest = moved(tmp_path, "[GDS]", "GDS", 24 * MIB, 1)
    assert (requests, largest) == (2 * 2, 16 * MIB)
    assert batches == 16


def test_a_transfer_beyond_the_pool_fails(tmp_path: Path) -> None:
    small = ours().replace('batch_pool_size = "256"', 'batch_pool_size = "1"\nbatch_limit = "4"')
    with pytest.raises(AssertionError, match="GDS batch pool exhausted"):  # why the pool grows
        moved(tmp_path, small, "GDS", 8 * MIB, 1)
