"""docs/man is complete, and has nothing that does not exist: held against the parsers, the schema and the protocol."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.cli import main
from aio_tuned.config.device_rules import PATTERN_KEYS
from aio_tuned.config.export_rules import RULE_KEYS
from aio_tuned.config.load import GRID_KEYS, Config, _sections, parse_config
from aio_tuned.errors import Exit
from aio_tuned.profiles import override
from repo.manual import FOLDER, items, page, sections, subsections
from unit.support.builders import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

TUNED, CONF, PROFILE, SWEEP = (
    page(name) for name in ("aio-tuned.1", "aio-tuned.conf.5", "aio-tuned-profile.5", "aio-sweep.1")
)
SCHEMA = json.loads((PROJECT / "docs/profile.schema.json").read_text(encoding="utf-8"))
PROTOCOL = (PROJECT / "native/PROTOCOL.md").read_text(encoding="utf-8")
TOP = main.parser()


def commands(parser: argparse.ArgumentParser, prefix: str = "") -> dict[str, argparse.ArgumentParser]:
    """The parsers that take arguments by their names: a command with commands of its own stands for these."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= commands(each, f"{prefix}{name} ") or {f"{prefix}{name}": each}
    return found


COMMANDS = commands(TOP)
PAGES = sorted(path.name for path in FOLDER.iterdir())


# --- every page ------------------------------------------------------------------------------------------


def test_there_is_a_page_for_each_command_and_each_file() -> None:
    assert PAGES == ["aio-sweep.1", "aio-tuned-profile.5", "aio-tuned.1", "aio-tuned.conf.5"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_itself_and_where_to_go_on(name: str) -> None:
    text = page(name)
    stem, _, section = name.rpartition(".")
    assert f"\n.Dt {stem.upper()} {section}\n" in text
    assert sections(text)["NAME"].startswith(f".Nm {stem}\n.Nd ")
    others = {"aio-tuned.1"} if name != "aio-tuned.1" else {other for other in PAGES if other != name}
    seen = re.findall(r"^\.Xr (\S+) (\d)", sections(text)["SEE ALSO"], flags=re.MULTILINE)
    assert others <= {f"{other}.{part}" for other, part in seen}
    assert seen == sorted(seen, key=lambda each: (each[1], each[0]))


# --- aio-tuned(1) ----------------------------------------------------------------------------------------


def values_of(action: argparse.Action) -> list[str]:
    """What stands for the argument in the help, a word each."""
    if action.nargs == 0:
        return []
    metavar = action.metavar or (" | ".join(map(str, action.choices or ())) or action.dest)
    return [metavar] if isinstance(metavar, str) else list(metavar)


def option_item(action: argparse.Action) -> str:
    """The head of an option's item, as mdoc has it."""
    flags = " , ".join(flag[1:] for flag in action.option_strings)
    return " ".join([flags, *(f"Ar {value}" for value in values_of(action))])


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if not isinstance(action, argparse._SubParsersAction))


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in actions(parser) if action.option_strings]


def operands(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in actions(parser) if not action.option_strings]


def is_help(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction)


def documented() -> dict[str, str]:
    return subsections(sections(TUNED)["COMMANDS"])


def test_every_command_is_described_and_no_other() -> None:
    assert sorted(documented()) == sorted(COMMANDS)


def test_the_general_options_are_described_and_no_other() -> None:
    described = items(sections(TUNED)["DESCRIPTION"], "Fl")
    assert sorted(described) == sorted(option_item(action) for action in options(TOP))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_is_described_and_no_other(command: str) -> None:
    text, parser = documented()[command], COMMANDS[command]
    wanted = [option_item(action) for action in options(parser) if not is_help(action)]
    assert sorted(items(text, "Fl")) == sorted(wanted)
    assert items(text, "Ar") == [value for action in operands(parser) for value in values_of(action)]


def synopsis_of(command: str) -> str:
    """All macros of the command's line of the synopsis, as one line."""
    lines = re.split(r"^\.Nm aio-tuned\n", sections(TUNED)["SYNOPSIS"], flags=re.MULTILINE)
    found = [" ".join(line.split()) for line in lines if line.startswith(f".Ic {command}\n")]
    assert len(found) == 1, command
    return found[0]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_synopsis_has_every_argument_and_no_other(command: str) -> None:
    parser = COMMANDS[command]
    wanted = {
        f"{'.Fl' if action.required else '.Op Fl'} {option_item(action).replace(' , ', ' | ')}"
        for action in options(parser)
        if not is_help(action)
    } | {
        f"{'.Op Ar' if action.nargs in ('?', '*') else '.Ar'} {value}"
        for action in operands(parser)
        for value in values_of(action)
    }
    rest = re.sub(rf"^\.Ic {re.escape(command)} ", "", synopsis_of(command) + " ").split(" .")
    given = {part.strip() if part.startswith(".") else f".{part.strip()}" for part in rest if part.strip()}
    assert given == wanted


