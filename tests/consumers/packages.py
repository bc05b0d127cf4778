"""The consumers' own packages, each in a virtual environment of its own: large ones, which do not agree.

python tests/consumers/packages.py [NAME...]    installs them (all by default) under build/consumers
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# What is proven against which release.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "deepspeed": ("torch==2.13.0", "deepspeed==0.19.*", "ninja", "setuptools", "wheel"),
    "flexllmgen": (  # beside its DeepSpeed, releases of that one's time where a later one is refused
        *("torch==2.13.0", "numpy<2", "hjson", "packaging", "psutil", "py-cpuinfo", "pydantic<2", "tqdm", "ninja"),
        *("setuptools<81", "wheel", "attrs", "pulp", "transformers==5.*"),
    ),
    "nixl": ("torch==2.13.0", "numpy"),
    "tensornvme": ("torch==2.13.0", "numpy", "click", "packaging", "setuptools", "wheel"),
    "sglang": (
        *("torch==2.13.0", "triton==3.*", "transformers==5.*", "numpy", "aiohttp", "ipython", "msgspec", "orjson"),
        *("pillow", "psutil", "pybase64", "pydantic", "pyzmq", "requests", "starlette"),
    ),
    "vllm": (
        *("torch==2.13.0", "transformers==5.*", "openai==3.*", "openai-harmony==0.0.8", "xgrammar==0.2.*", "numpy"),
        *("aiohttp", "cachetools", "cbor2", "cloudpickle", "fastapi", "llguidance", "msgspec", "partial-json-parser"),
        *("pillow", "prometheus_client", "psutil", "py-cpuinfo", "pybase64", "pydantic", "pyzmq", "regex", "requests"),
        "uvloop",
    ),
    "lmcache": (
        *("torch==2.13.0", "transformers==5.*", "numpy", "aiofile", "aiohttp", "cachetools", "cryptography", "msgspec"),
        *("numba", "prometheus_client", "psutil", "py-cpuinfo", "pyyaml", "pyzmq", "requests", "sortedcontainers"),
        "lmcache-rust-raw-block-io==0.5.7rc2",  # has no release yet
    ),
    "kvikio": ("numpy>=2,<3", "packaging", "cuda-pathfinder", "rapids-logger==0.3.*", "nvidia-cufile-cu12"),
    "cufile": ("nvidia-cufile==1.20.*",),
    "runai": ("torch==2.13.0", "runai-model-streamer==0.17.*", "safetensors", "numpy", "packaging"),
    "instanttensor": ("torch==2.13.0", "instanttensor==0.2.*", "safetensors", "numpy"),
    "fastsafetensors": ("torch==2.13.0", "fastsafetensors==0.5.*", "safetensors", "numpy", "packaging"),
    "dynamo": ("pydantic>=2",),
    "mooncake": ("mooncake-transfer-engine-non-cuda==0.3.13.*",),
}
# These ask for a GPU's software, gigabytes of it, that nothing here touches: they come without what they ask for.
ALONE: dict[str, tuple[str, ...]] = {
    "flexllmgen": ("--no-build-isolation", "deepspeed==0.7.7", "flexgen==0.1.8"),
    "nixl": ("nixl==1.5.1", "nixl-cu12==1.5.1"),
    "sglang": ("sglang==0.5.23", "nixl==1.5.1", "nixl-cu12==1.5.1"),
    "vllm": ("vllm==0.33.0",),
    "dynamo": ("kvbm==1.6.1",),
    "lmcache": ("lmcache==0.5.6",),
    "kvikio": ("kvikio-cu12==26.10.*", "libkvikio-cu12==26.10.*"),
    "tensornvme": ("--no-build-isolation", "tensornvme==0.1.0"),  # is built with the torch that is there
}
# Without these it fetches liburing's sources, and changes ~/.bashrc.
ENVIRONMENT = {"tensornvme": {"DISABLE_URING": "1", "WITH_ROOT": "1"}}


def folder() -> Path:
    """Where the environments are."""
    return Path(os.environ.get("AIO_TUNED_CONSUMERS") or PROJECT / "build/consumers")


def _wanted(name: str) -> str:
    return "\n".join((*REQUIREMENTS[name], *ALONE.get(name, ())))


def _is_installed(name: str) -> bool:
    """Whether the environment was finished, and for what is wanted now."""
    stamp = folder() / name / "installed"
    return stamp.exists() and stamp.read_text() == _wanted(name)


def install(name: str) -> None:
    """Make the environment of that consumer if it is not there. CalledProcessError if its packages cannot be had."""
    if _is_installed(name):
        return
    venv = folder() / name
    print(f"installing {name} into {venv}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS[name]], check=True)
    if name in ALONE:
        environment = os.environ | ENVIRONMENT.get(name, {})
        subprocess.run([*pip, "--no-deps", *ALONE[name]], check=True, env=environment)
    (venv / "installed").write_text(_wanted(name))


def package_python(name: str) -> Path:
    """The interpreter that has the packages of that consumer; the test is skipped if it is not there."""
    import pytest

    if not _is_installed(name):
        pytest.skip(f"{name} is not installed: python tests/consumers/packages.py {name}")
    return folder() / name / "bin/python"


if __name__ == "__main__":
    for wanted in sys.argv[1:] or REQUIREMENTS:
        install(wanted)
