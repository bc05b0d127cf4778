"""Measures NVMe drives through Linux AIO and publishes the best settings of each."""

__version__ = "0.2.0"