def test_the_synopsis_has_no_other_command() -> None:
    assert sorted(re.findall(r"^\.Ic (.*)$", sections(TUNED)["SYNOPSIS"], flags=re.MULTILINE)) == sorted(COMMANDS)


def choices_of(command: str, name: str) -> list[str]:
    action = next(action for action in COMMANDS[command]._actions if action.dest == name)
    return list(action.choices or ())


def test_the_consumers_are_all_named() -> None:
    text = documented()["export"]
    paragraph = text[text.index(".It Ar CONSUMER") : text.index(".It Ar PATH")]
    named = [word for line in re.findall(r"^\.Cm (.*)$", paragraph, flags=re.MULTILINE) for word in line.split()]
    assert [word for word in named if word not in ",."] == choices_of("export", "consumer")


def test_the_parameters_that_grid_takes_are_all_named() -> None:
    text = documented()["tune"]
    paragraph = text[text.index(".It Fl -grid") : text.index(".It Fl -seed")]
    assert set(re.findall(r"[a-z]+_[a-z]+", paragraph)) == set(GRID_KEYS)


def test_every_exit_code_is_described_and_no_other() -> None:
    assert items(sections(TUNED)["EXIT STATUS"]) == [str(code.value) for code in Exit]


def test_every_variable_of_the_environment_is_described_and_no_other() -> None:
    named = {name for line in items(sections(TUNED)["ENVIRONMENT"], "Ev") for name in line.split(" , ")}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "daemon/aio_tuned").rglob("*.py"))
    pattern = r'environ(?:ment)?\.get\("(\w+)"|"(\w+)" in os\.environ|^_ADDRESS = "(\w+)"'
    read = {name for found in re.findall(pattern, sources, flags=re.MULTILINE) for name in found if name}
    # The folders that matplotlib would write to: no concern of the command's.
    assert named == read - {"XDG_CONFIG_HOME", "XDG_CACHE_HOME"}


# --- aio-tuned.conf(5) -----------------------------------------------------------------------------------


def conf_sections() -> dict[str, str]:
    described = subsections(sections(CONF)["DESCRIPTION"])
    return {title.strip("[]"): text for title, text in described.items()}


def test_every_key_of_the_configuration_is_described_with_its_default_and_no_other() -> None:
    lines = []
    described = conf_sections()
    for section, text in described.items():
        if section in ("match", "export"):
            continue
        lines.append(f"[{section}]")
        for item in items(text, "Va"):
            key, _, value = item.partition(" No = Cm ")
            lines.append(f"{key} = {value}".replace(r"\(dq", '"'))
    text = "\n".join(lines)
    given = {section: set(table) for section, table in tomllib.loads(text).items()}
    known = {name: set(keys) for name, keys in _sections().items()} | {"grid": set(GRID_KEYS)}
    assert given == known
    assert parse_config(text, "aio-tuned.conf.5") == Config()


def test_a_default_that_is_not_ours_would_be_seen() -> None:
    assert parse_config("[sweep]\ntime_budget = 151\n", "x") != Config()


def test_every_key_of_a_match_rule_is_described_and_no_other() -> None:
    assert items(conf_sections()["match"], "Va") == ["tune", *PATTERN_KEYS]


def test_every_key_of_an_export_rule_is_described_and_no_other() -> None:
    assert items(conf_sections()["export"], "Va") == [*RULE_KEYS]


def test_the_words_that_a_key_takes_are_all_named() -> None:
    for section, key, words in (
        ("sweep", "drop_caches", choices_of("tune", "drop_caches")),
        ("sweep", "buffer", ["consumer", "huge", "hugetlb"]),
        ("sweep", "effort", choices_of("tune", "effort")),
        ("daemon", "siblings", ["check", "full"]),
        ("daemon", "kernel_change", ["minor", "exact", "never"]),
    ):
        text = conf_sections()[section]
        paragraph = re.split(r"^\.(?:It|El)", text[text.index(f".It Va {key} ") + 1 :], flags=re.MULTILINE)[0]
        assert set(re.findall(r"\\\(dq(\w+)\\\(dq", paragraph)) == set(words), key


def test_the_example_is_a_configuration() -> None:
    example = sections(CONF)["EXAMPLES"]
    text = example[example.index("indent\n") + 7 : example.index(".Ed")]
    assert parse_config(text, "the example") != Config()


# --- aio-tuned-profile(5) --------------------------------------------------------------------------------


