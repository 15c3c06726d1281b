"""Settings are checked by name and type, all the way down, and each message says what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from kdltr.charset import ALNUM36
from kdltr.models import check_sizes
from kdltr.models.devices import checked_device, multiplies_bf16
from kdltr.settings import SettingError, check, check_fields, parse_yaml
from kdltr.train import DistillConfig, PretrainConfig
from kdltr.train.engine import start_engine


@dataclass(frozen=True)
class Toy:
    CHOICES: ClassVar[dict] = {"mode": ("no", "slow")}

    count: int = 1
    rate: float = 0.5
    names: tuple[str, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    strides: tuple[int | tuple[int, int], ...] = ()
    place: str | None = None
    mode: str = "no"
    again: bool = True
    free: dict[str, Any] = field(default_factory=dict)


def made(path: str, sizes: dict[str, int], seed: int, effects: tuple[str, ...] = ()) -> None:
    """A function whose arguments are settings."""


@pytest.mark.parametrize("values", [
    {}, {"count": 3, "rate": 2}, {"names": ["a", "b"], "shares": {"a": 1, "b": 0.5}},
    {"strides": [2, [2, 1], 1]}, {"place": None}, {"place": "x", "mode": "slow"},
    {"free": {"anything": [1, {"at": "all"}]}}, {"place": Path("x")},
])
def test_values_of_the_declared_types_pass(values):
    check(Toy, values)


@pytest.mark.parametrize(("values", "said"), [
    ({"count": "3"}, "^count must be a whole number, found '3', which is text"),
    ({"count": True}, "^count must be a whole number, found True"),
    ({"count": 2.5}, "^count must be a whole number, found 2.5"),
    ({"count": None}, "^count must be a whole number, found None"),
    ({"rate": "1e-3"}, "^rate must be a number, found '1e-3'.*as 1.0e-3"),
    ({"rate": "fast"}, "^rate must be a number, found 'fast'$"),
    ({"rate": float("nan")}, "^rate must be a finite number"),
    ({"rate": float("inf")}, "^rate must be a finite number"),
    ({"names": "train1"}, "^names must be a list, found 'train1'"),
    ({"names": {"a": 1}}, "^names must be a list"),
    ({"names": ["a", 7]}, "^names.1 must be text, found 7"),
    ({"shares": {"a": "0.5"}}, "^shares.a must be a number, found '0.5'"),
    ({"shares": {3: 0.5}}, "^shares.3: a name must be text, found 3: put it in quotes"),
    ({"shares": [1]}, "^shares must be `name: value` lines"),
    ({"strides": [2, [1, "2"]]}, "^strides.1.1 must be a whole number, found '2'"),
    ({"strides": [2, "1"]}, "^strides.1 must be a whole number or a list, found '1'"),
    ({"place": 2024}, "^place must be text, found 2024"),
    ({"place": False}, "^place must be text, found False; YAML reads yes, no"),
    ({"again": "no"}, "^again must be true or false, found 'no'"),
    ({"again": 1}, "^again must be true or false, found 1"),
    ({"mode": "slwo"}, "^mode: unknown 'slwo'; did you mean 'slow'"),
    ({"mode": False}, "^mode: unknown False.*put them in quotes"),
    ({"rat": 1}, "^unknown setting 'rat'; did you mean 'rate'"),
    ({1: 1}, "^unknown setting 1"),
])
def test_other_values_are_named(values, said):
    with pytest.raises(SettingError, match=said):
        check(Toy, values)
    with pytest.raises(SettingError, match=said.replace("^", "^a.b.", 1).replace(
            "b.unknown", "b: unknown")):
        check(Toy, values, "a.b")
    if all(isinstance(name, str) and name != "rat" for name in values):
        with pytest.raises(SettingError, match=said):
            check_fields(Toy(**values))


def test_threads_have_bounds_and_a_value_does_not_hold_itself():
    for kind, name in ((DistillConfig, "threads"), (PretrainConfig, "threads"),
                       (PretrainConfig, "workers")):
        with pytest.raises(SettingError, match=f"^{name} must be less than or equal to"):
            kind(output_dir="x", **{name: 100_000})
    with pytest.raises(SettingError, match="^threads must be greater than or equal to 1, found 0"):
        DistillConfig(output_dir="x", threads=0)
    values = {"shares": {}}
    values["shares"]["a"] = values
    with pytest.raises(SettingError, match="holds itself"):
        check(Toy, values)


def test_arguments_of_a_function_are_settings():
    check(made, {"sizes": {"a": 1}, "seed": 2, "effects": ["x"]}, "generate")
    check(made, {}, "generate")
    for values, said in (({"seed": 1}, "expected sizes too, found seed"),
                         ({"sizes": {"a": "1"}, "seed": 1}, "sizes.a must be a whole number"),
                         ({"sizes": {}, "seed": 1, "path": "x"}, "unknown setting 'path'"),
                         ("train1=8", "must be `name: value` lines, found 'train1=8'")):
        with pytest.raises(SettingError, match=f"^generate.*{said}"):
            check(made, values, "generate")


def test_settings_within_a_type_are_checked_too():
    declared = dict[str, PretrainConfig]
    check(declared, {"first": {"steps": 5}}, "runs")
    with pytest.raises(SettingError, match=r"^runs\.first\.steps must be a whole number"):
        check(declared, {"first": {"steps": "5"}}, "runs")


def test_lists_and_paths_of_an_instance_become_plain():
    toy = Toy(names=[Path("a"), "b"], strides=[1, [2, 3]], place=Path("c/d"))
    check_fields(toy)
    assert (toy.names, toy.strides, toy.place) == (("a", "b"), (1, (2, 3)), "c/d")


@pytest.mark.parametrize(("kind", "values", "said"), [
    (DistillConfig, {"new_learning_rate": "2e-4"}, "new_learning_rate must be a number"),
    (DistillConfig, {"weights": {"visual": "4"}}, "weights.visual must be a number"),
    (DistillConfig, {"weights": {"visaul": 4}}, "loss term 'visaul'; did you mean 'visual'"),
    (DistillConfig, {"camera": {"words": "all"}}, "camera.words must be a number"),
    (DistillConfig, {"selection_data": {"easy": "x"}}, "selection_data must be a list"),
    (DistillConfig, {"model": {"depth": "2"}}, "parseq: depth must be a whole number"),
    (DistillConfig, {"model": {"patch": 4}}, "parseq: patch must be a list"),
    (DistillConfig, {"steps_per_epoch": 0}, "steps_per_epoch must be at least 1"),
    (DistillConfig, {"precision": False}, "precision: unknown False"),
    (DistillConfig, {"allow_other_threads": "no"}, "allow_other_threads must be true or false"),
    (DistillConfig, {"seed": 2**63}, "seed must be less than 4294967296"),
    (PretrainConfig, {"data_seed": -1}, "data_seed must be greater than or equal to 0"),
    (DistillConfig, {"seed": np.int64(3)}, "seed must be a whole number"),
    (PretrainConfig, {"settings": {"wdith": 3}}, "no setting 'wdith'; did you mean 'width'"),
    (PretrainConfig, {"minutes": "5"}, "minutes must be a number"),
    (PretrainConfig, {"effects": [3]}, "effects.0 must be text"),
    (PretrainConfig, {"warmup": 2.0}, r"warmup must be in \[0, 1\]"),
])
def test_configurations_refuse_what_is_of_another_type(kind, values, said):
    with pytest.raises(ValueError, match=said):
        kind.from_dict({"output_dir": "x", **values})


def test_sizes_are_as_yaml_has_them():
    made = check_sizes("abinet_nano", {"strides": [2, [2, 1], 2, 1, 1], "charset": "alnum36"})
    assert made.strides == (2, (2, 1), 2, 1, 1) and made.charset is ALNUM36
    with pytest.raises(ValueError, match="abinet_nano: unknown charset 'alnum'.*'alnum36'"):
        check_sizes("abinet_nano", {"charset": "alnum"})


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "cpu:x", ""])
def test_a_device_that_is_not_there_is_refused(device, tmp_path):
    with pytest.raises(ValueError, match=f"device of this machine, found '{device}'"):
        checked_device(device)
    with pytest.raises(ValueError, match="device of this machine"):
        start_engine(PretrainConfig(str(tmp_path), device=device))


def test_a_device_is_obeyed_whatever_the_run_before_had(tmp_path):
    usual = start_engine(PretrainConfig(str(tmp_path))).device
    assert start_engine(PretrainConfig(str(tmp_path), device="cpu")).device.type == "cpu"
    assert start_engine(PretrainConfig(str(tmp_path))).device == usual
    assert start_engine(PretrainConfig(str(tmp_path), device="cpu:0")).device.type == "cpu"
    assert checked_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("asked", "there", "used"), [
    ("auto", True, "bf16"), ("auto", False, "no"), ("bf16", False, "bf16"), ("no", True, "no")])
def test_precision_is_what_the_device_has_where_it_is_left_to_it(
    asked, there, used, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("kdltr.train.engine.multiplies_bf16", lambda device: there)
    engine = start_engine(PretrainConfig(str(tmp_path), precision=asked, device="cpu"))
    assert engine.mixed_precision == used
    assert ("no instructions for it" in caplog.text) == (asked == "bf16")


@pytest.mark.parametrize(("known", "there"), [
    ({"avx2": True, "avx512_bf16": False}, False), ({"avx512_bf16": True}, True),
    ({"amx_bf16": True}, True), ({"architecture": "arm64", "bf16": True}, True)])
def test_a_cpu_multiplies_bf16_by_its_instructions(known, there, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: known)
    assert multiplies_bf16(torch.device("cpu")) is there
    monkeypatch.delattr("torch.cpu.get_capabilities")
    assert not multiplies_bf16(torch.device("cpu"))
    assert not multiplies_bf16(torch.device("meta"))


def test_a_name_that_stands_twice_is_refused_and_one_merged_from_elsewhere_is_not():
    with pytest.raises(SettingError, match=r"here: .*b stands twice; leave one.*line 2"):
        parse_yaml("a: {b: 1,\n  c: 2, b: 3}", "here")
    for text in ("a: {{ x }}", "{[1, 2]: 3}", "? [a, b]"):
        with pytest.raises(SettingError, match="here: expected YAML"):
            parse_yaml(text, "here")
    merged = "a: &a {b: 1}\nc: &c\n  <<: *a\n  b: 2\nd:\n  <<: *c\n  b: 3"
    assert parse_yaml(merged, "here") == {"a": {"b": 1}, "c": {"b": 2}, "d": {"b": 3}}


@pytest.mark.parametrize("text", ["a: 2026-02-30", "a: 0x_", "a: !!int x", "[" * 2000])
def test_what_yaml_cannot_be_is_said(text):
    with pytest.raises(SettingError, match="^mine.yaml: expected YAML, found something else"):
        parse_yaml(text, "mine.yaml")
