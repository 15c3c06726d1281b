"""Trainings that differ only in their seed: names, columns, and each beside the other's."""

import pandas as pd
import pytest

from kdltr.evaluation.compare import claim
from kdltr.evaluation.scores import score
from kdltr.evaluation.seeds import apart, method_of, named, of_seeds, runs_of, together
from kdltr.results import beside_published, collect, recompute

WORDS = ["one", "two", "three", "four"]


def scores(right):
    """Of four words, those of the indices given are read right."""
    read = [word if i in right else "wrong" for i, word in enumerate(WORDS)]
    return score(pd.DataFrame({"index": range(4), "label": WORDS, "reading": read,
                               "confidence": 0.5, "image": [f"{i:08x}" for i in range(4)]}))


def test_students_of_seeds_are_read_by_their_paths():
    given = {"parseq": {"weights": "t", "student": "s", "students": {
        "distilled": "a-{seed}.safetensors", "fine-tuned": "b.safetensors"}}}
    made = of_seeds(given, [42, 7])
    assert made["parseq"]["students"] == {
        "distilled, seed 42": "a-42.safetensors", "distilled, seed 7": "a-7.safetensors",
        "fine-tuned": "b.safetensors"}  # fmt: skip
    assert made["parseq"]["weights"] == "t" and len(given["parseq"]["students"]) == 2
    with pytest.raises(ValueError, match=r"expected seeds for the weights a-\{seed\}.safetensors"):
        of_seeds(given, [])


def test_the_seed_of_a_name_becomes_a_column():
    found = {"bicubic": {"easy": scores([0])}}
    plain = collect(found, "parseq")
    assert apart(plain) is plain
    found |= {f"distilled, seed {seed}": {"easy": scores(right)}
              for seed, right in ((1, [0, 1]), (2, [0, 1, 2]))}
    predictions = apart(collect(found, "parseq"))
    assert list(predictions)[:4] == ["recogniser", "method", "seed", "subset"]
    assert together(predictions).equals(collect(found, "parseq")) and together(plain) is plain
    rows = recompute(predictions)
    assert {(row.method, row.seed) for row in rows} == {("bicubic", None), ("distilled", 1),
                                                        ("distilled", 2)}
    table = beside_published(rows, same_data=False).set_index("method")
    assert table.loc["distilled", ["seeds", "measured"]].tolist() == [2, 62.5]
    assert table.loc["distilled", "sd"] == pytest.approx(17.67767)


def test_each_seed_is_compared_with_a_method_without_any():
    found = {"bicubic": scores([0]), "distilled, seed 1": scores([0, 1]),
             "distilled, seed 2": scores([1, 2, 3])}
    distilled, bicubic = runs_of(found, "distilled", "bicubic")
    assert [run.correct for run in distilled] == [2, 3]
    assert [run.correct for run in bicubic] == [1, 1]
    made = claim("", distilled, bicubic)
    assert made["n"] == 4 and made["measured"] == 37.5  # +2, +1, +1, −1 of 2 seeds × 4 words
    assert made["p"] == 0.5  # 8 of 16 choices of signs give a sum as far from 0 as 3
    one = {"bicubic": scores([0]), "distilled, seed 1": scores([0, 1])}
    assert [len(runs) for runs in runs_of(one, "distilled", "bicubic")] == [1, 1]
    assert runs_of({"a": scores([0])}, "a")[0][0].n == 4


def test_seeds_that_read_alike_tell_no_more_than_one():
    one, other = scores([0, 1, 2]), scores([3])
    once, thrice = claim("", one, other), claim("", [one] * 3, [other] * 3)
    assert once.keys() == thrice.keys()
    assert all(once[key] == pytest.approx(thrice[key]) for key in ("measured", "low", "high", "p"))


def test_a_name_says_its_method():
    assert method_of(named("distilled", 42)) == method_of("distilled") == "distilled"


def test_methods_of_other_seeds_are_refused():
    found = {"a, seed 1": scores([0]), "b, seed 1": scores([0]), "b, seed 2": scores([1])}
    with pytest.raises(ValueError, match=r"expected 'a' of the seeds \[1, 2\], found \[1\]"):
        runs_of(found, "a", "b")
