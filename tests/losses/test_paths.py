"""The best paths: the published search where it completes, and every path tried one by one."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from kdltr.bench import plain
from kdltr.losses import path_distribution
from kdltr.losses.paths import best_paths

KINDS = [f"{kind}-{c}" for kind in ("sharp", "confident", "unsure") for c in (37, 95)]


@pytest.mark.parity
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_published_search_where_it_completes(golden, kind):
    probabilities = (golden[f"{kind}_teacher_logits"] / 4).softmax(-1)
    distribution, length, probability = path_distribution(probabilities)
    done = golden[f"{kind}_search_completed"]
    assert done.sum() >= 5
    assert_close(distribution[done], golden[f"{kind}_sequence"][done], rtol=1e-6, atol=1e-6)
    assert (length == golden[f"{kind}_length"])[done].all()
    assert ((probability >= 0.1) == (golden[f"{kind}_alpha"] > 0)).all()


def all_paths(log_p, beam):
    """Every path of one word ``(T, C)``: (characters, log-probability)."""
    steps = log_p.shape[0]
    top = log_p.topk(beam).indices.tolist()
    for length in range(1, steps + 1):
        for path in itertools.product(*top[:length]):
            if 0 not in path[:-1] and (path[-1] == 0 or length == steps):
                yield path, sum(log_p[t, c].item() for t, c in enumerate(path))


@pytest.mark.parametrize("path_score", ["published", "log_normalised"])
@pytest.mark.parametrize("sharpness", [0.3, 2.0])
@pytest.mark.parametrize("beam, paths", [(3, 6), (2, 4), (3, 9)])
def test_agrees_with_brute_force_over_all_paths(path_score, sharpness, beam, paths):
    generator = torch.Generator().manual_seed(beam * 100 + paths)
    logits = sharpness * torch.randn(24, 6, 5, generator=generator, dtype=torch.float64)
    log_p = logits.log_softmax(-1)
    distribution, length, probability = path_distribution(log_p.exp(), beam, paths, path_score)

    def score(item):
        path, value = item
        return value - math.log(len(path)) if path_score == "published" else value / len(path)

    for n in range(len(log_p)):
        best = sorted(all_paths(log_p[n], beam), key=score, reverse=True)[:paths]
        expected = torch.zeros(6, 5, dtype=torch.float64)
        for path, value in best:
            expected[range(6), (*path, *[0] * (6 - len(path)))] += math.exp(value)
        expected /= sum(math.exp(value) for _, value in best)
        assert_close(distribution[n], expected)
        assert length[n] == len(best[0][0])
        assert_close(probability[n].item(), math.exp(best[0][1]))


@pytest.mark.parametrize("path_score", ["published", "log_normalised"])
def test_best_paths_are_ordered_and_carry_their_probability(path_score):
    log_p = torch.randn(16, 7, 9, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    best = best_paths(log_p, path_score=path_score)
    steps = torch.arange(7)
    inside = steps < best.lengths[..., None]  # (N, k, T)
    chosen = log_p.gather(2, best.characters.mT).mT  # (N, k, T)
    assert_close(torch.where(inside, chosen, 0).sum(-1), best.log_probability)
    assert (best.characters[~inside] == 0).all()
    score = best.log_probability - best.lengths.log()
    if path_score == "log_normalised":
        score = best.log_probability / best.lengths
    assert (score.diff(dim=1) <= 1e-6).all()


def test_log_normalised_does_not_favour_short_paths():
    """True length 7, and the end token is the runner-up at every other step."""
    logits = torch.zeros(1, 26, 37)
    for t in range(26):
        logits[0, t, 0 if t == 6 else t % 36 + 1] = 3.0
        logits[0, t, t % 36 + 1 if t == 6 else 0] = 2.0
    probabilities = (logits / 4).softmax(-1)
    assert path_distribution(probabilities)[1].item() == 1
    assert path_distribution(probabilities, path_score="log_normalised")[1].item() == 7


@pytest.mark.parametrize("path_score", ["published", "log_normalised"])
def test_uniform_teacher_of_95_classes_in_float32(path_score):
    uniform = torch.full((3, 26, 95), 1 / 95)  # (1/95)²⁶ ≈ 4e-52 is 0 in float32
    distribution, length, probability = path_distribution(uniform, path_score=path_score)
    assert_close(distribution.sum(-1), torch.ones(3, 26))
    assert distribution.dtype == torch.float32
    assert (length == 1).all()
    assert_close(probability, torch.full((3,), 1 / 95))
    again = path_distribution(uniform[[2, 0, 1]], path_score=path_score)
    assert torch.equal(distribution, again[0])


def test_without_an_end_in_reach_no_path_underflows():
    probabilities = torch.full((2, 26, 95), 1 / 94)
    probabilities[..., 0] = 0.0
    distribution, length, probability = path_distribution(probabilities)
    assert_close(distribution.sum(-1), torch.ones(2, 26))
    assert (length == 26).all() and (probability == 0).all()  # the product itself does underflow


def test_ties_go_to_the_lowest_class():
    probabilities = torch.full((1, 1, 6), 1 / 6)
    best = best_paths(probabilities.log())
    assert best.characters[0, :, 0].tolist()[:3] == [0, 1, 2]


@pytest.mark.parametrize("steps, classes", [(1, 2), (2, 2), (1, 95)])
def test_fewer_paths_than_asked_for(steps, classes):
    probabilities = torch.rand(4, steps, classes).softmax(-1)
    distribution, length, _ = path_distribution(probabilities)
    assert_close(distribution.sum(-1), torch.ones(4, steps))
    assert ((length >= 1) & (length <= steps)).all()


def test_certain_teacher_gives_its_word():
    probabilities = torch.nn.functional.one_hot(torch.tensor([[3, 5, 0, 0]]), 9).float()
    distribution, length, probability = path_distribution(probabilities)
    assert torch.equal(distribution, probabilities)
    assert length.item() == 3 and probability.item() == 1


def test_words_do_not_influence_each_other(golden):
    probabilities = (golden["confident-37_teacher_logits"] / 4).softmax(-1)
    together = path_distribution(probabilities)
    for n in range(len(probabilities)):
        alone = path_distribution(probabilities[n : n + 1])
        for whole, part in zip(together, alone, strict=True):
            assert torch.equal(whole[n], part[0])


def test_plain_search_agrees_where_it_completes(golden):
    probabilities = (golden["confident-37_teacher_logits"] / 4).softmax(-1)
    expected, length, probability, completed = plain.path_distribution(probabilities)
    assert completed.all()
    ours = path_distribution(probabilities)
    assert_close(ours[0], expected)
    assert torch.equal(ours[1], length)
    assert_close(ours[2], probability, check_dtype=False)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"published.*log_normalised.*'best'"):
        path_distribution(torch.ones(1, 2, 3), path_score="best")
    with pytest.raises(ValueError, match=r"\(N, T, C\)"):
        path_distribution(torch.ones(6, 1, 2, 3))
