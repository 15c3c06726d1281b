"""Rows, result files, what surrounds them, and the tables made from them."""

import json
import math
import subprocess

import numpy as np
import pandas as pd
import pytest

from kdltr import files
from kdltr.data import hashes
from kdltr.evaluation.quality import Quality
from kdltr.evaluation.scores import score, wilson
from kdltr.results import (
    PROTOCOL,
    ResultError,
    Row,
    benchmark_figure,
    beside_published,
    collect,
    git_state,
    published,
    published_accuracy,
    published_counts,
    published_gain,
    quality_beside_published,
    quality_rows,
    read_result,
    recompute,
    separate,
    wide,
    write_result,
)
from kdltr.results.rows import read_predictions, write_predictions

# Words that a careless CSV loses: missing-value names, numbers, quotes, breaks, spaces, nothing.
AWKWARD = ["NA", "nan", "null", "", "007", "1e5", "True", 'a,"b"', "two\nlines", "\r", " x ", "né",
           "#", "'=1"]


def scores_of(labels, readings, confidence=0.1 + 0.2):
    return score(pd.DataFrame({
        "index": range(len(labels)), "label": list(labels), "reading": list(readings),
        "confidence": [confidence / (i + 1) for i in range(len(labels))],
        "image": [f"{i:08x}" for i in range(len(labels))]}))


@pytest.fixture
def predictions():
    return collect({
        "bicubic": {"easy": scores_of(["ab", "cd", "ef"], ["ab", "cx", "ef"]),
                    "hard": scores_of(["gh"], [""])},
        "distilled": {"easy": scores_of(["ab", "cd", "ef"], ["ab", "cd", "ef"]),
                      "hard": scores_of(["gh"], ["gh"])},
    }, "parseq_nano")


def accuracy(value, **others):
    return Row(**{"table": "textzoom", "recogniser": "parseq", "method": "distilled",
                  "subset": "easy", "metric": "accuracy", "value": value, "n": 1619} | others)


def test_rows_are_recomputed_from_saved_predictions(tmp_path, predictions):
    write_predictions(tmp_path / "p.csv", predictions)
    rows = recompute(read_predictions(tmp_path / "p.csv"))
    assert rows == recompute(predictions)
    table = {(row.method, row.subset): row for row in rows if row.metric == "accuracy"}
    assert list(table) == [(m, s) for m in ("bicubic", "distilled")
                           for s in ("easy", "hard", "average")]
    row = table["bicubic", "average"]  # 2 of 3 and 0 of 1: weighted, not the mean 33.3
    assert (row.value, row.n, row.extra) == (50.0, 4, {"correct": 2})
    assert (row.low, row.high) == pytest.approx([100 * end for end in wilson(2, 4)])
    assert row.recogniser == "parseq_nano" and row.unit == "%" and row.seed is None
    values = {(r.method, r.subset, r.metric): r.value for r in rows}
    assert values["bicubic", "easy", "1-NED"] == pytest.approx(100 * 2.5 / 3)
    assert values["bicubic", "hard", "confidence"] == pytest.approx(30)
    assert wide(rows).loc[("parseq_nano", "bicubic")].to_dict() == pytest.approx(
        {"easy": 200 / 3, "hard": 0, "average": 50})


def test_words_survive_the_file(tmp_path):
    frame = collect({"m": {"NA": scores_of(AWKWARD, AWKWARD[::-1])}}, "parseq")
    for name in ("p.csv", "p.csv.gz", "q.csv.gz"):
        write_predictions(tmp_path / name, frame)
    assert (tmp_path / "p.csv.gz").read_bytes() == (tmp_path / "q.csv.gz").read_bytes()
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "p.csv.gz"), frame)
    again = read_predictions(tmp_path / "p.csv")
    assert list(again["label"]) == AWKWARD and list(again["reading"]) == AWKWARD[::-1]
    assert list(again["confidence"]) == list(frame["confidence"])  # every bit
    pd.testing.assert_frame_equal(again, frame)


