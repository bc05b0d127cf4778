"""What a command gets, for which consumers, and what the caller has set already."""

from __future__ import annotations

from pathlib import Path

import pytest

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.launch import additions
from aio_tuned.launch.consumer_files import OWN_VARIABLES
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

FOLDER = Path("/data/models")
NOWHERE = Path("/nonexistent/cufile.json")
MEASURED = drive(curves=(curve("psync", "read", {1 << 20: 7}), curve("psync", "write", {1 << 20: 3})))


def made(
    environment: dict[str, str] | None = None, named: tuple[str, ...] = (), path: Path = FOLDER
) -> additions.Additions:
    return additions.make(MEASURED, path, environment or {}, named, cufile_json=NOWHERE)


def test_by_default_every_consumer_with_an_environment_or_a_variable_gets_its_settings() -> None:
    found = made()
    environments = {
        name: export
        for name in consumers.NAMES
        if (export := consumers.export_for(name, MEASURED, str(FOLDER), ExportOptions())).format == "env"
    }
    assert {"env", "kvikio", "mooncake", "runai"} <= set(environments)
    for name, export in environments.items():
        wanted = {str(keys[0]) for keys, value in export.values.items() if value != str(FOLDER)}
        assert wanted <= set(found.variables), name
    assert {file.variable for file in found.files} == set(OWN_VARIABLES.values())
    assert found.variables["KVIKIO_NTHREADS"] == "7"
    assert found.variables["AIO_TUNED_READ_OVERLAP_EVENTS"] == "true"
    assert found.variables["AIO_TUNED_VLLM"] == "1"
    assert (found.kept, found.failed) == ([], [])


def test_a_command_for_named_consumers_gets_theirs_and_those_for_all() -> None:
    found = made(named=("kvikio",))
    assert {name.partition("_")[0] for name in found.variables} == {"AIO", "KVIKIO"}
    assert "AIO_TUNED_VLLM" not in found.variables
    assert found.files == []


def test_a_folder_for_data_is_set_only_for_a_consumer_that_is_named() -> None:
    assert "MOONCAKE_OFFLOAD_FILE_STORAGE_PATH" not in made().variables
    assert "MOONCAKE_OFFLOAD_USE_URING" in made().variables
    assert made(named=("mooncake",)).variables["MOONCAKE_OFFLOAD_FILE_STORAGE_PATH"] == str(FOLDER)


@pytest.mark.parametrize("value", ["99", ""])
def test_a_variable_that_the_caller_has_set_stays(value: str) -> None:
    found = made({"KVIKIO_NTHREADS": value, "CUFILE_ENV_PATH_JSON": value, "AIO_TUNED_VLLM": value})
    assert {"KVIKIO_NTHREADS", "AIO_TUNED_VLLM"}.isdisjoint(found.variables)
    assert "KVIKIO_TASK_SIZE" in found.variables
    assert sorted(found.kept) == ["AIO_TUNED_VLLM", "CUFILE_ENV_PATH_JSON", "KVIKIO_NTHREADS"]
    assert "CUFILE_ENV_PATH_JSON" not in {file.variable for file in found.files}


@pytest.mark.parametrize("name", [name for name in consumers.NAMES if name not in OWN_VARIABLES])
def test_every_consumer_that_is_named_gets_something(name: str) -> None:
    found = made(named=(name,))
    assert found.failed == []
    if name == "vllm":
        assert found.variables["AIO_TUNED_VLLM"] == "1"
    else:
        assert len(found.variables) > len(made(named=("env",)).variables) or name == "env" or found.files
    assert {file.variable for file in found.files} <= {f"AIO_TUNED_{name.upper()}_FILE"}


def test_a_device_is_no_place_for_a_cache_of_files() -> None:
    device = Path("/dev/nvme0n1")
    found = made(path=device)
    assert "LMCACHE_CONFIG_FILE" not in {file.variable for file in found.files}
    assert "KVIKIO_NTHREADS" in found.variables
    assert found.failed == []
    (reason,) = made(named=("lmcache",), path=device).failed
    assert reason.startswith("lmcache: /dev/nvme0n1: not usable for LMCache's disk")
