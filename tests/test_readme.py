"""README says what is true: its table comes from results/reference/, its links lead somewhere."""

import re
from pathlib import Path

import pytest

from kdltr.bench.counts import AS_PUBLISHED, IN_FULL, costs
from kdltr.data.folder import WordFolder
from kdltr.evaluation.scores import PROTOCOL
from kdltr.generator.synthetic import generate_files
from kdltr.models import list_models
from kdltr.results import Row, read_result, write_result
from kdltr.results.readme import (
    ablations_table,
    cost_table,
    lines_table,
    main_table,
    photographs_table,
    refreshed,
    stages_table,
)
from kdltr.train import DistillConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_the_one_of_the_reference_results():
    assert "<!-- table: results/reference/quick/04_textzoom.json -->" in README
    assert (ROOT / "results/reference/quick/04_textzoom.json").is_file()
    assert refreshed(README, ROOT) == README, "run `make publish PROFILE=quick`"


def test_a_table_whose_result_is_not_there_stays(tmp_path):
    text = "<!-- table: no/04_textzoom.json -->\n| a |\n<!-- end of table -->"
    assert refreshed(text, tmp_path) == text


def test_several_seeds_are_one_line_of_the_main_table(tmp_path):
    rows = [Row("textzoom", "parseq_nano", "distilled", subset, "accuracy", 50.0 + 10 * seed, n=100,
                low=42.0 + 10 * seed, high=58.0 + 10 * seed, seed=seed)
            for seed in (1, 2) for subset in ("easy", "medium", "hard", "average")]
    (line,) = main_table(read_result(write_result(tmp_path / "04_textzoom.json", rows, {}))
                         ).splitlines()[2:3]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:7] == ["65.0"] * 4 + ["52.0 to 78.0"]  # the widest


def test_test_sets_of_one_s_own_are_a_main_table_too(tmp_path):
    rows = [Row("textzoom", "parseq_nano", "distilled", subset, "accuracy", value, n=10,
                low=value - 5, high=value + 5)
            for subset, value in (("easy", 50.0), ("mine", 70.0), ("average", 60.0))]
    table = main_table(read_result(write_result(tmp_path / "04_textzoom.json", rows, {})))
    assert [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")][2:6] == [
        "easy", "mine", "average", "95 % interval"]
    assert "| 50.0 | 70.0 | 60.0 | 55.0 to 65.0 |" in table


def test_it_says_once_how_words_are_counted():
    assert " ".join(README.split()).count(PROTOCOL) == 1 and "### What counts as read" in README


def test_every_marked_result_is_there():
    marked = re.findall(r"<!-- table: ([^\s#]+)(?:#\S+)? -->", README)
    assert len(marked) > 1 and not [path for path in marked if not (ROOT / path).is_file()]


def test_the_table_of_costs_has_the_published_sizes_and_the_figures_of_the_result():
    result = ROOT / "results/reference/bench/07_efficiency.json"
    lines = cost_table(read_result(result)).splitlines()[2:5]
    assert [line.split("|")[1].strip() for line in lines] == ["abinet", "matrn", "parseq"]
    (step,) = [row.value for row in read_result(result).rows
               if (row.table, row.recogniser, row.subset, row.metric, row.method)
               == ("bench", "parseq", "training step", "total", "kdltr")]
    assert lines[2].split("|")[2].strip() == f"{step:.0f} ms"


def test_the_table_of_two_stages_has_every_network_and_its_ratio_to_the_student():
    result = read_result(ROOT / "results/reference/bench/07_efficiency.json")
    cells = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in stages_table(result).splitlines() if line.startswith("|")]
    head, _, student, *networks = cells
    assert {line[0] for line in cells[2:]} == {"parseq"}
    assert [line[1] for line in networks] == [f"{name}, teacher"
                                              for name in ("TSRN", "STT", "TATT", "C3-STISR")]
    assert student[1] == "student" and student[3] == "–"
    (ratio,) = [row.value for row in result.rows if row.subset == "reading, batch 1"
                and (row.recogniser, row.method) == ("parseq", "STT ÷ kdltr")]
    assert networks[1][head.index("one image, ÷ student")] == f"{ratio:.2f} ×"


