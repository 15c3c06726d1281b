"""A notebook's parameters: their types beside Python's, and the check that opens its set-up.

    seeds: "NonEmpty[Seeds]" = [42]                 # the parameters cell
    parameters = checked(__annotations__, globals())
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import AfterValidator

from kdltr.settings import Seed, SettingError, check


def _some(values: Collection) -> Collection:
    if not values:
        raise SettingError("expected at least one, found none; name one")
    return values


def _each_once(values: Sequence) -> Sequence:
    if twice := [value for value in values if values.count(value) > 1]:
        raise SettingError(f"expected each once, found {twice[0]} twice; leave one out")
    return values


T = TypeVar("T")
NonEmpty = Annotated[T, AfterValidator(_some)]
Places = NonEmpty[dict[str, str]]  # of sets, by name
Seeds = Annotated[list[Seed], AfterValidator(_each_once)]


def checked(annotations: Mapping[str, Any], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name, each compared with its annotation.

    Args:
        annotations: of the parameters; in quotes where the notebook imports their names later.
        namespace: the notebook's.

    Raises:
        SettingError: as `kdltr.settings.check`.
    """
    cell = type("Cell", (), {"__annotations__": dict(annotations)})
    declared = get_type_hints(cell, dict(namespace), include_extras=True)
    for name, kind in declared.items():
        check(kind, namespace[name], name)
    return {name: namespace[name] for name in declared}
