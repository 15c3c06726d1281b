"""Settings: whether their names are known and their values of the declared types, all the way down.

What is declared is a type, or something whose settings a mapping holds: fields of a dataclass or of
a TypedDict, arguments of a function. pydantic compares, and converts nothing: "32" is no number.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict, is_typeddict

from kdltr.files import place
from kdltr.messages import nearest

# CPU threads, or processes. Who goes on with a run of a larger machine needs more than there are
# cores; of thousands a process may end without a word, or the machine stand still.
_MOST = max(256, os.cpu_count() or 1)
Threads = Annotated[int, Field(ge=1, le=_MOST)]
Workers = Annotated[int, Field(ge=0, le=_MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what is made of it by step still fits PyTorch's

_STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
_EXPECTED = {  # what pydantic's errors say, in the words of YAML
    "int_type": "a whole number", "float_type": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "string_type": "text", "none_required": "nothing",
    "tuple_type": "a list", "dict_type": "`name: value` lines", "too_long": "a shorter list",
    "missing": "another name",
}  # fmt: skip
_SAID = "Input should be "  # by pydantic, of a bound


class SettingError(ValueError):
    """A setting that is not known or of another type than declared; or what holds no settings."""


class _Loader(yaml.SafeLoader):
    """Refuses a name that stands twice, of which the last would count without a word."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice; leave one",
                                           problem_mark=key.start_mark)
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return node


def parse_yaml(text: str, where: str) -> Any:
    """What a text of YAML says.

    Args:
        where: it stands, for the message.

    Raises:
        SettingError: it is no YAML, or a name stands in it twice.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date, a depth that cannot be
        said = " ".join(str(error).split())
        raise SettingError(f"{where}: expected YAML, found something else: {said}") from None


def named_values(text: str, where: str) -> dict[str, Any]:
    """The `name: value` lines of a text; raises as `parse_yaml`, and where it has others."""
    found = parse_yaml(text, where) or {}
    if not isinstance(found, dict):
        raise SettingError(f"{where}: expected `name: value` lines, found {type(found).__name__}")
    return found


def read_yaml(file: str | os.PathLike) -> dict[str, Any]:
    """The `name: value` lines of a file.

    Raises:
        SettingError: no such file, no UTF-8, no YAML, or something else than such lines.
    """
    try:
        text = place(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingError(f"expected a file of settings at {file}, found: "
                           f"{error.strerror.lower()}; check the path") from None
    except UnicodeDecodeError as error:
        raise SettingError(f"{file}: expected UTF-8, found other text ({error.reason} at byte "
                           f"{error.start}); save the file as UTF-8") from None
    return named_values(text, str(file))


def check(declared: Any, value: Any, name: str = "") -> None:
    """Compare a value with what is declared.

    Args:
        declared: a type; or a dataclass, a TypedDict or a function, also within a type as in
            ``dict[str, DistillConfig]``. Fields and arguments may be left out, but for a function's
            that have no default: it needs those if there are any. What comes first, a path, its
            caller gives.
        value: as from YAML; tuples are lists, and paths are text.
        name: of the setting, for the message.

    Raises:
        SettingError: says which part of the value is wrong, what was expected, and what to do.
    """
    try:
        value = _plain(value)
    except RecursionError:  # YAML can say so
        raise SettingError(f"{name or 'the settings'}: expected values, found one that holds itself"
                           ) from None
    try:
        _adapter(declared).validate_python(value)
    except ValidationError as error:
        raise SettingError(_message(error.errors(include_url=False), value, name)) from None


def check_fields(config: Any) -> None:
    """Check every field of a dataclass's instance; lists in it become tuples, and paths text.

    Raises:
        SettingError: as `check`.
    """
    values = {field.name: _plain(getattr(config, field.name))
              for field in dataclasses.fields(config)}
    for name, value in values.items():
        object.__setattr__(config, name, value)  # of a frozen one, while it is made
    check(type(config), values)


def check_names(
    known: Iterable[str], given: Iterable[Any], said: str = "unknown setting"
) -> None:
    """Raise SettingError for the first name that is not known; it says the nearest one."""
    known = list(known)
    for name in given:
        if name not in known:
            raise SettingError(f"{said} {name!r}{nearest(name, known)}")


def _plain(value: Any) -> Any:
    """Lists as tuples and paths as text, at any depth."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@cache
