"""The page: complete, self-contained, and honest about other data."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from kdltr import compare, plots, report
from kdltr.results import ResultError, Row, collect, recompute, write_result
from kdltr.scores import combine, score

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Checks that tags are closed in order; keeps table cells and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.addresses = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td" and data.strip():
            self.cells.append(data.strip())


def predictions(pattern):
    """Scores of a method that reads word i right where `pattern` has a 1."""
    return score(pd.DataFrame({
        "index": range(len(pattern)), "label": "ab", "image": "00000000", "confidence": 0.5,
        "reading": ["ab" if c == "1" else "x" for c in pattern],
    }))  # fmt: skip


def write_profile(folder, same_data=False, data="data/generated/toy/test/easy"):
    """A profile's folder with the main result, another one, a figure and a notebook."""
    scores = {"bicubic": {"easy": predictions("1000"), "hard": predictions("0000")},
              "distilled": {"easy": predictions("1110"), "hard": predictions("1000")}}  # fmt: skip
    saved = collect(scores, "parseq_nano")
    whole = {method: combine(parts) for method, parts in scores.items()}
    claims = [compare.claim("<distilled> wins", whole["distilled"], whole["bicubic"], 2.93, 4373,
                            same_data)]  # fmt: skip
    write_result(
        folder / "04_textzoom.json", recompute(saved), {"recipe": {"a": 1}}, 7,
        {data: {"sha256": "0" * 64, "samples": 4}}, 61.0, saved,
        extra={"claims": claims, "same_data": same_data},
    )  # fmt: skip
    pairs = Row("data", "-", "-", "train1", "pairs", 9, "count")
    write_result(folder / "01_data.json", [pairs], {})
    image = np.zeros((8, 16, 3), np.uint8)
    plots.save(plots.contact_sheet([(image, image, "w")]),
               folder / "figures/04_textzoom-examples.png", 'Words & "signs"')  # fmt: skip
    (folder / "notebooks").mkdir()
    (folder / "notebooks/04_textzoom.ipynb").write_text("{}")


def test_the_page_holds_everything_and_needs_nothing_else(tmp_path):
    write_profile(tmp_path)
    text = report.render(tmp_path, "toy")
    page = Page(text)
    outside = [a for a in page.addresses if not a.startswith(("#", "data:image/png;base64,"))]
    assert outside == ["https://arxiv.org/abs/2308.02770", "notebooks/04_textzoom.ipynb"]
    assert "<link" not in text and "@import" not in text and "<script src" not in text
    assert "&lt;distilled&gt; wins" in text and "Words &amp; &#34;signs&#34;" in text
    assert str(tmp_path) not in text
    assert text.index('id="04_textzoom"') < text.index('id="01_data"')  # the main table first
    for wanted in ("75.00 [30.1–95.4]", "published", "78.23", "9"):
        assert wanted in page.cells
    for wanted in ("prefers-color-scheme: dark", "@media print", "viewport", "aria-sort"):
        assert wanted in text


def test_generated_data_are_called_so_beside_the_published_figures(tmp_path):
    write_profile(tmp_path)
    page = report.render(tmp_path, "toy")
    assert "synthetic" in page and "Different data." in page
    assert set(re.findall(r"different data(?=</td>)", page)) == {"different data"}


def test_textzoom_itself_has_no_such_notice(tmp_path):
    write_profile(tmp_path, same_data=True, data="data/textzoom/test/easy")
    assert "Different data." not in report.render(tmp_path, "toy")


def test_numbers_sort_as_numbers_and_gaps_last():
    assert report.number(-1.234, sign=True) == report.Cell("−1.23", -1.234)
    gap = report.number(None)
    assert gap.text == "–" and not gap.number and gap.key == "~"


def test_an_empty_folder_is_an_error_that_says_what_to_do(tmp_path, monkeypatch, capsys):
    with pytest.raises(ResultError, match="run the profile first"):
        report.render(tmp_path, "toy")
    monkeypatch.setenv("KDLTR_ROOT", str(tmp_path))
    assert report.main(["--profile", "toy"]) == 1
    assert "run the profile first" in capsys.readouterr().err


def test_the_command_writes_the_page(tmp_path, monkeypatch):
    folder = tmp_path / "results/toy"
    write_profile(folder)
    monkeypatch.setenv("KDLTR_ROOT", str(tmp_path))
    assert report.main(["--profile", "toy"]) == 0
    Page((folder / "report.html").read_text(encoding="utf-8"))
