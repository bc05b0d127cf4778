"""DeepSpeed's section "aio", filled in the process with the settings of the drive that its nvme_path is on.

    from aio_tuned.integrations import deepspeed
    deepspeed.install()                     # before deepspeed.initialize(); or: with deepspeed.install():

    python -m aio_tuned.integrations.deepspeed script.py ARGUMENTS

Only keys that the configuration leaves out are set, in the copy that DeepSpeed parses. Nothing is changed if neither
parameters nor optimizer states are offloaded to a drive, or if that drive has no profile. An error never stops
DeepSpeed: it uses its own values, and one warning says why.

The hook is around get_aio_config() of deepspeed/runtime/swap_tensor/aio_config.py, which gets the whole configuration
from each engine and from zero.Init(). Checked with 0.19.8, and with 0.7.7, the release that FlexLLMGen has.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import runpy
import sys
from contextlib import AbstractContextManager
from types import FunctionType
from typing import TYPE_CHECKING, Any

from aio_tuned import reader
from aio_tuned.consumers.export import ExportOptions, capped
from aio_tuned.errors import AioTunedError, Exit
from aio_tuned.integrations import once
from aio_tuned.integrations.after_import import AfterImport
from aio_tuned.integrations.deepspeed_section import filled
from aio_tuned.integrations.drive_of_folder import drive_of_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_HOOKED = "deepspeed.runtime.swap_tensor.aio_config"
# It has the function under a name of its own.
_CALLER = "deepspeed.runtime.config"
_FUNCTION = "get_aio_config"

_log = logging.getLogger(__name__)


def install(*, max_block_size: int | None = None) -> Installed:
    """Fill DeepSpeed's section "aio" from now on; as a context, until its end.

    DeepSpeed does not swap tensors smaller than block_size: `max_block_size` limits ours. The last one of
    nested calls sets the limit. Raise UsageError for a limit below 4096 bytes.
    """
    options = ExportOptions(max_block_size=max_block_size)
    capped(reader.defaults("combined", ""), options)
    return Installed(options)


class Installed(AbstractContextManager["Installed"]):
    """One call of install(), which leaving the context takes back."""

    def __init__(self, options: ExportOptions) -> None:
        self.options = options
        _HOOK.add(self)

    def __exit__(self, *_: object) -> None:
        _HOOK.remove(self)


class _Hook:
    """The hook in DeepSpeed, which is present while any call of install() is in force."""

    def __init__(self) -> None:
        self._users: list[Installed] = []
        self._waiting: AfterImport | None = None
        self._replaced: list[tuple[ModuleType, FunctionType]] = []

    def add(self, user: Installed) -> None:
        self._users.append(user)
        if self._waiting is None:
            self._waiting = AfterImport(_HOOKED, self._wrap)

    def remove(self, user: Installed) -> None:
        if user in self._users:
            self._users.remove(user)
        if not self._users and self._waiting is not None:
            self._waiting.remove()
            self._waiting = None
            while self._replaced:
                module, original = self._replaced.pop()
                setattr(module, _FUNCTION, original)

    def _wrap(self, module: ModuleType) -> None:
        found = getattr(module, _FUNCTION, None)
        if not isinstance(found, FunctionType):
            once.warn(
                __name__, f"{_HOOKED}: has no {_FUNCTION}() in this release; use aio-tuned export deepspeed --merge"
            )
            return
        original: FunctionType = found

        @functools.wraps(original)
        def get_aio_config(param_dict: Any, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - DeepSpeed's own
            return original(self._fill(param_dict), *arguments, **keywords)

        for each in (module, sys.modules.get(_CALLER)):
            if each is not None and getattr(each, _FUNCTION, None) is found:
                setattr(each, _FUNCTION, get_aio_config)
                self._replaced.append((each, original))

    def _fill(self, configuration: Any) -> Any:  # noqa: ANN401 - DeepSpeed's own
        """Return the configuration with our values; the same one, and a warning, if that fails."""
        if not self._users:  # other modules may have kept the function
            return configuration
        try:
            release = getattr(sys.modules.get("deepspeed"), "__version__", None)
            options = ExportOptions(for_version=release, max_block_size=self._users[-1].options.max_block_size)
            made = filled(configuration, options, drive_of_folder)
        except AioTunedError as error:
            once.warn(__name__, f"DeepSpeed's aio: left as it is: {error}")
            return configuration
        except Exception as error:  # noqa: BLE001 - DeepSpeed reports what is wrong with its configuration itself
            once.warn(__name__, f"DeepSpeed's aio: left as it is: {type(error).__name__}: {error}")
            return configuration
        if made.remark:
            once.warn(__name__, made.remark)
        if made.values:
            _log.info("DeepSpeed's aio: set %s", ", ".join(f"{key}={value}" for key, value in made.values.items()))
        return made.configuration


_HOOK = _Hook()


def main(words: Sequence[str]) -> int:
    """Run a script as Python does, with the hook.

    DeepSpeed's launcher puts its --local_rank before the script, and expects it among the script's arguments.
    """
    place = next((index for index, word in enumerate(words) if not word.startswith("-")), None)
    if place is None:
        print("usage: python -m aio_tuned.integrations.deepspeed SCRIPT [ARGUMENT...]", file=sys.stderr)
        return Exit.USAGE
    script = words[place]
    if not os.path.exists(script):  # noqa: PTH110 - as Python's own message has it
        print(f"{script}: no such file; give the path of a script", file=sys.stderr)
        return Exit.TARGET
    sys.argv = [script, *words[:place], *words[place + 1 :]]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(script))  # noqa: PTH120
    install()
    runpy.run_path(script, run_name="__main__")
    return Exit.OK


if __name__ == "__main__":
    # By the module's own name, so that a script's own install() finds this hook.
    sys.exit(importlib.import_module("aio_tuned.integrations.deepspeed").main(sys.argv[1:]))
