"""A language of recall: a name that comes early must be said again later.

The example of the lectures: "Jane walked into the room. John walked in too. It was late in the day … Jane said hi
to ___". Only a network that has kept the second name over all that lies between can predict it.

What is drawn beside the names and the filler makes enough different documents at the shortest distance too, where
there is no room for a filler: 6 · 5 · 24 · 4 · 8 = 23,040.
"""

from __future__ import annotations

from collections.abc import Sequence

from unroll.data.generators.base import Draw, Generator

SIZES = {"train": 9_000, "validation": 600, "test": 2_000}
DISTANCES = (8, 12, 18, 26, 36)  # tokens from the name to the place where it is demanded
NAMES = ("Jane", "John", "Mary", "Peter", "Anna", "Paul")
ROOMS = (
    "room", "hall", "house", "kitchen", "garden", "office", "library", "cellar", "shop", "church", "barn", "tower",
    "school", "museum", "bank", "castle", "tent", "cave", "attic", "theatre", "stable", "station", "studio", "market",
)  # fmt: skip
ARRIVALS = ("walked", "came", "ran", "went")
ACTS = (
    "sat down", "stood still", "looked around", "looked up", "lay down", "kept quiet", "turned around", "stayed there",
)  # fmt: skip
FILLERS = {  # neutral sentences, by their number of tokens: any number from 3 on can be made of them
    3: (
        "it rained .", "snow fell .", "time passed .", "bells rang .", "nobody moved .", "music played .",
        "dogs barked .", "birds sang .", "leaves fell .", "candles burned .",
    ),
    4: (
        "the clock struck .", "the lamp burned .", "a door closed .", "the wind blew .", "it grew dark .",
        "the phone rang .", "a child laughed .", "the rain stopped .",
    ),
    5: (
        "the tea was cold .", "the day was long .", "a car drove past .", "the floor was wet .",
        "the soup was warm .", "a train went past .",
    ),
    7: (
        "it was late in the day .", "the cat slept on the chair .", "rain ran down the old window .",
        "the dog lay under the table .", "snow fell on the old bridge .",
    ),
}  # fmt: skip
VERBS = (
    "rained", "fell", "passed", "rang", "moved", "played", "struck", "burned", "closed", "blew", "grew", "drove",
    "slept", "ran", "walked", "sat", "said", "came", "went", "stood", "looked", "lay", "kept", "turned", "stayed",
    "barked", "sang", "laughed", "stopped",
)  # fmt: skip
TAGS = {
    ".": "PUNCT", "the": "DET", "a": "DET", "it": "PRON", "nobody": "PRON", "was": "AUX", "too": "ADV",
    "in": "ADP", "into": "ADP", "to": "ADP", "on": "ADP", "down": "ADP", "under": "ADP",
    "past": "ADV", "still": "ADV", "around": "ADV", "up": "ADV", "there": "ADV",
    "cold": "ADJ", "long": "ADJ", "wet": "ADJ", "late": "ADJ", "old": "ADJ", "dark": "ADJ",
    "quiet": "ADJ", "warm": "ADJ", "hi": "INTJ",
    **dict.fromkeys(VERBS, "VERB"), **dict.fromkeys(NAMES, "PROPN"),
}  # fmt: skip


def _item(draw: Draw, number: int) -> str:
    """A document in CoNLL-U; ``Distance=d`` in MISC marks the name that has to be recalled over d tokens."""
    distance = DISTANCES[number % len(DISTANCES)]
    first = _pick(draw, NAMES)
    second = _pick(draw, [name for name in NAMES if name != first])
    arrived = _pick(draw, ARRIVALS)
    words = [first, arrived, "into", "the", _pick(draw, ROOMS), ".", second, arrived, "in", "too", "."]
    introduced = len(words)
    words += [second, *_pick(draw, ACTS).split(), "."]
    question = [first, "said", "hi", "to"]
    words += _filler(draw, introduced + distance - len(words) - len(question)) + question
    demanded = len(words)
    assert demanded - introduced == distance
    words += [second, ".", second, "said", "hi", "to", first, "."]
    misc = ["_"] * len(words)
    misc[demanded] = f"Distance={distance}"
    rows = (
        f"{n}\t{word}\t_\t{TAGS.get(word, 'NOUN')}\t_\t_\t_\t_\t_\t{mark}"
        for n, (word, mark) in enumerate(zip(words, misc, strict=True), start=1)
    )
    return "\n".join(rows) + "\n\n"


def _pick(draw: Draw, items: Sequence[str]) -> str:
    return items[int(draw() * len(items))]


def _filler(draw: Draw, length: int) -> list[str]:
    """Sentences of exactly ``length`` tokens together: none, or 3 or more."""
    words: list[str] = []
    while (left := length - len(words)) > 0:
        sizes = [size for size in FILLERS if size == left or left - size >= min(FILLERS)]
        size = sizes[int(draw() * len(sizes))]
        words += _pick(draw, FILLERS[size]).split()
    return words


GENERATOR = Generator(_item, SIZES, seed=100, suffix=".conllu")
