"""The parsers of `aio-tuned fleet`; what a command needs is loaded when it runs."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import JSON_HELP, Parser, not_empty, path
from aio_tuned.config.parsing import SETTING_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASS = "key of a hardware class as in fleet status, or its first digits"
_SECTIONS = {"read": "reads", "write": "writes", "combined": "both"}


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command with its own commands to the parser of the whole command line."""
    fleet = commands.add_parser(
        "fleet",
        help="share the measurements of many nodes",
        description="Run the programs of a fleet, whose nodes share the measurements of equal drives, or show and"
        " change what the nodes get. docs/how-to/fleet.md describes how to set up a fleet.",
    )
    added = fleet.add_subparsers(dest="fleet_command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_programs(added)
    _add_views(added)
    _add_pins(added)
    _add_bundles(added)


def _later(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """Return a function that loads a module of this package and calls one of its functions."""

    def run(arguments: argparse.Namespace) -> int:
        found: int = getattr(importlib.import_module(f"aio_tuned.cli.fleet.{module}"), function)(arguments)
        return found

    return run


def _add_programs(added: Any) -> None:  # noqa: ANN401 - as above
    agent = added.add_parser(
        "agent",
        help="connect this node to the fleet, until SIGTERM",
        description="Send the reports of the daemon on this node to the fleet, and give the daemon what the fleet"
        " orders. systemd runs this as aio-tuned-fleet.service, with the password and the key of the node.",
    )
    agent.set_defaults(run=_later("programs", "agent"))
    coordinator = added.add_parser(
        "coordinator",
        help="compute the settings of each class of hardware, until SIGTERM",
        description="Compute the settings of each class of hardware from the reports of the nodes, and roll them out."
        " Of several coordinators one leads. systemd runs this as aio-tuned-fleet-coordinator.service.",
    )
    coordinator.set_defaults(run=_later("programs", "coordinator"))


def _add_login(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--user", type=not_empty, metavar="NAME", help="user of etcd (default: the login name of the caller)"
    )
    command.add_argument(
        "--password-file",
        type=path,
        metavar="FILE",
        help="file with the password (default: the credential of the unit, or a prompt)",
    )


def _add_views(added: Any) -> None:  # noqa: ANN401 - as above
    status = added.add_parser(
        "status",
        help="show the classes of hardware, and the drives that need a look",
        description="Show each class of hardware: its generation, how far that is, how many drives confirm it, and the"
        " drives that are odd, stale or not trusted, with the reason.",
    )
    status.add_argument("--class", dest="hardware_class", type=not_empty, metavar="CLASS", help=_CLASS)
    status.add_argument("--json", action="store_true", help=JSON_HELP)
    _add_login(status)
    status.set_defaults(run=_later("views", "status"))

    explain = added.add_parser(
        "explain",
        help="explain what the drives of a node report and get",
        description="Explain the drives of a node: what they report, which class and generation they have, what they"
        " do next and why, and how they differ from their class.",
    )
    explain.add_argument("node", type=not_empty, metavar="NODE", help="name of a node")
    explain.add_argument("--json", action="store_true", help=JSON_HELP)
    _add_login(explain)
    explain.set_defaults(run=_later("views", "explain"))


def _add_pins(added: Any) -> None:  # noqa: ANN401 - as above
    pin = added.add_parser(
        "pin",
        help="give a class of hardware settings of your own",
        description="Give the drives of a class settings in place of those that the sweeps gave. Nodes check them"
        " before they take them, as any generation. Parameters that are left out keep their present values.",
    )
    pin.add_argument("hardware_class", type=not_empty, metavar="CLASS", help=_CLASS)
    for section, what in _SECTIONS.items():
        pin.add_argument(
            f"--{section}", type=_setting, metavar="SETTING", help=f"setting of {what}, as block_size=1M,queue_depth=8"
        )
    pin.add_argument("--why", type=not_empty, required=True, metavar="TEXT", help="reason, which status shows")
    _add_login(pin)
    pin.set_defaults(run=_later("pins", "pin"))

    unpin = added.add_parser(
        "unpin",
        help="give a class of hardware the settings of its sweeps again",
        description="Remove the settings of `fleet pin` or `fleet rollback`. The class gets those of its sweeps, as a"
        " new generation.",
    )
    unpin.add_argument("hardware_class", type=not_empty, metavar="CLASS", help=_CLASS)
    _add_login(unpin)
    unpin.set_defaults(run=_later("pins", "unpin"))

    rollback = added.add_parser(
        "rollback",
        help="give a class of hardware the settings of the generation before",
        description="Pin the drives of a class to the settings of the last generation with other settings, until"
        " `fleet unpin`.",
    )
    rollback.add_argument("hardware_class", type=not_empty, metavar="CLASS", help=_CLASS)
    rollback.add_argument("--why", type=not_empty, metavar="TEXT", help="reason, which status shows")
    _add_login(rollback)
    rollback.set_defaults(run=_later("pins", "rollback"))


def _add_bundles(added: Any) -> None:  # noqa: ANN401 - as above
    export = added.add_parser(
        "export",
        help="write the signed settings of classes to a file",
        description="Write the signed settings of the named classes, or of all, to FILE, for nodes without a fleet.",
    )
    export.add_argument("file", type=not_empty, metavar="FILE", help="file to write; - for standard output")
    export.add_argument("hardware_class", type=not_empty, nargs="*", metavar="CLASS", help=f"{_CLASS} (default: all)")
    _add_login(export)
    export.set_defaults(run=_later("bundles", "export"))

    import_ = added.add_parser(
        "import",
        help="take the signed settings of classes from a file",
        description="Check the signatures of a file of `fleet export` by [fleet] trusted_keys, and put it into the"
        " folder models.d beside the configuration. New drives of its classes get its settings at once, as"
        " provisional ones. This needs no network.",
    )
    import_.add_argument("file", type=path, metavar="FILE", help="file of fleet export")
    import_.set_defaults(run=_later("bundles", "import_"))

    keygen = added.add_parser(
        "keygen",
        help="make the key of a node or a coordinator",
        description="Write a new private key to FILE, which only its owner may read, and print the public key, for"
        " trusted_keys or the file of node_keys.",
    )
    keygen.add_argument("file", type=path, metavar="FILE", help="file to create; it must not exist")
    keygen.set_defaults(run=_later("bundles", "keygen"))


def _setting(text: str) -> dict[str, object]:
    """Return the parameters of a setting, such as "block_size=1M,queue_depth=8"; one at least."""
    words: dict[str, object] = {"true": True, "false": False}
    found: dict[str, object] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or key not in SETTING_KEYS or key in found:
            raise argparse.ArgumentTypeError(
                f"{part!r} is not KEY=VALUE with KEY one of {', '.join(SETTING_KEYS)}, each once"
            )
        try:
            found[key] = SETTING_KEYS[key](words.get(value, int(value) if value.isdecimal() else value))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{key}: {error}") from None
    return found
