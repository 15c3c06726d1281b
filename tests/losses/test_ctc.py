"""The CTC loss, the frames of a word, and the best words: against PyTorch and brute force."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from kdltr.losses import DistillationCriterion, ctc_loss, frame_divergence
from kdltr.losses.alignment import align
from kdltr.losses.collapsed import best_words, collapsed_distribution
from kdltr.models import ModelOutput


def noise(*shape, sharpness=1.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sharpness * torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_logits_that_are_no_numbers_are_seen_and_words_that_do_not_fit_are_not():
    labels, lengths = torch.tensor([[1, 2, 0], [1, 1, 0]]), torch.tensor([3, 3])
    logits = noise(2, 2, 5)  # the second word needs three frames
    alone = ctc_loss(logits[:1], labels[:1], lengths[:1])
    assert_close(ctc_loss(logits, labels, lengths), alone)
    assert ctc_loss(logits.index_fill(0, torch.tensor([0]), math.nan), labels, lengths).isnan()


def words(n, most, classes, seed=0):
    """Labels (N, most + 1) with doubled letters among them, and lengths with the end token's 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(1, classes, (n, most + 1), generator=generator)
    labels[::2] = labels[::2] // 3 + 1  # few letters: many are doubled
    characters = torch.randint(0, most + 1, (n,), generator=generator)
    return labels.masked_fill(torch.arange(most + 1) >= characters[:, None], 0), characters + 1


def collapsed(path):
    """The word of a path of frames."""
    return tuple(c for c, _ in itertools.groupby(path) if c)


def every_word(log_p):
    """Each word of frames (T, C) with its probability and what it says of them (T, C)."""
    frames, classes = log_p.shape
    found = {}
    for path in itertools.product(range(classes), repeat=frames):
        p = math.exp(sum(log_p[t, c].item() for t, c in enumerate(path)))
        total, share = found.get(collapsed(path), (0.0, torch.zeros(frames, classes).double()))
        share[range(frames), path] += p
        found[collapsed(path)] = total + p, share
    return {word: (p, share / p) for word, (p, share) in found.items()}


def test_loss_and_gradient_are_pytorchs():
    logits = noise(40, 12, 9).requires_grad_()
    labels, lengths = words(40, 6, 9)
    expected = F.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1), labels, torch.full((40,), 12), lengths - 1
    )
    found = ctc_loss(logits, labels, lengths)
    assert_close(found, expected)
    pair = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    assert_close(*pair)