def named(part: dict[str, Any]) -> dict[str, Any]:
    """The part of the schema that this one refers to, or else itself."""
    return SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def properties(part: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The keys that a part of the schema knows, in any of its forms."""
    whole = named(part)
    found = {key: named(one) for key, one in whole.get("properties", {}).items()}
    for form in (*whole.get("oneOf", ()), *whole.get("allOf", ())):
        found |= properties(form)
    return found


def profile_sections() -> dict[str, list[str]]:
    """The keys that the page describes, by section; a subsection may speak of several."""
    described: dict[str, list[str]] = {}
    for title, text in subsections(sections(PROFILE)["DESCRIPTION"]).items():
        for section in re.findall(r"\[(\w+)\]", title) or ([""] if title == "Top level" else []):
            described.setdefault(section, []).extend(items(text, "Va"))
    return described


def schema_sections() -> dict[str, dict[str, Any]]:
    tables = {name: part for name, part in SCHEMA["properties"].items() if "const" not in part and "enum" not in part}
    top = {name: part for name, part in SCHEMA["properties"].items() if name not in tables}
    curve, verdict = SCHEMA["patternProperties"].values()
    return {"": {"properties": top}, **tables, "curve_ENGINE_DIRECTION": curve, "verified_CONSUMER": verdict}


def test_every_key_of_a_profile_is_described_and_no_other() -> None:
    described = {section: sorted(line.split()[0] for line in lines) for section, lines in profile_sections().items()}
    assert described == {section: sorted(properties(part)) for section, part in schema_sections().items()}


def required(part: dict[str, Any]) -> set[str]:
    """The keys that a measured section of the schema must have."""
    found = set(part.get("required", ()))
    if "$ref" in part:
        found |= required(SCHEMA["$defs"][part["$ref"].rpartition("/")[2]])
    if "oneOf" in part:
        found |= required(part["oneOf"][-1])
    for each in part.get("allOf", ()):
        found |= required(each)
    return found


@pytest.mark.parametrize("section", [name for name in schema_sections() if name])
def test_the_page_says_which_keys_may_be_missing(section: str) -> None:
    always = {line.split()[0] for line in profile_sections()[section] if "optional" not in line}
    assert always == required(schema_sections()[section])


TYPES = {"string": "string", "integer": "integer", "number": "float", "boolean": "boolean", "array": "array"}


def test_the_page_has_the_types_of_the_schema() -> None:
    for section, lines in profile_sections().items():
        known = properties(schema_sections()[section])
        for line in lines:
            key, _, kind = line.partition(" Pq ")
            if key != "schema":
                assert re.split(r"[ ,]", kind)[0] == TYPES[known[key].get("type", "string")], key


def test_the_overridden_sections_of_the_page_are_ours() -> None:
    text = sections(PROFILE)["EXAMPLES"]
    example = text[text.rindex("indent\n") + 7 : text.rindex(".Ed")]
    assert override.parse(example, "the example").sections == {"read": {"queue_depth": 8}}


# --- aio-sweep(1) ----------------------------------------------------------------------------------------


def table(heading: str) -> str:
    """A section of the protocol."""
    found = re.split(r"^## (.*)\n", PROTOCOL, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))[heading]


def usage() -> str:
    text = (PROJECT / "native/src/protocol/options.c").read_text(encoding="utf-8")
    return text[text.index("options_usage") : text.index("#define bad")]


def test_every_option_of_the_helper_is_described_and_no_other() -> None:
    described = {flag for line in items(SWEEP, "Fl") for flag in re.findall(r"-([a-z-]+)", line)}
    source = (PROJECT / "native/src/protocol/options.c").read_text(encoding="utf-8")
    assert described == set(re.findall(r'\{"--([a-z-]+)", (?:true|false)\}', source))
    assert described == set(re.findall(r"--([a-z-]+)", usage()))
    synopsis = set(re.findall(r"Fl -([a-z-]+)|\| -([a-z-]+)", sections(SWEEP)["SYNOPSIS"]))
    assert {a or b for a, b in synopsis} == described
    with_value = {line.split()[0][1:] for line in items(SWEEP, "Fl") if " Ns = Ns " in line}
    assert with_value == set(re.findall(r'\{"--([a-z-]+)", true\}', source))


def test_every_key_of_a_request_is_described_and_no_other() -> None:
    described = items(subsections(sections(SWEEP)["DESCRIPTION"])["Requests"], "Va")
    assert described == re.findall(r"^\| `(\w+)` \|", table("3. Requests"), flags=re.MULTILINE)


def test_every_exit_code_of_the_helper_is_described_and_no_other() -> None:
    assert items(sections(SWEEP)["EXIT STATUS"]) == re.findall(r"^\| (\d+) \|", table("6. Exit codes"), re.MULTILINE)
