"""What the paper states for a change of its method, and the figure of differences."""

import pandas as pd
import pytest

from kdltr.results import ablation_figure, published, published_counts, published_order
from kdltr.results.figures import plots
from kdltr.train import DistillConfig


def figure(recogniser="abinet", subset="average", **changes):
    return ablation_figure(recogniser, DistillConfig(output_dir="x", **changes).to_dict(), subset)


@pytest.mark.parametrize(("method", "name"), [("kd-ltr", "Ours"), ("dfd", "DFD"), ("dld", "DLD"),
                                              ("askd", "A-SKD"), ("unified", "Unified")])
def test_other_distillers_have_the_supplement_s_figures(method, name):
    paper = published("kd_baselines").set_index("method").loc[name]
    counts = published_counts()
    for subset in ("easy", "medium", "hard", "average"):
        assert figure(subset=subset, method=method) == (paper[subset], counts[subset])
        assert figure("abinet_nano", subset, method=method)[0] == paper[subset]


def test_loss_weights_have_their_figures():
    for row in published("loss_weights").itertuples():
        weights = {"visual": 4, "semantic": 2, "cross_entropy": row.lambda_ce,
                   "soft_logits": row.lambda_kl}
        assert figure(weights=weights)[0] == row.average
    assert figure(weights={"visual": 1, "semantic": 2, "cross_entropy": 0.025,
                           "soft_logits": 15}) == (None, None)


@pytest.mark.parametrize("changes", [
    {"recogniser": "parseq"}, {"method": "hinton"}, {"losses": {"visual_mask": "none"}},
    {"start": "random"}, {"student_input": "upsampled"}, {"subset": "svt"},
    {"teacher": "abinet", "student": "abinet_ltr", "model": {"visual_stage": 2}},
])  # fmt: skip
def test_where_nothing_is_stated_there_is_no_figure(changes):
    assert figure(**changes) == (None, None)


def test_differences_stand_sorted_with_what_is_published():
    table = pd.DataFrame({"row": ["a", "b$", "c"], "measured": [1.0, -2.0, 0.5],
                          "low": [0.0, -3.0, 0.0], "high": [2.0, -1.0, 1.0],
                          "published": [float("nan"), -0.8, float("nan")]})
    (axes,) = plots.differences(table).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b\\$", "c", "a"]
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
    assert [x for name, x in lines.items() if "published" in name] == [[-0.8]]
    none = plots.differences(table.assign(published=float("nan"))).axes[0]
    assert not any("published" in line.get_label() for line in none.get_lines())


def test_rows_stand_in_the_order_that_the_supplement_states():
    given = {"ours": {}, "DLD": {"method": "dld"}, "alone": {"method": "fine-tuning"},
             "other weights": {"weights": {"visual": 1}}, "A-SKD": {"method": "askd"}}
    rows = {name: DistillConfig(output_dir="x", **changes).to_dict()
            for name, changes in given.items()}
    paper = published("kd_baselines").set_index("method")["average"]
    found = published_order("abinet_nano", rows)
    assert [*found] == ["A-SKD", "DLD", "ours"]
    assert [*found.values()] == [paper["A-SKD"], paper["DLD"], paper["Ours"]]
    assert published_order("abinet", {"alone": rows["alone"]}) == {}
    assert published_order("ppocr", rows) == {}  # the paper says nothing of it


@pytest.mark.parametrize("changes", [
    {"path_score": "log_normalised"},
    {"student_model": {"dropout": 0.5}},
    {"method": "dld", "weights": {"dld_sequence": 0.0}},
    {"method": "askd", "weights": {"askd_attention": 0.0, "askd_attention_masked": 1.0}},
])
def test_where_something_else_is_changed_there_is_no_figure(changes):
    settings = DistillConfig("x", teacher="abinet", student="abinet_ltr", **changes).to_dict()
    assert ablation_figure("abinet", settings, "average") == (None, None)
