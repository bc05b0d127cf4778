"""cuFile with the file that we export, without a GPU: it starts, and tells what it took from the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import cufile
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.merge.apply import merge
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer
from consumers.stubs import library
from unit.support.consumer_settings import drive, settings
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.reader import DriveSettings

# cuFile never ends reading /proc/modules where a kernel has none.
NO_MODULES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
FILE *fopen64(const char *path, const char *mode)
{
    FILE *(*next)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen64");
    return next(strcmp(path, "/proc/modules") ? path : "/dev/null", mode);
}
"""
SCRIPT = """
import ctypes, glob, json, sys

class Error(ctypes.Structure):
    _fields_ = [("error", ctypes.c_int), ("cuda", ctypes.c_int)]

ctypes.CDLL("librt.so.1", ctypes.RTLD_GLOBAL)
(file,) = glob.glob(sys.prefix + "/lib/python3*/site-packages/nvidia/cu13/lib/libcufile.so.0")
library = ctypes.CDLL(file)
for function in ("DriverOpen", "GetParameterSizeT", "GetParameterMinMaxValue", "GetParameterBool"):
    getattr(library, "cuFile" + function).restype = Error
said = {"error": library.cuFileDriverOpen().error}
# By their places in cufile.h: CUFileSizeTConfigParameter_t.
for name, place in {"max_io_threads": 2, "max_request_parallelism": 4, "max_direct_io_size_kb": 5,
                    "per_buffer_cache_size_kb": 7}.items():
    value, least, most = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_size_t()
    assert library.cuFileGetParameterSizeT(place, ctypes.byref(value)).error == 0
    assert library.cuFileGetParameterMinMaxValue(place, ctypes.byref(least), ctypes.byref(most)).error == 0
    said[name] = [value.value, least.value, most.value]
parallel = ctypes.c_bool()
assert library.cuFileGetParameterBool(4, ctypes.byref(parallel)).error == 0
said["parallel_io"] = parallel.value
print(json.dumps(said))
"""
INSTALLED = """{
    // what a person changed
    "logging": { "level": "ERROR" },
    "execution": { "max_io_threads": 2, "parallel_io": false },
    "properties": {
        "per_buffer_cache_size_kb": 16384, // larger than a request will be
        "allow_compat_mode": true
    }
}
"""


def said_by_cufile(text: str, tmp_path: Path) -> dict[str, Any]:
    python = package_python("cufile")
    file = tmp_path / "cufile.json"
    file.write_text(text)
    shim = library(NO_MODULES, tmp_path / "no_modules.so")
    where = {"CUFILE_ENV_PATH_JSON": str(file), "CUFILE_LOGFILE_PATH": str(tmp_path / "cufile.log")}
    said: dict[str, Any] = answer(python, SCRIPT, LD_PRELOAD=str(shim), **where)
    return said


def text_for(given: DriveSettings) -> str:
    return merge(cufile.export(given, "/data", ExportOptions()), INSTALLED, "cufile.json")


def test_cufile_starts_with_our_values_in_a_file_with_comments(tmp_path: Path) -> None:
    said = said_by_cufile(text_for(drive(curves=(curve("psync", "read", {512 << 10: 7}),))), tmp_path)
    assert said["error"] == 0
    assert said["max_direct_io_size_kb"][0] == 512
    assert said["per_buffer_cache_size_kb"][0] == 512
    assert said["max_io_threads"][0] == 7
    assert said["max_request_parallelism"][0] == 7
    assert said["parallel_io"]


def test_our_usual_size_is_the_librarys(tmp_path: Path) -> None:
    assert said_by_cufile("{}", tmp_path)["max_direct_io_size_kb"][0] == 16384


def test_our_limits_are_the_librarys(tmp_path: Path) -> None:
    said = said_by_cufile(render(cufile.export(drive(), "/data", ExportOptions())), tmp_path)
    assert said["max_direct_io_size_kb"][1:] == [64, 16384]
    assert said["per_buffer_cache_size_kb"][1:] == [64, 16384]
    assert said["max_io_threads"][2] == 128
    assert said["max_request_parallelism"][2] == 8


@pytest.mark.parametrize(("block", "threads"), [(4096, 1), (64 << 20, 4096)])
def test_cufile_starts_at_either_end_of_our_settings(block: int, threads: int, tmp_path: Path) -> None:
    given = drive(combined=settings(block_size=block, saturating_concurrency=threads))
    said = said_by_cufile(text_for(given), tmp_path)
    assert said["error"] == 0


def test_cufile_does_not_start_beyond_its_limits(tmp_path: Path) -> None:
    ours = text_for(drive(combined=settings(block_size=512 << 10)))
    assert '"max_direct_io_size_kb": 512' in ours
    beyond = ours.replace('"max_direct_io_size_kb": 512', '"max_direct_io_size_kb": 524288')  # bytes for KiB
    assert said_by_cufile(beyond, tmp_path)["error"] != 0
