"""`kdltr evaluate`: counts as `kdltr.evaluation` does, on pairs and on words."""

import numpy as np
import pandas as pd
import pytest
import torch

from kdltr.apps.command import main
from kdltr.checkpoint import save_weights
from kdltr.data.lmdb import write_pairs, write_words
from kdltr.data.loader import load_pairs
from kdltr.data.opening import lmdb_to_folder
from kdltr.evaluation.evaluate import UpsampleBicubic, evaluate
from kdltr.evaluation.lines import error_rates
from kdltr.generator.lines import GeneratedLines, write_lines, write_small
from kdltr.generator.synthetic import generate_files
from kdltr.models import create_model
from kdltr.models.weights import load_recogniser
from kdltr.superres import create_upscaler, load_two_stage, save_upscaler


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """An LMDB of twelve pairs, and one of single words."""
    folder = tmp_path_factory.mktemp("words")
    write_pairs(folder / "pairs", generate_files("test/easy", 12, seed=1))
    write_words(folder / "words", ((hr, word) for hr, _, word in
                                   generate_files("test/easy", 5, seed=2)))
    return folder


def counted(text: str) -> dict[str, list[str]]:
    """The cells of each line of the table, by the data set."""
    lines = [line.split() for line in text.split("\n\n")[0].splitlines()[1:]]
    return {line[0]: line[1:] for line in lines}


def test_student_teacher_and_what_enlarges_are_counted_as_the_library_does(words, capsys, tmp_path):
    pairs, teacher = str(words / "pairs"), load_recogniser("parseq_nano")
    readers = {("parseq_nano_ltr",): load_recogniser("parseq_nano_ltr"),
               ("parseq_nano",): teacher, ("parseq_nano", "--bicubic"): UpsampleBicubic(teacher)}
    torch.manual_seed(3)
    save_upscaler(network := str(tmp_path / "tsrn.safetensors"), create_upscaler("tsrn_nano"))
    enlarged = load_two_stage(network, teacher)
    readers["parseq_nano", "--upscaler", network] = enlarged
    for (name, *options), reader in readers.items():
        assert main(["evaluate", name, pairs, *options]) == 0
        found = counted(capsys.readouterr().out)
        assert found[pairs][:2] == ["12", str(evaluate(reader, pairs).correct)]
        assert list(found) == [pairs]  # one set has no average
    readings = tmp_path / "readings.csv"  # the last one's, which hardly reads anything right
    assert main(["evaluate", "parseq_nano", pairs, "--upscaler", network, "--predictions",
                 str(readings)]) == 0
    said = pd.read_csv(readings, keep_default_na=False)["reading"].astype(str)
    assert list(said) == list(evaluate(enlarged, pairs).predictions["reading"])


def test_a_student_is_not_enlarged_for(words, capsys):
    assert main(["evaluate", "parseq_nano_ltr", str(words / "pairs"), "--bicubic"]) == 2
    assert "parseq_nano_ltr reads them as they are" in capsys.readouterr().err
    assert main(["evaluate", "parseq_nano_ltr", str(words / "pairs"), "--upscaler", "any"]) == 2
    assert "--upscaler enlarges LR images for a teacher" in capsys.readouterr().err


def test_several_sets_have_an_average_and_every_reading_can_be_kept(words, capsys, tmp_path):
    lmdb_to_folder(words / "pairs", tmp_path / "folder")
    sets = [str(tmp_path / "folder"), str(words / "words")]
    out = tmp_path / "readings.csv"
    assert main(["evaluate", "parseq_nano_ltr", *sets, "--predictions", str(out)]) == 0
    found = counted(capsys.readouterr().out)
    assert [cells[0] for cells in found.values()] == ["12", "5", "17"]
    assert int(found["average"][1]) == sum(int(found[name][1]) for name in sets)
    readings = pd.read_csv(out, keep_default_na=False)
    assert readings["subset"].value_counts().to_dict() == {sets[0]: 12, sets[1]: 5}
    assert int(readings["correct"].sum()) == int(found["average"][1])


def test_a_set_called_average_is_not_their_total(words, capsys, tmp_path, monkeypatch):
    lmdb_to_folder(words / "pairs", tmp_path / "average")
    monkeypatch.chdir(tmp_path)
    sets = ["average", str(words / "words")]
    assert main(["evaluate", "parseq_nano_ltr", *sets, "--predictions", "readings.csv"]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["12", "5", "17"]
    assert len(pd.read_csv("readings.csv")) == 17


def test_data_that_are_not_there_are_said(tmp_path, capsys):
    assert main(["evaluate", "parseq_nano_ltr", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert "found nothing there" in error and len(error.splitlines()) == 1


def test_lines_are_read_in_the_size_they_are_stored_in_and_counted_as_lines(tmp_path, capsys):
    sharp = write_lines(tmp_path / "sharp", GeneratedLines("train", 4, 1), (48, 512))
    pairs = str(write_small(tmp_path / "pairs", sharp, 4, 1.0, seed=1))
    teacher = load_recogniser("dan_nano")
    torch.manual_seed(0)
    student = create_model("dan_nano_ltr", scale=4).init_from_teacher(teacher)
    save_weights(student, file := tmp_path / "student.safetensors", {"model": "dan_nano_ltr"})
    loaded = load_pairs(pairs, (48, 512), (12, 128))
    readers = {("dan_nano",): teacher, (str(file),): student,
               ("dan_nano", "--bicubic"): UpsampleBicubic(teacher, (12, 128))}
    for (name, *options), reader in readers.items():
        assert main(["evaluate", name, pairs, *options]) == 0
        read = evaluate(reader, loaded).predictions
        assert str(error_rates(read["label"], read["reading"])) in capsys.readouterr().out
    assert main(["evaluate", "dan_nano", str(sharp)]) == 0
    rates = capsys.readouterr().out.splitlines()[-1]
    assert "WER" in rates

    lmdb_to_folder(sharp, spaced := tmp_path / "spaced")  # labels as people write them
    text = (spaced / "labels.tsv").read_text(encoding="utf-8")
    (spaced / "labels.tsv").write_text(text.replace("|", " "), encoding="utf-8")
    assert main(["evaluate", "dan_nano", str(spaced)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == rates


def test_readings_of_lines_are_kept_where_no_label_has_a_character(tmp_path, capsys):
    write_words(tmp_path / "lines", [(np.zeros((48, 512, 3), np.uint8), "")])
    kept = tmp_path / "readings.csv"
    assert main(["evaluate", "dan_nano", str(tmp_path / "lines"), "--predictions", str(kept)]) == 2
    assert "found no characters in them" in capsys.readouterr().err and kept.is_file()
