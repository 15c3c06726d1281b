"""A notebook's parameters are compared with their annotations, as its set-up does."""

import pytest

from kdltr.evaluation.readers import Recognisers
from kdltr.parameters import NonEmpty, Seeds, checked
from kdltr.settings import SettingError

ENTRY = {"weights": "a.pt", "student": "parseq_nano_ltr", "students": {"distilled": ""}}


def settings(path, sizes: dict[str, int]) -> None:
    """What a quoted annotation names."""


def test_parameters_come_back_as_they_are():
    annotations = {"seeds": "NonEmpty[Seeds]", "made": dict[str, "settings"], "run": str}
    values = {"seeds": [42, 7], "made": {"a": {"sizes": {"x": 1}}}, "run": "r"}
    found = checked(annotations, globals() | values | {"other": 1})
    assert found == values and found["seeds"] is values["seeds"]
    with pytest.raises(SettingError, match=r"^made\.a\.sizes\.x must be a whole number"):
        checked(annotations, globals() | values | {"made": {"a": {"sizes": {"x": "1"}}}})


@pytest.mark.parametrize(("declared", "value", "said"), [
    (NonEmpty[Seeds], [], "^p: expected at least one, found none; name one$"),
    (NonEmpty[Seeds], [7, 3, 7], "^p: expected each once, found 7 twice; leave one out$"),
    (Seeds, [-1], r"^p\.0 must be greater than or equal to 0"),
    (NonEmpty[dict[str, str]], {}, "^p: expected at least one"),
    (NonEmpty[list[str]], ["a", 3], r"^p\.1 must be text"),
    (Recognisers, {}, "^p: expected at least one"),
    (Recognisers, {"x": ENTRY | {"students": {}}}, r"^p\.x\.students: expected at least one"),
    (Recognisers, {"x": ENTRY | {"student": 3}}, r"^p\.x\.student must be text"),
])
def test_what_does_not_fit_is_named(declared, value, said):
    with pytest.raises(SettingError, match=said):
        checked({"p": declared}, {"p": value})


@pytest.mark.parametrize(("declared", "value"), [
    (Seeds, []), (NonEmpty[Seeds], [1, 2]), (NonEmpty[list[str]], ["a"]),
    (Recognisers, {"x": ENTRY | {"students": {"distilled": None}}}),
])
def test_what_fits_passes(declared, value):
    checked({"p": declared}, {"p": value})
