"""Packages of extras: imported late, and named when they are missing."""

import sys

import pytest

from kdltr import extras


def test_a_module_of_an_extra_is_imported_at_its_first_use(monkeypatch, tmp_path):
    (tmp_path / "whole_package.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = extras.optional("whole_package", "generate")
    assert "whole_package" not in sys.modules
    assert module.value == 3 and extras.require("whole_package", "generate").value == 3


def test_a_package_that_is_not_there_names_the_extra_and_one_that_is_broken_does_not(
    monkeypatch, tmp_path
):
    with pytest.raises(extras.MissingExtra, match=r"package nothere, .*'kdltr\[peers\]'"):
        extras.optional("nothere.part", "peers").value  # noqa: B018
    (tmp_path / "broken_package.py").write_text("import nothere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nothere") as caught:
        extras.require("broken_package", "peers")
    assert not isinstance(caught.value, extras.MissingExtra)
