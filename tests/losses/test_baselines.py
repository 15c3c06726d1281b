"""Other distillers: reference values and gradients, DLD's search, and the criterion of a method."""

import heapq
import itertools
import json

import pytest
import torch
from torch.testing import assert_close

from kdltr.losses.baselines import (
    BASELINES,
    TERMS,
    BaselineCriterion,
    ChannelSpatialMaps,
    dld_path,
    map_distance,
)
from kdltr.losses.baselines.terms import COMPARISONS
from kdltr.models.output import ModelOutput
from tests.losses.conftest import GOLDEN, load

FIELDS = ("logits", "semantic", "visual", "attention")
TOTALS = {method: f"{method}_total" for method in ("dfd", "askd", "unified", "dld")}


@pytest.fixture(scope="module")
def reference():
    return load("kd_baselines.npz")


def outputs(reference):
    return [
        ModelOutput(*(reference[f"{field}_{who}"].clone().requires_grad_() for field in FIELDS))
        for who in ("student", "teacher")
    ]


def agrees(reference, name, compute):
    """Value, gradient norm over all of the student's outputs, and no gradient to the teacher."""
    student, teacher = outputs(reference)
    value = compute(student, teacher)
    value.backward()
    gradients = [getattr(student, field).grad for field in FIELDS]
    norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
    assert_close(value, reference[f"{name}_value"], rtol=1e-9, atol=0)
    assert_close(norm, reference[f"{name}_grad_norm"], rtol=1e-9, atol=0)
    assert all(getattr(teacher, field).grad is None for field in FIELDS)


@pytest.mark.parity
@pytest.mark.parametrize("name", TERMS)
def test_a_term_agrees(reference, name):
    rest = reference["labels"], reference["lengths"]
    agrees(reference, name, lambda student, teacher: TERMS[name](student, teacher, *rest))


@pytest.mark.parity
@pytest.mark.parametrize(("method", "name"), TOTALS.items())
def test_a_method_s_total_agrees(reference, method, name):
    criterion, rest = BaselineCriterion(method), (reference["labels"], reference["lengths"])
    assert not list(criterion.parameters())
    agrees(reference, name, lambda *models: criterion(*models, *rest)["total"])


@pytest.mark.parity
def test_channel_and_spatial_maps_agree(reference):
    from fill import fill_state_dict

    def maps_of(who, features):
        heads = ChannelSpatialMaps(128)
        named = {f"{who}_cbam.{name}": value for name, value in heads.state_dict().items()}
        if who == "student":
            shapes = {name: list(value.shape) for name, value in named.items()}
            assert shapes == json.loads((GOLDEN / "kd_cbam.keys.json").read_text())
        filled = fill_state_dict(named)
        heads.load_state_dict({k.removeprefix(f"{who}_cbam."): v for k, v in filled.items()})
        maps = heads.double()(features)
        for kind, found in zip(("channel", "spatial"), maps, strict=True):
            assert_close(found, reference[f"askd_{kind}_{who}"], rtol=1e-9, atol=1e-12)
        return maps

    def compute(student, teacher):
        return map_distance(maps_of("student", student.visual),
                            maps_of("teacher", teacher.visual.detach()))

    agrees(reference, "askd_cbam", compute)


def test_every_reference_is_compared(reference):
    named = {name.removesuffix("_value") for name in reference if name.endswith("_value")}
    assert named == {*TERMS, *TOTALS.values(), "askd_cbam"}


@pytest.mark.parity
def test_the_search_finds_the_published_paths(reference):
    found = dld_path(reference["dld_search_probabilities"].float())
    assert torch.equal(found, reference["dld_search_paths"])
    found = dld_path(reference["logits_teacher"].softmax(-1))
    for i, path in enumerate(found):
        assert torch.equal(path[path >= 0], reference[f"dld_path_{i}"])


def search_word(probabilities):
    """DLD's search of one word by a priority queue."""
    steps, order = len(probabilities), itertools.count()
    queue, queued = [(-0.0, next(order), 0.0, ())], 1
    while queued <= 2000:
        _, _, total, path = heapq.heappop(queue)
        if (path and path[-1] == 0) or len(path) == steps:
            return path
        p = probabilities[len(path)].double()
        for character in p.sort(descending=True, stable=True).indices[:5].tolist():
            grown = total + p[character].item()
            entry = (-grown / (len(path) + 1 + 1e-6), next(order), grown, (*path, character))
            heapq.heappush(queue, entry)
        queued += 4
    return min(queue)[-1]


def test_the_search_is_that_of_a_queue_where_words_do_not_end_or_fill_it():
    generator = torch.Generator().manual_seed(0)
    sharpness = torch.tensor([0.0, 0.5, 1.0, 2.0, 4.0, 8.0]).repeat(4)[:, None, None]
    sharpness = sharpness.expand(-1, 9, -1).clone()
    sharpness[18:, :, 0] = 6 * 0.5 ** torch.arange(9)  # less and less sure: short prefixes lead
    p = (sharpness * torch.randn(24, 9, 12, generator=generator)).softmax(-1)
    p[6:12, :, 0] = p[18:, :, 0] = 0.0  # never an end token
    expected = [search_word(word) for word in p]
    assert {len(path) == 9 and path[-1] != 0 for path in expected} == {True, False}
    assert any(len(path) < 9 and path[-1] != 0 for path in expected)  # the queue was full
    for path, found in zip(expected, dld_path(p).tolist(), strict=True):
        assert tuple(c for c in found if c >= 0) == path
        assert found[len(path):] == [-1] * (9 - len(path))


