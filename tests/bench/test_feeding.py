"""Whether data keep up: what is read, and which words are rendered."""

import pytest

from kdltr.bench import feeding
from kdltr.data.shards import Shards
from kdltr.generator.render_shards import write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Nine pairs."""
    return write_shards(tmp_path_factory.mktemp("shards"), 9, seed=1, size=4)


def test_batches_are_read_in_order_and_at_random(shards, monkeypatch):
    asked = []
    read = Shards.batch
    monkeypatch.setattr(Shards, "batch", lambda self, rows, pin: (
        asked.append(rows.tolist()) or read(self, rows)))
    rates = feeding.reading(Shards(shards), 4, batches=3)
    assert list(rates) == ["sequential", "random"] and min(rates.values()) > 0
    assert asked[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    assert len(asked) == 6 and sorted(asked[3] + asked[4]) == list(range(8)) != asked[3] + asked[4]


def test_every_process_renders_words_of_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr(feeding, "arrays", lambda split, n, seed, start=0, effects=(): (
        asked.append((start, n, effects))))
    assert feeding._rendering_rate((20, 2, ("ink",))) > 0
    assert asked == [(0, 10, ("ink",)), (40, 20, ("ink",))]
