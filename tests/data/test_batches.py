"""Batches: seeded, resumable, sharded over processes, grouped by length when asked."""

import numpy as np
import pytest
import torch

from kdltr.data import DataError
from kdltr.data.batches import epoch_batches, steps_per_epoch


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_batches_are_seeded_and_complete():
    batches = list(epoch_batches(10, 3, seed=1, epoch=0))
    assert [len(batch) for batch in batches] == [3, 3, 3]  # the last, partial one is dropped
    assert len(set(torch.cat(batches).tolist())) == 9
    assert same(batches, list(epoch_batches(10, 3, seed=1, epoch=0)))
    for other in (epoch_batches(10, 3, seed=1, epoch=1), epoch_batches(10, 3, seed=2, epoch=0)):
        assert not torch.equal(torch.cat(list(other)), torch.cat(batches))


def test_the_order_of_one_process_is_a_permutation_by_seed_and_epoch():
    """So it was for the committed results."""
    order = np.random.default_rng((42, 0, 3)).permutation(10)
    assert torch.cat(list(epoch_batches(10, 3, seed=42, epoch=3))).tolist() == order[:9].tolist()


def test_batches_resume_in_mid_epoch():
    for options in ({}, {"lengths": torch.arange(20) % 5}):
        whole = list(epoch_batches(20, 3, seed=1, epoch=4, **options))
        rest = list(epoch_batches(20, 3, seed=1, epoch=4, start=4, **options))
        assert len(rest) == 2 and same(whole[4:], rest)
        assert list(epoch_batches(20, 3, seed=1, epoch=4, start=6, **options)) == []
    with pytest.raises(ValueError, match="expected a step from 0 to 6"):
        epoch_batches(20, 3, seed=1, epoch=4, start=7)


def test_a_process_sees_the_words_of_its_shards_alone():
    """Two processes that accumulate two batches: four shards, the odd ones of process 1."""
    for epoch in range(5):
        for shard in range(4):
            batches = list(epoch_batches(43, 5, seed=3, epoch=epoch, shard=shard, shards=4))
            assert len(batches) == 2 == steps_per_epoch(43, 5, 4)
            words = torch.cat(batches)
            assert len(set(words.tolist())) == 10
            assert (words % 4 == shard).all() and (words % 2 == shard % 2).all()
    with pytest.raises(ValueError, match="expected 0 to 3 of 4"):
        epoch_batches(43, 5, seed=3, epoch=0, shard=4, shards=4)


def test_words_grouped_by_length():
    lengths = torch.randint(2, 12, (1000,), generator=torch.Generator().manual_seed(0))
    grouped, shuffled = (
        list(epoch_batches(1000, 32, seed=0, epoch=1, lengths=by)) for by in (lengths, None)
    )
    # The same words, so that none is more often left out; only which share a batch differs.
    assert torch.cat(grouped).sort().values.equal(torch.cat(shuffled).sort().values)
    spread = [int(lengths[batch].max() - lengths[batch].min()) for batch in grouped]
    assert max(spread) == 1 and sum(spread) <= 9  # one batch at each change of length
    longest = [int(lengths[batch].max()) for batch in grouped]
    assert longest != sorted(longest)
    again = list(epoch_batches(1000, 32, seed=0, epoch=2, lengths=lengths))
    assert not torch.equal(grouped[0], again[0])


def test_processes_have_batches_of_like_length_at_a_step():
    lengths = torch.randint(2, 12, (2000,), generator=torch.Generator().manual_seed(0))
    ranks = [
        epoch_batches(2000, 32, seed=0, epoch=1, shard=shard, shards=2, lengths=lengths)
        for shard in (0, 1)
    ]
    apart = [abs(lengths[one].max() - lengths[two].max()) for one, two in zip(*ranks, strict=True)]
    assert max(apart) <= 1


def test_batch_larger_than_the_data_names_the_numbers():
    with pytest.raises(DataError, match=r"one batch of 64 .*128 words, found 100; .*at most 50"):
        epoch_batches(100, 64, seed=0, epoch=0, shards=2)


MIX = [(10, 0.5), (100, 0.3), (3, 0.2)]  # words of each part, and its share


def test_parts_get_their_shares_of_an_epoch_of_any_length():
    batches = list(epoch_batches(113, 8, seed=1, epoch=0, mix=MIX, steps=25))
    assert len(batches) == 25 and all(len(batch) == 8 for batch in batches)
    words = torch.cat(batches)
    counts = torch.bincount(words, minlength=113)
    assert [int(counts[a:b].sum()) for a, b in ((0, 10), (10, 110), (110, 113))] == [100, 60, 40]
    assert (counts[:10] == 10).all()  # ten passes: none comes again before all have come
    assert counts[10:110].max() == 1 and {*counts[110:].tolist()} == {13, 14}
    assert len(list(epoch_batches(113, 8, seed=1, epoch=0, mix=MIX))) == 14  # as all words once
    other = torch.cat(list(epoch_batches(113, 8, seed=1, epoch=1, mix=MIX, steps=25)))
    assert not torch.equal(words, other)


def test_a_mix_resumes_and_is_shared_as_an_epoch_is():
    whole = list(epoch_batches(113, 4, seed=1, epoch=2, shard=1, shards=2, mix=MIX, steps=20))
    rest = list(epoch_batches(113, 4, seed=1, epoch=2, start=13, shard=1, shards=2, mix=MIX,
                              steps=20))
    assert len(rest) == 7 and all(map(torch.equal, whole[13:], rest))
    words = torch.cat(whole)
    assert (words % 2 == 1).all() and int((words < 10).sum()) == 40
    with pytest.raises(DataError, match=r"each of 4 batch\(es\) a step in a part.*found 3 words"):
        epoch_batches(113, 4, seed=1, epoch=0, shard=1, shards=4, mix=MIX)
