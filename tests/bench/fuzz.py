#!/usr/bin/env python3
"""Search for inputs that break a parser's promises, guided by the code that each input reaches.

    fuzz.py [--minutes 30] [--inputs 1000000] [NAME...]

NAME is one of the helper's targets (native/tests/fuzz: lines, options, request), which libFuzzer drives under
AddressSanitizer and UndefinedBehaviorSanitizer for --minutes together, or one of Python's
(tests/unit/support/parser_targets.py), which atheris gives --inputs together; without one all are run, as many at a
time as there are processors. YAML gets a tenth of another's share: ruamel.yaml takes milliseconds for a text. An input
that breaks a promise is kept in build/fuzz and named. Needs clang with its libFuzzer (apt-get install clang
libclang-rt-14-dev) and atheris (.venv/bin/pip install atheris).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
PROJECT = TESTS.parent
BUILD = PROJECT / "build/fuzz"
sys.path.insert(0, str(TESTS))

NATIVE = ("lines", "options", "request")
PYTHON = ("config", "env", "json", "mountinfo", "override", "profile", "yaml")
SLOW = {"yaml": 0.1}


class Found(NamedTuple):
    """What a target's run has shown: inputs tried, seconds, edges of the code reached, and the log of a failure."""

    name: str
    inputs: int
    seconds: float
    edges: int
    failure: str


def build_native() -> None:
    """Build the helper's targets for libFuzzer."""
    compiler = next(filter(None, map(shutil.which, ("clang", "clang-14"))), None)
    if compiler is None:
        raise SystemExit("fuzz.py: there is no clang: apt-get install clang libclang-rt-14-dev")
    options = [f"-DCMAKE_C_COMPILER={compiler}", "-DAIO_SWEEP_SANITIZE=ON", "-DAIO_SWEEP_FUZZ=ON"]
    where = BUILD / "native"
    for words in (["cmake", "-S", "native", "-B", str(where), *options], ["cmake", "--build", str(where), "-j2"]):
        done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"fuzz.py: {' '.join(words)}:\n{done.stdout}{done.stderr}")


def run(name: str, words: list[str | Path]) -> Found:
    """Run a fuzzer until its end, and read its last figures."""
    corpus = BUILD / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    log = BUILD / f"{name}.log"
    start = time.monotonic()
    with log.open("w") as file:
        code = subprocess.run([*words, f"-artifact_prefix={BUILD / name}-"], stdout=file, stderr=file, check=False)
    seconds, text = time.monotonic() - start, log.read_text(errors="replace")
    counts = re.findall(r"^#(\d+)\s.*?cov: (\d+)", text, re.MULTILINE)
    tried, edges = (int(counts[-1][0]), int(counts[-1][1])) if counts else (0, 0)
    if done := re.search(r"^Done (\d+) runs", text, re.MULTILINE):
        tried = int(done[1])
    return Found(name, tried, seconds, edges, "" if code.returncode == 0 else str(log))


def fuzz_native(name: str, seconds: int) -> Found:
    """Drive one of the helper's targets for some seconds."""
    seeds = PROJECT / "native/tests/fuzz/corpus" / name
    program = BUILD / "native/tests" / f"fuzz_{name}"
    return run(name, [program, f"-max_total_time={seconds}", "-max_len=4096", BUILD / "corpus" / name, seeds])


def fuzz_python(name: str, inputs: int) -> Found:
    """Drive one of Python's targets with so many inputs, in a process of its own: atheris ends the one it is in."""
    corpus, words = BUILD / "corpus" / name, BUILD / f"{name}.words"
    return run(
        name,
        [sys.executable, __file__, "--atheris", name, f"-runs={inputs}", "-max_len=4096", f"-dict={words}", corpus],
    )


def inside_atheris(name: str, arguments: list[str]) -> None:
    """Let atheris instrument the parsers, those of the standard library and of ruamel.yaml with them, and drive one."""
    try:
        import atheris
    except ImportError:
        raise SystemExit("fuzz.py: there is no atheris: .venv/bin/pip install atheris") from None
    from unit.support.parser_targets import TARGETS

    atheris.instrument_all()
    target = TARGETS[name]
    corpus = BUILD / "corpus" / name
    for place, seed in enumerate(target.seeds):
        (corpus / f"seed-{place}").write_bytes(seed)
    quoted = ("".join(f"\\x{byte:02x}" for byte in word[:64]) for word in target.words)
    (BUILD / f"{name}.words").write_text("".join(f'"{word}"\n' for word in quoted))
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *NATIVE, *PYTHON])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    names = arguments.names or [*NATIVE, *PYTHON]
    native, python = ([name for name in kind if name in names] for kind in (NATIVE, PYTHON))
    if native:
        build_native()
    shares = {name: SLOW.get(name, 1.0) for name in python}
    jobs = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs += [pool.submit(fuzz_native, name, int(arguments.minutes * 60 / len(native))) for name in native]
        for name, share in shares.items():
            jobs.append(pool.submit(fuzz_python, name, int(arguments.inputs * share / sum(shares.values()))))
        print("| target | inputs | s | edges reached | |\n|---|---|---|---|---|", flush=True)
        for job in jobs:
            found = job.result()
            failure = f"broken: {found.failure}" if found.failure else "all promises held"
            print(f"| {found.name} | {found.inputs:,} | {found.seconds:.0f} | {found.edges} | {failure} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--atheris"]:
        inside_atheris(sys.argv[2], sys.argv[3:])
    else:
        main()
