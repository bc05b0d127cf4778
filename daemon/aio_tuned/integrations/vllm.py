"""The entry point of vllm.general_plugins: threads for the "fs" tier, if AIO_TUNED_VLLM=1 (vllm_tier.py).

vLLM calls register() in each of its processes, outside of any try, possibly twice, and whether it is wanted or not. So
this module imports nothing that is not loaded anyway, and nothing is raised.
"""

from __future__ import annotations

import os


def register() -> None:
    """Fill what the "fs" tier's configuration leaves out from now on; do nothing without the variable."""
    if os.environ.get("AIO_TUNED_VLLM") != "1":
        return
    try:
        from aio_tuned.integrations import vllm_tier

        vllm_tier.install()
    except Exception as error:  # noqa: BLE001 - vLLM would not start
        import logging

        logging.getLogger("vllm.aio_tuned").warning(
            "aio-tuned: tiers are left as they are: %s: %s", type(error).__name__, error
        )