def case(permutations=None, steps=5):
    generator = torch.Generator().manual_seed(1)
    lead = (4, steps) if permutations is None else (permutations, 4, steps)
    made = []
    for _ in range(2):
        logits, semantic, visual, attention = (
            torch.randn(shape, generator=generator)
            for shape in ((*lead, 7), (*lead, 6), (4, 3, 2, 4), (4, steps, 2, 4))
        )
        made.append(ModelOutput(logits, semantic, visual, attention.flatten(2).softmax(-1)
                                .reshape(attention.shape)))  # fmt: skip
    labels = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 1, 2, 0], [0, 0, 0, 0, 0]])
    return (*made, labels, torch.tensor([4, 2, 5, 1]))


@pytest.mark.parametrize("name", TERMS)
def test_permutations_are_averaged_over(name):
    student, teacher, *rest = case(permutations=3)
    each = [
        TERMS[name](*(ModelOutput(out.logits[k], out.semantic[k], out.visual, out.attention)
                      for out in (student, teacher)), *rest)
        for k in range(3)
    ]  # fmt: skip
    assert_close(TERMS[name](student, teacher, *rest), torch.stack(each).mean())


@pytest.mark.parametrize("name", ["cross_entropy", "hinton_T4", "unified_logits", "unified_hint",
                                  "unified_attention", "unified_affinity",
                                  "askd_attention_masked"])
def test_what_follows_the_end_does_not_count(name):
    student, teacher, labels, lengths = case()
    before = TERMS[name](student, teacher, labels, lengths)
    behind = torch.arange(5) >= lengths[:, None]
    for field in ("logits", "semantic", "attention"):
        tensor = getattr(student, field)
        tensor[behind] = torch.rand(tensor[behind].shape)
    assert_close(TERMS[name](student, teacher, labels, lengths), before)


@pytest.mark.parametrize("method", BASELINES)
def test_a_perfect_student_is_only_told_the_label(method):
    student, _, *rest = case()
    terms = BaselineCriterion(method)(student, student, *rest)
    assert list(terms) == [*BASELINES[method], "total"]
    for name, term in terms.items():
        if name not in ("cross_entropy", "total", "dld_sequence"):
            assert term.abs() < 1e-5, name
    weights = BASELINES[method]
    assert_close(terms["total"], sum(weights[name] * terms[name] for name in weights))


def test_what_a_recogniser_does_not_give_is_named_with_the_method():
    student, teacher, *rest = case()
    without = [ModelOutput(out.logits, out.semantic, out.visual) for out in (student, teacher)]
    with pytest.raises(ValueError, match="method 'askd': the askd_attention term compares "
                                         "attention of student and teacher, but the student gave"):
        BaselineCriterion("askd")(*without, *rest)
    with pytest.raises(ValueError, match="method 'dld': the dld_sequence term .* the teacher gave"):
        BaselineCriterion("dld")(student, None, *rest)
    smaller = ModelOutput(teacher.logits, teacher.semantic, teacher.visual[..., :2])
    with pytest.raises(ValueError, match=r"dfd_visual term compares visual of equal shapes, found"):
        BaselineCriterion("dfd")(student, smaller, *rest)
    tokens = [ModelOutput(out.logits, None, out.visual.flatten(2).mT) for out in (student, teacher)]
    with pytest.raises(ValueError, match="has no rows|takes maps"):
        TERMS["at_askd_rows"](*tokens, *rest)
    assert TERMS["at_visual"](*tokens, *rest) == TERMS["at_visual"](student, teacher, *rest)


def test_bad_methods_and_weights_are_refused():
    with pytest.raises(ValueError, match="unknown method 'fdf'; the methods are .*'dfd'"):
        BaselineCriterion("fdf")
    with pytest.raises(ValueError, match=r"unknown loss terms \['visual'\]"):
        BaselineCriterion("dfd", {"visual": 1.0})
    with pytest.raises(ValueError, match="'dld' follows a reading to its end token"):
        BaselineCriterion("dld", decoding="ctc")
    assert BaselineCriterion("dld", {"dld_sequence": 0.0}, "ctc").decoding == "ctc"


def test_another_term_may_take_the_place_of_a_method_s():
    masked = {"askd_attention": 0.0, "askd_attention_masked": 1.0}
    terms = BaselineCriterion("askd", masked)(*case())
    assert terms["askd_attention"] == 0 and terms["askd_attention_masked"] > 0
    assert_close(terms["total"], terms["cross_entropy"] + terms["askd_attention_masked"])


def test_frames_of_ctc_all_count():
    student, teacher, labels, lengths = case()
    terms = BaselineCriterion("hinton", decoding="ctc")(student, teacher, labels, lengths)
    everywhere = TERMS["hinton_T4"](student, teacher, labels, torch.full_like(lengths, 5))
    assert_close(terms["hinton_T4"], everywhere)
    assert not torch.isclose(terms["cross_entropy"],
                             TERMS["cross_entropy"](student, teacher, labels, lengths))


def test_methods_say_what_is_to_be_kept_of_the_teacher():
    whole = {method for method in BASELINES if BaselineCriterion(method).whole_attention}
    assert whole == {"askd", "unified"}
    no_attention = {"unified_attention": 0.0}
    assert not BaselineCriterion("unified", no_attention).whole_attention
    assert {name for terms in BASELINES.values() for name in terms} <= {*TERMS}
    assert {*COMPARISONS} == {*TERMS} - {"cross_entropy"}


def test_weights_of_the_classics():
    assert BASELINES["fine-tuning"] == {"cross_entropy": 1.0}
    assert BASELINES["hinton"] == {"cross_entropy": 0.1, "hinton_T4": 0.9}
    for method, weight in {"fitnet": 100.0, "at": 1000.0, "sp": 3000.0}.items():
        label, own = sorted(BASELINES[method].values())
        assert (label, own) == (BASELINES[method]["cross_entropy"], weight) == (1.0, weight)