def test_seeds_stay_apart_also_beside_methods_without_one(tmp_path):
    right, wrong = scores_of("ab", "ab"), scores_of("ab", "xx")
    frame = pd.concat([collect({"bicubic": {"easy": wrong}}, "parseq"),
                       *(collect({"distilled": {"easy": found}}, "parseq", seed)
                         for seed, found in ((1, right), (2, wrong)))], ignore_index=True)
    write_predictions(tmp_path / "p.csv", frame)
    rows = recompute(read_predictions(tmp_path / "p.csv"))
    found = [(r.method, r.seed, r.value) for r in rows if r.metric == "accuracy"]
    assert found == [("bicubic", None, 0), ("distilled", 1, 100), ("distilled", 2, 0)]
    assert rows == recompute(frame)
    table = beside_published(rows, same_data=True).set_index("method")
    assert table.loc["distilled", ["seeds", "measured"]].tolist() == [2, 50]
    assert table.loc["distilled", "sd"] == pytest.approx(np.std([0, 100], ddof=1))


def test_separated_predictions_are_the_scores_they_were_collected_from(predictions):
    found = separate(predictions)
    pd.testing.assert_frame_equal(collect(found["parseq_nano"], "parseq_nano"), predictions)
    twice = pd.concat([predictions.assign(seed=seed) for seed in (1, 2)])
    assert separate(twice[twice["seed"] == 1]).keys() == found.keys()
    with pytest.raises(ValueError, match="one seed"):
        separate(twice)


def test_edited_predictions_are_refused(predictions):
    with pytest.raises(ValueError, match=r"1 of 8 values of 'correct'.*'cd' read as 'cx'"):
        recompute(predictions.assign(correct=predictions["correct"] | (predictions.index == 1)))
    with pytest.raises(ValueError, match="some twice"):
        recompute(pd.concat([predictions, predictions]))
    with pytest.raises(ValueError, match="found no confidence"):
        recompute(predictions.drop(columns="confidence"))
    with pytest.raises(ValueError, match="found none"):
        collect({}, "parseq")
    with pytest.raises(ValueError, match="other names than that of their average"):
        recompute(predictions.replace({"subset": {"hard": "average"}}))


def test_a_row_is_a_number():
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="expected finite numbers, found value"):
            accuracy(wrong)
    with pytest.raises(ValueError, match=r"holds 78.2, found \[0.7, 0.8\]"):  # mixed units
        accuracy(78.2, low=0.7, high=0.8)


def test_a_result_says_how_it_came_about(tmp_path, predictions):
    rows = recompute(predictions)
    data = {"data/x": {"sha256": "0" * 64, "samples": 4}}
    path = write_result(
        tmp_path / "quick" / "04_textzoom.json", rows,
        {"data": hashes.ROOT / "data" / "x", "sizes": (1, np.int64(2)),
         "rate": np.float32(0.5), "elsewhere": "/somewhere/else", "word": "a/b"},
        seed=3, data_hashes=data, wall_time=12.5, predictions=predictions, extra={"p": 0.01})
    result = read_result(path)
    document = result.document
    assert result.rows == rows and document["protocol"] == PROTOCOL
    assert document["parameters"] == {
        "data": "data/x", "sizes": [1, 2], "rate": 0.5, "elsewhere": "/somewhere/else",
        "word": "a/b"}
    assert (document["run"], document["profile"], document["seed"]) == ("04_textzoom", "quick", 3)
    assert document["data"] == data and document["wall_time"] == 12.5
    assert document["extra"] == {"p": 0.01}
    assert document["versions"]["torch"] and document["versions"]["rapidfuzz"]
    assert document["hardware"]["cpu"] and document["hardware"]["threads"] >= 1
    assert document["date"].endswith("+00:00")
    assert (document["commit"], document["dirty"]) == git_state()
    assert recompute(result.predictions()) == rows
    table = pd.read_csv(path.with_suffix(".csv"))
    assert list(table["value"]) == pytest.approx([row.value for row in rows])
    assert json.loads(table["extra"][0]) == {"correct": 2}
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "04_textzoom.csv", "04_textzoom.json", "04_textzoom.predictions.csv.gz"]


