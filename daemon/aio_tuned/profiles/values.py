"""The conversion of a profile's values and dataclasses to the types of TOML, and back."""

from __future__ import annotations

import math
import types
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.errors import ProfileError
from aio_tuned.model.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

# TOML's integers have 64 bits.
_LARGEST = (1 << 63) - 1
# Error messages show at most this many characters of an invalid value.
_LONGEST_SHOWN = 100

# The file omits this field if it is empty, as it is in most profiles.
_OVERRIDDEN = "overridden"

_T = TypeVar("_T")


def plain(value: object, where: str) -> Any:  # noqa: ANN401 - any TOML value
    """Convert a value to the types of TOML; `where` names it in errors.

    The fields of a setting become keys of its section, and None is omitted. Raise TypeError for any other type and for
    numbers that are not finite: toml 0.10.2 would write numpy's int64(5) as the string "np.int64(5)", and NaN as nan.
    """
    if is_dataclass(value) and not isinstance(value, type):
        table: dict[str, Any] = {}
        for item in fields(value):
            inner = getattr(value, item.name)
            if isinstance(inner, Setting):
                table.update(plain(inner, where))
            elif inner is not None and not (item.name == _OVERRIDDEN and not inner):
                table[item.name] = plain(inner, f"{where}.{item.name}")
        return table
    if isinstance(value, (tuple, list)):
        return [plain(item, where) for item in value]
    if type(value) not in (bool, int, float, str):
        raise TypeError(f"{where}: a profile cannot hold a {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{where}: a profile cannot hold {value}")
    return value


def parse_value(kind: Any, value: object, where: str) -> Any:  # noqa: ANN401 - any field type
    """Return the value as the type `kind` of a field; raise ProfileError if it has another type."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):  # an optional number
        kind = next(option for option in get_args(kind) if option is not type(None))
        origin = get_origin(kind)
    if origin is tuple:
        inner = get_args(kind)
        if isinstance(value, list) and (inner[-1] is Ellipsis or len(value) == len(inner)):
            return tuple(parse_value(inner[0], item, where) for item in value)
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) or abs(value) <= _LARGEST:
            number = float(value)
            if math.isfinite(number):
                return number
    elif origin is not None:  # a Literal
        if value in get_args(kind):
            return value
    elif type(value) is kind and not (isinstance(value, int) and abs(value) > _LARGEST):
        return value
    wanted = f"one of {', '.join(map(str, get_args(kind)))}" if origin else f"a {getattr(kind, '__name__', kind)}"
    raise ProfileError(f"{where} = {repr(value)[:_LONGEST_SHOWN]} is not {wanted}")


def fill(cls: type[_T], table: Mapping[str, object], where: str) -> _T:
    """Return a dataclass made from a table; raise ProfileError if a field is missing or invalid.

    Unknown keys are ignored, since a later version may have written them.
    """
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for item in fields(cls):  # type: ignore[arg-type]  # only called with dataclasses
        kind = hints[item.name]
        if kind is Setting:
            values[item.name] = _setting(table, where)
        elif item.name in table:
            values[item.name] = parse_value(kind, table[item.name], f"{where}.{item.name}")
        elif type(None) in get_args(kind):
            values[item.name] = None
        elif item.name == _OVERRIDDEN:
            values[item.name] = ()
        else:
            raise ProfileError(f"{where}.{item.name} is missing")
    return cls(**values)


def _setting(table: Mapping[str, object], where: str) -> Setting:
    """Return the setting in a table; raise ProfileError if a parameter is outside the limits of the helper.

    The limits protect consumers, which allocate memory by these numbers.
    """
    found = fill(Setting, table, where)
    for key, parser in SETTING_KEYS.items():
        try:
            parser(getattr(found, key))
        except ValueError as error:
            raise ProfileError(f"{where}.{key}: {error}") from None
    return found


def section(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return a table of the document; raise ProfileError if there is none of that name."""
    table = document.get(name)
    if not isinstance(table, dict):
        raise ProfileError(f"section [{name}] is missing")
    return table
