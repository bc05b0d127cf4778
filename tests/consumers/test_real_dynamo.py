"""Dynamo's KV block manager: whether its library names the variables that we export, since it needs a GPU to start."""

from __future__ import annotations

from aio_tuned.consumers import dynamo
from aio_tuned.consumers.export import ExportOptions
from consumers.packages import package_python
from consumers.scripts import answer
from unit.support.consumer_settings import drive

# Its package cannot be imported without NIXL's libraries, so the file is found and read.
SCRIPT = """
import importlib.metadata, json, sys

(file,) = [path.locate() for path in importlib.metadata.files("kvbm") if path.name == "_core.abi3.so"]
print(json.dumps({name: name.encode() in file.read_bytes() for name in sys.argv[1:]}))
"""


def test_the_library_names_our_variables() -> None:
    python = package_python("dynamo")
    names = [str(name) for (name,) in dynamo.export(drive(), "/data", ExportOptions()).values]
    others = ["DYN_KVBM_MAX_TRANSFER_BATCH_SIZE", "DYN_KVBM_DISK_CACHE_DIR", "DYN_KVBM_DISK_DISABLE_O_DIRECT"]
    wrong = "DYN_KVBM_MAX_CONCURRENT_READS"
    assert answer(python, SCRIPT, *names, *others, wrong) == dict.fromkeys((*names, *others), True) | {wrong: False}