def _adapter(declared: Any) -> TypeAdapter:
    kind = _checked(declared)
    return TypeAdapter(kind, config=None if _is_typed(kind) else _STRICT)


def _checked(declared: Any, within: bool = False) -> Any:
    """The type by which pydantic checks: tuples for all lists.

    Args:
        within: of a mapping of settings, where a dataclass is an object and no mapping.
    """
    if not within and _holds_settings(declared):
        return _mapping(declared)
    origin, parts = get_origin(declared) or declared, get_args(declared)
    if origin is Literal:
        return declared
    if origin is Annotated:
        return Annotated[(_checked(parts[0], within), *declared.__metadata__)]
    parts = tuple(part if part is Ellipsis else _checked(part, within) for part in parts)
    if origin in (list, Sequence, Collection):
        return tuple[parts[0], ...] if parts else tuple
    if origin in (Union, UnionType):
        return Union[parts]  # noqa: UP007 (they are not known before)
    if origin is Mapping:
        origin = dict
    return origin[parts] if parts and origin in (dict, tuple) else declared


def _mapping(kind: Any) -> Any:
    """A mapping of the settings of a dataclass, a TypedDict or a function."""
    hints = get_type_hints(kind, include_extras=True)
    if inspect.isfunction(kind):
        _, *arguments = inspect.signature(kind).parameters.values()
        needed = {one.name for one in arguments if one.default is one.empty}
        hints = {one.name: hints[one.name] for one in arguments}
    else:
        needed = getattr(kind, "__required_keys__", set())
        hints |= {name: Literal[tuple(choices)]
                  for name, choices in getattr(kind, "CHOICES", {}).items()}
        hints.pop("CHOICES", None)

    def known(value: Any) -> Any:
        if isinstance(value, Mapping):
            check_names(hints, value)
            if value and (lacking := [name for name in needed if name not in value]):
                raise SettingError(f"expected {' and '.join(sorted(lacking))} too, found "
                                   f"{', '.join(map(str, value))}")
        return value

    fields = {name: _checked(hint, within=True) for name, hint in hints.items()}
    return Annotated[
        with_config(_STRICT)(TypedDict(kind.__name__, fields, total=False)), BeforeValidator(known)]


def _holds_settings(declared: Any) -> bool:
    return dataclasses.is_dataclass(declared) or inspect.isfunction(declared) or (
        is_typeddict(declared))


def _is_typed(kind: Any) -> bool:
    return is_typeddict(get_args(kind)[0]) if get_origin(kind) is Annotated else is_typeddict(kind)


def _message(errors: Sequence[Mapping[str, Any]], value: Any, name: str) -> str:
    """The error farthest in, and what else might have been at its place."""
    place, found = max((_find(error["loc"], value) for error in errors), key=lambda at: len(at[0]))
    here = [error for error in errors if _find(error["loc"], value)[0] == place]
    where = ".".join([name] * bool(name) + list(map(str, place)))
    first = here[0]
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}" if where else str(first["ctx"]["error"])
    if first["type"] == "literal_error":
        choices = first["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"{where}: unknown {found!r}{nearest(found, choices)}{_hint(found, 'text')}"
    if first["loc"][-1:] == ("[key]",):
        return f"{where}: a name must be text, found {place[-1]!r}: put it in quotes"
    expected = " or ".join(dict.fromkeys(_EXPECTED.get(e["type"], e["msg"].removeprefix(_SAID))
                                            for e in here))
    return f"{where} must be {expected}, found {found!r}{_hint(found, expected)}"


def _find(loc: Sequence[Any], value: Any) -> tuple[tuple[Any, ...], Any]:
    """The part of the value that pydantic means; its place also names the branch of a union."""
    place: list[Any] = []
    for step in loc:
        inside = (isinstance(value, Mapping) and step in value) or (
            isinstance(value, tuple) and isinstance(step, int) and step < len(value))
        if inside:
            place.append(step)
            value = value[step]
    return tuple(place), value


def _hint(found: Any, expected: str) -> str:
    if isinstance(found, bool) and "text" in expected:
        return "; YAML reads yes, no, on and off as true or false: put them in quotes"
    if isinstance(found, str) and "number" in expected:
        try:
            float(found)
        except ValueError:
            return ""
        return ", which is text: write it without quotes, and 1e-3, text to YAML, as 1.0e-3"
    return ""
