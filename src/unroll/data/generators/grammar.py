"""A fragment of English with agreement across attractors and words that only their right context resolves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unroll.data.generators.base import Draw, Generator

SIZES = {"train": 14_000, "validation": 1_000, "test": 2_500}
# (nouns of the other number, nouns of the same number) between subject and verb. Both are drawn alike, so that the
# noun before the verb predicts nothing: were it always of the other number, n-grams could learn to disagree with it.
BETWEEN = [(0, 0)] * 6 + [(1, 0), (0, 1)] * 3 + [(n, total - n) for total in (2, 3, 4) for n in range(total + 1)]

ANIMATE = [
    "dog", "cat", "boy", "girl", "teacher", "doctor", "farmer", "painter", "singer", "driver", "sailor", "baker",
    "lawyer", "nurse", "pilot", "writer", "actor", "horse", "bird", "rabbit", "student", "soldier", "king", "queen",
    "judge", "guest", "neighbour", "friend", "child-children", "man-men", "woman-women", "mouse-mice", "clerk",
    "monk", "cook", "uncle", "sister", "brother", "cousin", "author",
]  # fmt: skip
THINGS = [
    "table", "chair", "house", "tree", "river", "bridge", "garden", "window", "door", "lamp", "book", "letter",
    "picture", "box-boxes", "church-churches", "boat", "train", "wall", "hill", "road", "shop", "tower", "field",
    "stone", "ship", "barn", "fence", "bench-benches", "bottle", "basket", "mirror", "map",
]  # fmt: skip
EVENTS = ["dinner", "lunch", "breakfast", "concert", "storm", "winter", "war", "wedding", "harvest", "exam"]
INTRANSITIVE = [
    "bark", "sleep", "laugh", "sing", "wait", "smile", "shout", "cry-cries", "listen", "arrive", "travel", "swim",
    "whistle", "tremble", "wander", "vanish-vanishes", "hesitate", "complain", "yawn", "kneel",
]  # fmt: skip
TRANSITIVE = [
    "see", "know", "like", "follow", "help", "call", "find", "watch-watches", "visit", "hear", "admire", "remember",
    "greet", "trust", "paint", "push-pushes", "carry-carries", "chase", "praise", "need",
]  # fmt: skip
# noun or verb: the word to the left decides
EITHER = ["play", "walk", "dance", "rest", "dream", "work", "race", "march-marches", "whisper"]
ADJECTIVES = [
    "old", "young", "tall", "small", "happy", "sad", "quiet", "loud", "clever", "lazy", "proud", "brave", "angry",
    "hungry", "gentle", "famous", "tired", "strange", "rich", "poor", "kind", "honest", "busy", "calm",
]  # fmt: skip
# adjective or noun
RIGHT = [
    "light", "cold", "square", "human", "secret", "plastic", "dark", "sweet", "orange", "gold", "silver", "iron",
    "ideal", "native",
]  # fmt: skip
ADVERBS = [
    "often", "quietly", "loudly", "never", "again", "slowly", "today", "yesterday", "soon", "gladly", "rarely",
    "always",
]  # fmt: skip
PREPOSITIONS = ["near", "behind", "beside", "with", "above", "under", "opposite", "against"]
CLAUSES = ["before", "after", "since", "until"]  # preposition or conjunction: a verb to the right decides
NAMES = ["Mary", "John", "Peter", "Anna", "Paul", "Lucy", "Mark", "Emma", "Tom", "Nina", "Hugo", "Clara"]


class Word(NamedTuple):
    """A token, its part of speech, and its MISC column."""

    form: str
    tag: str
    misc: str = "_"


def _item(draw: Draw, _: int) -> str:
    """A sentence in CoNLL-U.

    MISC marks the main verb with ``Attractors=n`` and the form of the wrong number as ``Contrast``, and an ambiguous
    word with the side that resolves it, ``Context=left`` or ``Context=right``.
    """
    rows = (
        f"{n}\t{word.form}\t_\t{word.tag}\t_\t_\t_\t_\t_\t{word.misc}"
        for n, word in enumerate(_sentence(draw), start=1)
    )
    return "\n".join(rows) + "\n\n"


def _pick(draw: Draw, items: Sequence[str]) -> str:
    return items[int(draw() * len(items))]


def _forms(entry: str) -> tuple[str, str]:
    """Plain form and the form in -s of a noun or a verb."""
    plain, _, other = entry.partition("-")
    return plain, other or plain + "s"


def _noun(draw: Draw, plural: bool, entries: Sequence[str]) -> Word:
    return Word(_forms(_pick(draw, entries))[plural], "NOUN")


def _verb(draw: Draw, plural: bool, entries: Sequence[str]) -> tuple[str, str]:
    """Form of the number asked for, and the form of the other one."""
    plain, third = _forms(_pick(draw, entries))
    return (plain, third) if plural else (third, plain)


def _noun_phrase(draw: Draw, plural: bool, entries: Sequence[str]) -> list[Word]:
    """the (adjective) noun; the adjective may be one that could be a noun as well."""
    noun = _noun(draw, plural, entries)
    chance = draw()
    if chance < 0.12:
        return [Word("the", "DET"), Word(_pick(draw, RIGHT), "ADJ", "Context=right"), noun]
    if chance < 0.27:
        return [Word("the", "DET"), Word(_pick(draw, ADJECTIVES), "ADJ"), noun]
    return [Word("the", "DET"), noun]


def _subject(draw: Draw, plural: bool, between: list[bool]) -> list[Word]:
    """A head with a modifier for each noun between it and the verb, whose numbers are in ``between``."""
    chance = draw()
    if not between and not plural and chance < 0.12:
        return [Word(_pick(draw, NAMES), "PROPN")]
    if not plural and chance < 0.3:  # "the light": the same words as before a noun, but the noun itself
        words = [Word("the", "DET"), Word(_pick(draw, RIGHT), "NOUN", "Context=right")]
    elif chance < 0.4:
        plain, third = _forms(_pick(draw, EITHER))
        words = [Word("the", "DET"), Word(third if plural else plain, "NOUN", "Context=left")]
    else:
        words = _noun_phrase(draw, plural, ANIMATE)
    for n, number in enumerate(between):
        if n == 0 and draw() < 0.5:
            verb, _ = _verb(draw, number, TRANSITIVE)
            words += [Word("that", "PRON"), *_noun_phrase(draw, number, ANIMATE), Word(verb, "VERB")]
        else:
            words += [Word(_pick(draw, PREPOSITIONS), "ADP"), *_noun_phrase(draw, number, THINGS)]
    return words


def _numbers(draw: Draw, plural: bool, attractors: int, others: int) -> list[bool]:
    """Whether each noun between is a plural, in a random order."""
    numbers = []
    while left := attractors + others:
        is_attractor = draw() * left < attractors
        numbers.append(plural != is_attractor)
        attractors, others = attractors - is_attractor, others - (not is_attractor)
    return numbers


def _predicate(draw: Draw, plural: bool, probe: str) -> list[Word]:
    """A verb that agrees, with what follows it; ``probe`` is the MISC entry of the main verb, or empty."""

    def verb(entries: Sequence[str], tag: str = "VERB", context: str = "") -> Word:
        form, other = _verb(draw, plural, entries)
        marks = [context] if context else []
        marks += [probe, f"Contrast={other}"] if probe else []
        return Word(form, tag, "|".join(sorted(marks)) or "_")

    chance = draw()
    if chance < 0.2:
        form, other = ("are", "is") if plural else ("is", "are")
        misc = f"{probe}|Contrast={other}" if probe else "_"
        return [Word(form, "AUX", misc), Word(_pick(draw, ADJECTIVES), "ADJ")]
    if chance < 0.4:
        return [verb(EITHER, context="Context=left"), *_adverb(draw)]
    if chance < 0.6:
        return [verb(INTRANSITIVE), *_adverb(draw)]
    if chance < 0.8:
        return [verb(TRANSITIVE), *_noun_phrase(draw, draw() < 0.5, ANIMATE if draw() < 0.5 else THINGS)]
    if draw() < 0.5:  # "sees her friend" or "sees her often"
        return [verb(TRANSITIVE), Word("her", "DET", "Context=right"), _noun(draw, draw() < 0.5, ANIMATE)]
    return [verb(TRANSITIVE), Word("her", "PRON", "Context=right"), Word(_pick(draw, ADVERBS), "ADV")]


def _adverb(draw: Draw) -> list[Word]:
    return [Word(_pick(draw, ADVERBS), "ADV")] if draw() < 0.4 else []


def _circumstance(draw: Draw) -> list[Word]:
    """before the concert, or before the singer laughs: only what follows distinguishes them."""
    form = _pick(draw, CLAUSES)
    plural = draw() < 0.5
    if draw() < 0.5:
        noun = _noun(draw, plural, EVENTS if draw() < 0.5 else ANIMATE)
        return [Word(form, "ADP", "Context=right"), Word("the", "DET"), noun]
    subject = [Word("the", "DET"), _noun(draw, plural, ANIMATE)]
    return [Word(form, "SCONJ", "Context=right"), *subject, Word(_verb(draw, plural, INTRANSITIVE)[0], "VERB")]


def _sentence(draw: Draw) -> list[Word]:
    plural = draw() < 0.5
    attractors, others = BETWEEN[int(draw() * len(BETWEEN))]
    words = _subject(draw, plural, _numbers(draw, plural, attractors, others))
    words += _predicate(draw, plural, f"Attractors={attractors}")
    if draw() < 0.3:
        words += _circumstance(draw)
    return [*words, Word(".", "PUNCT")]


GENERATOR = Generator(_item, SIZES, seed=200, suffix=".conllu")
