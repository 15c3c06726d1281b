"""Figures: what is drawn, not how it looks."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kdltr.results.figures import plots, style

IMAGE = np.zeros((8, 16, 3), np.uint8)


def texts(figure):
    """Every text of a figure, in order."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_caption_travels_in_the_file(tmp_path):
    sheet = plots.contact_sheet([(IMAGE, IMAGE, "a$b")])
    shown = plots.save(sheet, tmp_path / "a/b.png", "Wörter, σ = 2")
    with Image.open(tmp_path / "a/b.png") as image:
        assert image.info["Description"] == "Wörter, σ = 2"
    assert shown.data == (tmp_path / "a/b.png").read_bytes()


def test_a_saved_figure_has_few_colours_and_none_is_far_off(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (16, 64, 3), np.uint8)
    row = {"lr": noise, "hr": noise // 2, "label": "cat", "distilled": "cot"}
    figure = plots.examples([row], ["distilled"])
    figure.savefig(tmp_path / "full.png", dpi=plots.DPI)
    plots.save(figure, tmp_path / "saved.png", "")
    full, saved = (Image.open(tmp_path / f"{name}.png") for name in ("full", "saved"))
    assert saved.mode == "P" and saved.size == full.size
    off = np.abs(np.subtract(full.convert("RGB"), saved.convert("RGB"), dtype=int))
    assert off.max() < 32 and off.mean() < 4
    sizes = [(tmp_path / f"{name}.png").stat().st_size for name in ("full", "saved")]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_contact_sheet_shows_lr_left_of_hr():
    bright = np.full((4, 8, 3), 255, np.uint8)
    figure = plots.contact_sheet([(bright, IMAGE, "one")] * 3, columns=2, title="easy")
    assert len(figure.axes) == 2 * 2 * 2  # two rows of two pairs
    lr, hr = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert lr.max() == 0 and hr.min() == 255


def test_label_statistics_count_every_word_and_character():
    table, figure = plots.label_statistics(["Ab", "b", "b1"])
    assert table.query("kind == 'length'").set_index("value")["count"].to_dict() == {"1": 1, "2": 2}
    assert dict(table.query("kind == 'character'")[["value", "count"]].to_numpy())["b"] == 3
    assert len(figure.axes[0].patches) == 2


def test_accuracy_bars_have_a_bar_for_each_row_and_their_intervals():
    table = pd.DataFrame(
        [("a", "easy", 0.5, 0.4, 0.6), ("a", "hard", 0.3, 0.2, 0.4), ("b", "easy", 0.7, 0.6, 0.8),
         ("b", "hard", 0.0, 0.0, 0.1)],
        columns=["method", "subset", "accuracy", "low", "high"],
    ).assign(recogniser="parseq")  # fmt: skip
    axes = plots.accuracy_bars(table).axes[0]
    assert sorted(bar.get_height() for bar in axes.patches) == [0.0, 0.3, 0.5, 0.7]
    ends = [y for lines in axes.collections for part in lines.get_segments() for y in part[:, 1]]
    assert min(ends) == 0.0 and max(ends) == pytest.approx(0.8)


def test_accuracy_bars_have_a_panel_for_each_recogniser_even_if_a_method_is_missing():
    table = pd.DataFrame(
        [("parseq", "a", 0.5), ("parseq", "b", 0.4), ("abinet", "a", 0.3)],
        columns=["recogniser", "method", "accuracy"],
    ).assign(subset="easy", low=0.1, high=0.9)
    figure = plots.accuracy_bars(table)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["parseq", "abinet"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_bars_of_ten_methods_are_all_there_in_colours_of_their_own():
    table = pd.DataFrame({"method": list("abcdefghij"), "accuracy": np.arange(1, 11) / 20})
    table = table.assign(recogniser="parseq", subset="easy", low=0.0, high=0.9)
    bars = plots.accuracy_bars(table).axes[0].patches
    assert [bar.get_height() for bar in bars] == list(table["accuracy"])
    assert len({bar.get_facecolor() for bar in bars}) == 10


def test_examples_colour_what_is_wrong():
    row = {"lr": IMAGE, "hr": IMAGE, "label": "cat", "bicubic": "cot", "distilled": "cat"}
    figure = plots.examples([row], ["bicubic", "distilled"])
    assert "".join(texts(figure)) == "catcotcat"
    wrong = style.WRITTEN[False]["color"]
    red = [t.get_text() for axes in figure.axes for t in axes.texts if t.get_color() == wrong]
    assert red == ["o"]


def test_examples_say_how_sure_a_reading_is_if_asked():
    row = {"lr": IMAGE, "hr": IMAGE, "label": "cat", "distilled": "cat",
           "confidence": {"distilled": 0.876}}  # fmt: skip
    assert texts(plots.examples([row], ["distilled"], confidence=True))[-1] == "0.88"
    assert "0.88" not in texts(plots.examples([row], ["distilled"]))


def test_loss_curves_leave_out_terms_that_are_zero():
    metrics = pd.DataFrame({"step": [1, 2], "total": [2.0, 1.0]}).assign(
        weighted_visual=1.0, weighted_semantic=0.0, weighted_soft_logits=1.0
    )
    validation = pd.DataFrame({"step": [2], "accuracy": [0.5]})
    figure = plots.loss_curves(metrics, validation)
    assert [line.get_label() for line in figure.axes[0].lines] == ["visual", "soft logits", "total"]
    assert len(figure.axes) == 2
    assert len(plots.loss_curves(metrics).axes) == 1
    for axes in figure.axes:  # there is no step 1.25
        assert all(tick == int(tick) for tick in axes.get_xticks())


def test_curves_of_a_run_are_read_with_and_without_validation(tmp_path):
    pd.DataFrame({"step": [1], "total": [1.0]}).to_csv(tmp_path / "metrics.csv")
    assert plots.read_curves(tmp_path)[1] is None
    pd.DataFrame({"step": [1], "n": [8], "correct": [2]}).to_csv(tmp_path / "validation.csv")
    assert plots.read_curves(tmp_path)[1]["accuracy"].tolist() == [0.25]


def test_live_curves_are_redrawn_from_the_rows_of_the_callback(monkeypatch):
    shown = []

    def handle(*arguments, **options):
        return type("Handle", (), {"update": lambda self, image: shown.append(image.data)})()

    monkeypatch.setattr(plots, "display", handle)
    on_log = plots.live_loss_curves(every=0.0)
    on_log({"step": 1, "total": 2.0})
    on_log({"step": 2, "total": 1.0})
    assert len(shown) == 2 and all(png.startswith(b"\x89PNG") for png in shown)


def test_a_learning_curve_shows_only_measured_accuracies():
    history = pd.DataFrame({"words": [1, 2, 3], "loss": [3, 2, 1], "accuracy": [None, 0.5, None]})
    figure = plots.learning_curve(history)
    assert figure.axes[1].lines[0].get_xydata().tolist() == [[2.0, 0.5]]
