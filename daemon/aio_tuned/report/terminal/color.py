"""The choice of colors, which rich reads from the environment."""

from __future__ import annotations

import os
from typing import Literal

CHOICES = ("auto", "always", "never")


def choose(choice: str) -> None:
    """Let the consoles of this process use colors always, never or, by "auto", as rich decides.

    Rich takes a terminal without NO_COLOR, or FORCE_COLOR without a terminal.
    """
    if choice == "always":
        os.environ["FORCE_COLOR"] = "1"
        os.environ.pop("NO_COLOR", None)
        if os.environ.get("TERM", "dumb") == "dumb":
            os.environ["TERM"] = "xterm-256color"
    elif choice == "never":
        os.environ["NO_COLOR"] = "1"
        os.environ.pop("FORCE_COLOR", None)


def system() -> Literal["auto"] | None:
    """Return the color system for rich's Console: None where NO_COLOR is set, so that bold text has no escape codes."""
    return None if os.environ.get("NO_COLOR") else "auto"