def test_a_word_that_does_not_fit_is_left_out():
    logits = noise(3, 4, 5).requires_grad_()
    labels = torch.tensor([[1, 2, 0, 0, 0], [1, 1, 2, 2, 0], [1, 2, 3, 4, 0]])
    lengths = torch.tensor([3, 5, 5])
    loss = ctc_loss(logits, labels, lengths)
    assert_close(loss, ctc_loss(logits[::2], labels[::2], lengths[::2]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all() and (gradient[1] == 0).all() and (gradient[2] != 0).any()
    assert ctc_loss(logits[1:2], labels[1:2], lengths[1:2]) == 0


def test_what_follows_a_word_and_its_padding_do_not_matter():
    logits = noise(4, 9, 6)
    labels, lengths = words(4, 4, 6)
    other = labels.masked_fill(torch.arange(5) >= lengths[:, None], 5)
    padded = F.pad(labels, (0, 7))
    for given in (other, padded):
        assert_close(ctc_loss(logits, given, lengths), ctc_loss(logits, labels, lengths))


def test_frames_of_a_word_are_those_of_all_its_paths():
    log_p = noise(1, 5, 4).log_softmax(-1)
    every = every_word(log_p[0])
    assert len(every) > 50
    for word, (p, share) in every.items():
        label = torch.tensor([[*word, 0]])
        likelihood, found = align(log_p, label, torch.tensor([len(word)]))
        assert_close(likelihood.exp().item(), p)
        assert_close(found[0], share)


@pytest.mark.parametrize("seed", range(4))
def test_all_words_are_found_where_nothing_is_cut(seed):
    log_p = noise(2, 4, 4, seed=seed).log_softmax(-1)
    every = [every_word(one) for one in log_p]
    found = best_words(log_p, beam=3, paths=len(every[0]) + 3)
    for n, known in enumerate(every):
        order = sorted(known, key=lambda word: -known[word][0])
        for k, word in enumerate(order):
            length = found.lengths[n, k]
            assert tuple(found.characters[n, k, :length].tolist()) == word
            assert (found.characters[n, k, length:] == 0).all()
            assert_close(found.log_probability[n, k].exp().item(), known[word][0])
        assert found.log_probability[n, len(order):].isneginf().all()


def test_words_of_a_beam_are_words_once_each_and_seldom_worse():
    log_p = noise(30, 5, 4, seed=5).log_softmax(-1)
    found = best_words(log_p, beam=2, paths=3)
    best = 0
    for n, one in enumerate(log_p):
        known = every_word(one)
        read = [tuple(c[:length].tolist())
                for c, length in zip(found.characters[n], found.lengths[n], strict=True)]
        assert len({*read}) == 3
        for word, p in zip(read, found.log_probability[n].exp().tolist(), strict=True):
            assert p <= known[word][0] * (1 + 1e-9)
        best += read[0] == max(known, key=lambda word: known[word][0])
    assert best > 20


def test_the_distribution_is_the_mean_over_the_best_words():
    log_p = noise(1, 5, 4, seed=2).log_softmax(-1)
    distribution, probability = collapsed_distribution(log_p, beam=3, paths=2)
    known = sorted(every_word(log_p[0]).values(), key=lambda found: -found[0])[:2]
    total = sum(p for p, _ in known)
    assert_close(distribution[0], sum(p / total * share for p, share in known))
    assert_close(probability.item(), known[0][0])


def test_divergence_by_hand_and_its_gradient():
    student, teacher = noise(3, 4, 5).requires_grad_(), noise(3, 4, 5, seed=1)
    p, q = (logits.div(4).softmax(-1) for logits in (teacher, student))
    found = frame_divergence(student, teacher)
    assert_close(found, (p * (p / q).log()).sum(-1).mean())
    (gradient,) = torch.autograd.grad(found, student)
    assert_close(gradient, (q - p).detach() / (4 * 3 * 4))
    assert frame_divergence(teacher, teacher) == pytest.approx(0, abs=1e-12)


def test_targets_on_the_best_words_are_mixed_where_a_word_is_trusted():
    student, teacher = noise(2, 4, 5, seed=3), noise(2, 4, 5, sharpness=0.1, seed=4)
    teacher[0, :, 1] += 40  # sure of "1", at temperature 4 too; the other of nothing
    frames, mixed = (
        torch.stack([frame_divergence(student[n:n + 1], teacher[n:n + 1], targets=targets)
                     for n in range(2)])
        for targets in ("frames", "collapsed_paths")
    )
    assert frames[0] != mixed[0] and frames[1] == mixed[1]
    with pytest.raises(ValueError, match="targets must be one of"):
        frame_divergence(student, teacher, targets="paths")
    with pytest.raises(ValueError, match=r"equal shapes, found \(1, 4, 5\) and \(2, 4, 5\)"):
        frame_divergence(student[:1], teacher)


def outputs(n=5, frames=7, classes=6, width=8):
    student, teacher = (
        ModelOutput(noise(n, frames, classes, seed=seed), noise(n, frames, width, seed=seed + 1),
                    noise(n, 4, 3, 6, seed=seed + 2))
        for seed in (0, 10)
    )
    return student, teacher, *words(n, 3, classes)


def test_the_criterion_of_frames():
    torch.manual_seed(0)
    criterion = DistillationCriterion(8, decoding="ctc").double()
    student, teacher, labels, lengths = outputs()
    terms = criterion(student, teacher, labels, lengths)
    assert_close(terms["cross_entropy"], ctc_loss(student.logits, labels, lengths))
    assert_close(terms["soft_logits"], frame_divergence(student.logits, teacher.logits))
    every = torch.full((5,), 7)
    expected = criterion.semantic_loss(student.semantic, teacher.semantic, every)
    assert_close(terms["semantic"], expected)
    total = sum(criterion.weights[name] * terms[name] for name in criterion.weights)
    assert_close(terms["total"], total)
    mixed = DistillationCriterion(8, {"semantic": 0}, decoding="ctc", ctc_targets="collapsed_paths")
    expected = frame_divergence(student.logits, teacher.logits, targets="collapsed_paths")
    assert_close(mixed(student, teacher, labels, lengths)["soft_logits"], expected)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="decoding must be one of"):
        DistillationCriterion(8, decoding="greedy")
    with pytest.raises(ValueError, match="ctc_targets: unknown 'words'; Known: frames"):
        DistillationCriterion(8, ctc_targets="words")