@pytest.mark.parametrize("sets", [1, 2])
def test_the_table_of_photographs_counts_words_and_leaves_out_what_was_not_measured(tmp_path, sets):
    table = "photographs at 16 × 64"
    names = ["crops", "signs"][:sets] + (["average"] if sets > 1 else [])
    rows = [Row(table, "parseq_nano", "distilled", name, "accuracy", 50, n=8, low=22, high=78,
                extra={"correct": 4}) for name in names]
    rows += [Row("time", "parseq_nano", "distilled", "a word", "milliseconds", 9.44, "ms"),
             Row("measured elsewhere", "Other", "x", "crops", "accuracy", 90, n=10)]
    lines = photographs_table(read_result(write_result(tmp_path / "10_photographs.json", rows, {})))
    head, _, line, _, caption = lines.splitlines()[:5]
    titles = ["reader", "method", *names[:2], *(["all"] if sets > 1 else []), "95 % interval",
              "one word"]
    assert [cell.strip() for cell in head.strip("|").split("|")] == titles
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "parseq_nano", "distilled", *["4 of 8"] * len(names), "22 to 78 %", "9.4 ms"]
    assert caption.startswith("Photographs at 16 × 64")


def test_the_table_of_lines_has_a_line_a_method_and_says_how_errors_are_counted(tmp_path):
    rows = [Row("handwriting", "dan_nano", method, "test", metric, value, n=9, low=value - 1,
                high=value + 2, extra={"counted": "case matters"})
            for method, value in (("bicubic", 80.0), ("distilled", 60.0))
            for metric in ("WER", "CER")]
    written = write_result(tmp_path / "13_handwriting.json", rows, {})
    head, _, _, line, _, caption = lines_table(read_result(written)).splitlines()[:6]
    assert head == "| method | WER | CER |"
    assert line == "| distilled | 60.0 (59.0 to 62.0) | 60.0 (59.0 to 62.0) |"
    assert caption.startswith("dan_nano, 9 lines") and caption.endswith("case matters.")


def test_the_table_of_ablations_has_the_mean_of_the_seeds_and_the_claim_against_the_first_row():
    result = read_result(ROOT / "results/reference/textzoom_ablations/12_ablations.json")
    cells = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in ablations_table(result).splitlines() if line.startswith("|")]
    assert cells[0] == ["row", "words read, %", "seeds", "against default", "p"]
    lines = {line[0]: line[1:] for line in cells[2:]}
    assert lines["default"][2:] == ["–", "–"]
    found = [row.value for row in result.rows
             if (row.method, row.subset, row.metric) == ("DLD", "average", "accuracy")]
    assert len(found) == 3 and lines["DLD"][:2] == [f"{sum(found) / 3:.1f}", "3"]
    (claim,) = [one for one in result.document["extra"]["claims"]
                if one["claim"] == "abinet_nano: Unified reads more words than default"]
    assert lines["Unified"][2].replace("−", "-").startswith(f"{claim['measured']:.1f} (")
    assert lines["Unified"][3] == f"{claim['p']:.2g}"


def test_the_lines_that_read_a_word_run(tmp_path, monkeypatch, capsys):
    lines = README.partition("## From Python")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    _, lr, word = next(iter(generate_files("test/easy", 1, seed=5)))
    (tmp_path / "word.png").write_bytes(lr)
    exec(compile(lines, "README.md", "exec"), {})
    path, text, confidence = capsys.readouterr().out.split()
    assert path == "word.png" and text.lower() == word.lower() and 0 < float(confidence) <= 1


def test_labels_of_icdar_are_written_as_ours(tmp_path, monkeypatch):
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(import csv, pandas\n.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("my-words").mkdir()
    Path("my-words/gt.txt").write_text('word_1.png, "a \\"b\\", c"\nword_2.png, "007"\n'
                                       'word_3.png, "NA"\n', encoding="utf-8-sig")
    exec(lines, {})
    assert WordFolder("my-words").labels == ['a "b", c', "007", "NA"]


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_links(target):
    assert (ROOT / target).exists()


def test_make_targets_and_profiles_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE), target
    for profile in {"ci", "paper", "weights", *re.findall(r"kdltr (?:run|report) (\w+)", README)}:
        assert (ROOT / "params" / profile / "workflow.yaml").is_file()


def test_the_python_examples_use_names_that_exist():
    for name in re.findall(r"create_model\(\"(\w+)\"", README):
        assert name in list_models()
    settings = set(DistillConfig.__dataclass_fields__)
    for call in re.findall(r"DistillConfig\((.*?)\n?\)", README, re.DOTALL):
        assert set(re.findall(r"(\w+)=", call)) <= settings


def test_the_costs_are_those_counted():
    """Billions of multiply-adds of the students at the published sizes, both ways of counting."""
    rows = [row for name in ("abinet", "matrn", "parseq") for row in costs(name)
            if row.method == "student"]
    for metric, text in (
        (AS_PUBLISHED, "take {} G (ABINet), {} G (MATRN) and {} G (PARSeq"),
        (IN_FULL, "they are {}, {} and {} G"),
    ):
        counted = [f"{row.value / 1e9:.2f}" for row in rows if row.metric == metric]
        assert text.format(*counted) in " ".join(README.split()), counted
