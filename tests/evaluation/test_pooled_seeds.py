"""Trainings that differ only in their seed: names, columns, and the words of all together."""

import pandas as pd
import pytest

from kdltr.evaluation.scores import mcnemar, score
from kdltr.evaluation.seeds import apart, method_of, named, of_seeds, pooled
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
    rows = recompute(predictions)
    assert {(row.method, row.seed) for row in rows} == {("bicubic", None), ("distilled", 1),
                                                        ("distilled", 2)}
    table = beside_published(rows, same_data=False).set_index("method")
    assert table.loc["distilled", ["seeds", "measured"]].tolist() == [2, 62.5]
    assert table.loc["distilled", "sd"] == pytest.approx(17.67767)


def test_words_of_all_seeds_are_compared_with_a_method_without_any():
    found = {"bicubic": scores([0]), "distilled, seed 1": scores([0, 1]),
             "distilled, seed 2": scores([1, 2, 3])}
    distilled, bicubic = pooled(found, "distilled", "bicubic")
    assert distilled.n == bicubic.n == 8 and (distilled.correct, bicubic.correct) == (5, 2)
    counts = mcnemar(distilled, bicubic).counts
    assert (counts.only_a, counts.only_b, counts.both) == (4, 1, 1)
    one = {"bicubic": scores([0]), "distilled, seed 1": scores([0, 1])}
    assert [part.n for part in pooled(one, "distilled", "bicubic")] == [4, 4]
    assert pooled({"a": scores([0])}, "a")[0].n == 4


def test_a_name_says_its_method():
    assert method_of(named("distilled", 42)) == method_of("distilled") == "distilled"


def test_methods_of_other_seeds_are_refused():
    found = {"a, seed 1": scores([0]), "b, seed 1": scores([0]), "b, seed 2": scores([1])}
    with pytest.raises(ValueError, match=r"expected 'a' of the seeds \[1, 2\], found \[1\]"):
        pooled(found, "a", "b")
