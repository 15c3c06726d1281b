"""Words to ids and back."""

import math
import pickle

import pytest
import torch

from kdltr.charset import (
    ALNUM36,
    ASCII94,
    DIGITS_FIRST36,
    Charset,
    alphanumeric_lower,
    fold,
    frames_needed,
)


def logits_of(ids, classes, probability=0.9):
    """Logits (1, T, C) whose softmax gives each id ``probability``."""
    ids = torch.tensor([ids])
    other = (1 - probability) / (classes - 1)
    values = torch.full((*ids.shape, classes), math.log(other))
    return values.scatter(-1, ids[..., None], math.log(probability))


# What softmax makes of 0.9 on this CPU, so that a product has no rounding but its own.
SURE = logits_of([1], ASCII94.size).softmax(-1).max().item()


def test_the_published_orders():
    assert ALNUM36.size == 37 and ASCII94.size == 95
    ids, lengths = ALNUM36.encode(["aZ190"])
    assert ids.tolist() == [[1, 26, 27, 35, 36, 0]] and lengths.tolist() == [6]
    assert DIGITS_FIRST36.encode(["09az"])[0].tolist() == [[1, 10, 11, 36, 0]]
    ids, _ = ASCII94.encode(["0azAZ~"])
    assert ids.tolist() == [[1, 11, 36, 37, 62, 94, 0]]


def test_padding_and_cutting():
    ids, lengths = ASCII94.encode(["ab", "", "abcd"], steps=4)
    assert ids.tolist() == [[11, 12, 0, 0], [0, 0, 0, 0], [11, 12, 13, 14]]
    assert lengths.tolist() == [3, 1, 4]  # the last word has lost its end token


def test_unknown_characters():
    with pytest.raises(ValueError, match="'a-b' holds '-', which charset alnum36 lacks"):
        ALNUM36.encode(["a-b"])
    ids, lengths = ALNUM36.encode(["a-b"], unknown="end")
    assert ids.tolist() == [[1, 0, 2, 0]] and lengths.tolist() == [4]
    assert ALNUM36.filter("A-b c!") == "abc"
    assert ASCII94.filter("café 5€") == "cafe5"
    with pytest.raises(ValueError, match="'error' or 'end'"):
        ALNUM36.encode(["a"], unknown="drop")


@pytest.mark.parametrize("charset", [ALNUM36, ASCII94])
def test_round_trip(charset):
    words = ["word", "", charset.characters[:25]]
    ids, _ = charset.encode(words, steps=26)
    readings = charset.decode(torch.nn.functional.one_hot(ids, charset.size) * 50.0)
    assert [reading.text for reading in readings] == words


def test_confidence_is_the_product_up_to_the_end_token():
    assert pytest.approx(0.9) == SURE
    reading = ASCII94.decode(logits_of([11, 12, 0, 5, 6], ASCII94.size))[0]
    assert reading.text == "ab" and reading.confidence == pytest.approx(SURE**3)
    unended = ASCII94.decode(logits_of([11, 12, 13], ASCII94.size))[0]
    assert unended.text == "abc" and unended.confidence == pytest.approx(SURE**3)


def test_ctc_merges_repeats_drops_blanks_and_counts_each_character_once():
    ids = [0, 11, 11, 0, 11, 12, 12, 0, 0]
    reading = ASCII94.decode(logits_of(ids, ASCII94.size), "ctc")[0]
    assert reading.text == "aab" and reading.confidence == pytest.approx(SURE**3)
    nothing = ASCII94.decode(logits_of([0, 0], ASCII94.size), "ctc")[0]
    assert nothing.text == "" and nothing.confidence == pytest.approx(SURE**2)
    with pytest.raises(ValueError, match="one of .*'ctc'.*, found 'greedy'"):
        ASCII94.decode(logits_of(ids, ASCII94.size), "greedy")


def test_a_doubled_letter_needs_a_frame_more():
    words = {"": 0, "a": 1, "ab": 2, "aa": 3, "aaa": 5, "abba": 5}
    assert {word: frames_needed(word) for word in words} == words


def test_logits_of_another_charset_are_refused():
    with pytest.raises(ValueError, match=r"decodes logits \(N, T, 95\), found \(1, 2, 37\)"):
        ASCII94.decode(torch.zeros(1, 2, 37))


def test_evaluation_normaliser():
    assert alphanumeric_lower("Ab-C 9!") == "abc9"


@pytest.mark.parametrize(("word", "plain"), [
    ("Ca\u0301fé", "Cafe"), ("ＡＢ１", "AB1"), ("ﬁsh", "fish"), ("№²", "No2"), ("İ", "I"),
    ("straße", "straße"), ("東京", "東京"), ("it's", "it's"),
])
def test_compatibility_forms_are_folded(word, plain):
    assert fold(word) == plain
    known = "".join(c for c in plain if c in ASCII94.characters)
    assert ASCII94.filter(word) == known and alphanumeric_lower(word) == ALNUM36.filter(plain)
    assert ASCII94.unread(word) == "".join(c for c in plain if not c.isascii())


def test_pickles_and_compares():
    assert pickle.loads(pickle.dumps(ASCII94)) == ASCII94 != ALNUM36
    assert Charset("x", "ab").size == 3


FRENCH = Charset("french", "abcdeéèçñü")
KANA = Charset("kana", "かがきぎ")
HANGUL = Charset("hangul", "한국어가나")
RUSSIAN = Charset("russian", "абвгдейё", lower=True)
THAI = Charset("thai", "กขิี")


@pytest.mark.parametrize(("charset", "word", "label"), [
    (FRENCH, "déçéñü", "déçéñü"), (FRENCH, "de\u0301c\u0327", "déç"), (FRENCH, "àâÉ!", "aa"),
    (KANA, "がぎか", "がぎか"), (HANGUL, "한국", "한국"), (RUSSIAN, "ЁЙе", "ёйе"),
    (THAI, "กิขี", "กิขี"), (Charset("german", "abcß²½"), "ß²½", "ß²½"),
    (Charset("parts", "e\u0301"), "é", "e\u0301"), (Charset("nukta", "\u0958"), "\u0958", "\u0958"),
])
def test_what_a_set_has_is_not_folded(charset, word, label):
    assert charset.filter(word) == label
    ids, lengths = charset.encode([label])
    assert lengths.item() == len(label) + 1 and (ids[0, :-1] > 0).all()


@pytest.mark.parametrize(("charset", "word", "compared"), [
    (ASCII94, "It's café", "itscafe"), (FRENCH, "É-é Ê!", "éée"),
    (Charset("capitals", "AÉ"), "É-é à!", "ééa"), (KANA, "か、が", "かが"),
    (RUSSIAN, "Щи 5", "щи5"), (THAI, "กิ!", "กิ"),
    (Charset("prices", "abc€"), "É 5€", "e5"),
])
def test_what_is_compared(charset, word, compared):
    assert charset.comparable(word) == compared


def test_a_character_twice_is_refused():
    with pytest.raises(ValueError, match="charset dup: expected each character once, found 'a'"):
        Charset("dup", "aab")