def test_swapped_or_missing_predictions_are_noticed(tmp_path, predictions):
    path = write_result(tmp_path / "a.json", recompute(predictions), {}, predictions=predictions)
    write_predictions(tmp_path / "a.predictions.csv.gz", predictions[:4])
    with pytest.raises(ResultError, match="found another file; run the notebook again"):
        read_result(path).predictions()
    (tmp_path / "a.predictions.csv.gz").unlink()
    with pytest.raises(ResultError, match="found nothing"):
        read_result(path).predictions()
    with pytest.raises(ResultError, match="saved no predictions"):
        read_result(write_result(tmp_path / "b.json", [], {})).predictions()


@pytest.mark.parametrize("change, said", [
    ({"commit": "main"}, "commit"),
    ({"rows": [{"table": "textzoom"}]}, "rows/0"),
    ({"surprise": 1}, "surprise"),
    ({"wall_time": "long"}, "wall_time"),
    ({"data": {"x": {"sha256": "abc", "samples": 1}}}, "data/x/sha256"),
])
def test_files_of_another_schema_are_refused(tmp_path, change, said):
    path = write_result(tmp_path / "a.json", [accuracy(50.0)], {})
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ResultError, match=said):
        read_result(path)


def test_bad_files_and_bad_values(tmp_path):
    with pytest.raises(ResultError, match="no such file"):
        read_result(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"rows": [')
    with pytest.raises(ResultError, match="expected JSON"):
        read_result(tmp_path / "half.json")
    for parameters in ({"rate": math.nan}, {"model": object()}):
        with pytest.raises(ResultError, match="parameters/"):
            write_result(tmp_path / "a.json", [], parameters)
    with pytest.raises(ResultError, match="seed"):
        write_result(tmp_path / "a.json", [], {}, seed="three")
    with pytest.raises(ResultError, match=r"ends in \.json"):
        write_result(tmp_path / "a.csv", [], {})
    assert [file.name for file in tmp_path.iterdir()] == ["half.json"]


def test_a_full_disk_leaves_the_last_result(tmp_path, monkeypatch):
    path = write_result(tmp_path / "a.json", [accuracy(50.0)], {})

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_flush", full)
    with pytest.raises(OSError, match="No space"):
        write_result(path, [accuracy(60.0)], {})
    assert read_result(path).rows == [accuracy(50.0)]
    assert "50.0" in (tmp_path / "a.csv").read_text()


def test_a_checkout_of_another_user_has_no_commit_and_that_is_said(tmp_path, monkeypatch, caplog):
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2; exit 128\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == (None, None)
    assert "git config --global --add safe.directory" in caplog.text


def test_git_state_is_of_this_repository_alone(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
                       cwd=tmp_path, check=True, capture_output=True)

    assert git_state(tmp_path) == (None, None)
    git("init")
    assert git_state(tmp_path) == (None, None)  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    commit, dirty = git_state(tmp_path)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "untracked").write_text("")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == (commit, True)
    (tmp_path / "inside").mkdir()
    assert git_state(tmp_path / "inside") == (None, None)


def test_published_figures_are_the_papers():
    assert published_counts() == {"easy": 1619, "medium": 1411, "hard": 1343, "average": 4373}
    assert published_accuracy("parseq_nano_ltr", "distilled", "average") == 78.23
    assert published_accuracy("abinet", "bicubic", "hard") == 42.81
    assert published_accuracy("parseq", "fine-tuned", "easy") is None
    assert published_accuracy("crnn", "bicubic", "easy") is None
    copy = published("textzoom")
    copy["easy"] = 0  # nobody changes the published figures
    assert published_accuracy("parseq", "bicubic", "easy") == 90.36
    with pytest.raises(FileNotFoundError, match=r"expected one of .*textzoom"):
        published("textzom")


def test_published_gains():
    assert published_gain("parseq_nano", "distilled", "bicubic") == pytest.approx(78.23 - 75.30)
    for method in ("TSRN", "C3-STISR"):  # of ours whichever was the best
        assert published_gain("abinet", "distilled", method) == pytest.approx(72.45 - 67.03)
    assert published_gain("abinet", "distilled", "fine-tuned") is None
    assert published_gain("ppocr", "distilled", "bicubic") is None


def test_image_quality_beside_the_published(monkeypatch):
    sets = {"easy": range(3), "hard": range(1)}  # all that is asked of them is how many they are
    found = {"easy": Quality(20.0, 0.5), "hard": Quality(16.0, 0.9)}
    monkeypatch.setattr("kdltr.results.quality.image_quality",
                        lambda enlarge, pairs: found["easy" if len(pairs) == 3 else "hard"])
    rows = [row for method in ("bicubic", "tsrn_nano")
            for row in quality_rows("tsrn_nano", method, None, sets)]
    table = quality_beside_published(rows)
    assert list(table.loc[("tsrn_nano", "tsrn_nano")]) == pytest.approx([19, 0.6, 21.42, 0.7691])
    assert table["PSNR, published"].tolist() == [20.35, 21.42]
    assert [row.n for row in rows[:3]] == [3, 1, 4]
    assert len(quality_rows("tsrn_nano", "bicubic", None, {"easy": range(3)})) == 2  # no average


def test_measured_beside_published():
    rows = [accuracy(89.0, low=87.0, high=91.0), accuracy(92.0, method="bicubic"),
            accuracy(70.0, method="fine-tuned"), accuracy(89.0, recogniser="parseq_nano"),
            accuracy(89.0, subset="hard"), accuracy(95.0, metric="1-NED")]
    table = beside_published(rows, same_data=True)
    assert list(table["verdict"]) == [
        "reproduced", "not reproduced", "", "different model", "different data"]
    assert table["difference"][0] == pytest.approx(89.0 - 90.36)
    assert (table["published"][0], table["low"][0]) == (90.36, 87.0)
    assert np.isnan(table["published"][2]) and np.isnan(table["difference"][2])
    other = beside_published(rows, same_data=False)["verdict"]
    assert set(other) == {"different data", ""}
    with pytest.raises(ValueError, match=r"found \[1619, 1620\]"):
        beside_published([accuracy(1.0, seed=1), accuracy(1.0, seed=2, n=1620)], same_data=True)
    assert len(beside_published([], same_data=True)) == 0


def test_benchmarks_stand_beside_what_the_teachers_state_on_the_same_variant():
    def row(subset, method="teacher on HR", recogniser="matrn", n=1015):
        return Row("benchmarks", recogniser, method, subset, "accuracy", 95.0, n=n)

    rows = [row("IC13 1015"), row("IC13 857", n=857), row("IC13 1095", n=1095),
            row("IC13 1015", "distilled"), row("IC13 1015", recogniser="matrn_nano"),
            row("stand-in: curved"), row("CUTE80 288", recogniser="parseq", n=287)]
    table = beside_published(rows, same_data=True, figure=benchmark_figure)
    assert list(table["verdict"]) == [
        "reproduced", "not reproduced", "", "", "different model", "", "different data"]
    assert list(table["published"].dropna()) == [95.8, 97.9, 95.8, 98.61]


def test_the_wide_table_keeps_the_order_of_methods_that_recognisers_share_in_part():
    order = [("a", "bicubic"), ("a", "distilled"), ("b", "bicubic"), ("b", "other"),
             ("b", "distilled")]  # fmt: skip
    rows = [Row("textzoom", *names, subset, "accuracy", 50.0, n=2)
            for names in order for subset in ("hard", "easy")]  # fmt: skip
    table = wide(rows)
    assert list(table.index) == order and list(table.columns) == ["hard", "easy"]
