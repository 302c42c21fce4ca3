"""A language of recall: a name that comes early must be said again later.

The example of the lectures: "Jane walked into the room. John walked in too. It was late in the day … Jane said hi
to ___". Only a network that has kept the second name over all that lies between can predict it.

At the shortest distance there is no room for a filler, so that there are only 6 · 5 · 24 = 720 documents: the test and
the validation split have 520 of them, and the training split repeats the others. At 26 tokens and more, it hardly
repeats itself.

No document of the test split is in the training split, but every one at distances 8 and 12, 30 % at 18, 0.3 % at 26 and
none at 36 differ from a training document in the room alone, which does not matter for the name. The test thus measures
recall of known pairs of names over known fillers at 8 and 12, and over new fillers at 26 and 36.
"""

from __future__ import annotations

from unroll.data.generators.base import Draw, Generator

SIZES = {"train": 9_000, "validation": 600, "test": 2_000}
DISTANCES = (8, 12, 18, 26, 36)  # tokens from the name to the place where it is demanded
NAMES = ("Jane", "John", "Mary", "Peter", "Anna", "Paul")
ROOMS = (
    "room", "hall", "house", "kitchen", "garden", "office", "library", "cellar", "shop", "church", "barn", "tower",
    "school", "museum", "bank", "castle", "tent", "cave", "attic", "theatre", "stable", "station", "studio", "market",
)  # fmt: skip
FILLERS = {  # neutral sentences, by their number of tokens: any number from 3 on can be made of them
    3: ("it rained .", "snow fell .", "time passed .", "bells rang .", "nobody moved .", "music played ."),
    4: ("the clock struck .", "the lamp burned .", "a door closed .", "the wind blew .", "it grew dark ."),
    5: ("the tea was cold .", "the day was long .", "a car drove past .", "the floor was wet ."),
    7: ("it was late in the day .", "the cat slept on the chair .", "rain ran down the old window ."),
}
VERBS = "rained fell passed rang moved played struck burned closed blew grew drove slept ran walked sat said"
TAGS = {
    ".": "PUNCT", "the": "DET", "a": "DET", "it": "PRON", "nobody": "PRON", "was": "AUX", "too": "ADV",
    "in": "ADP", "into": "ADP", "to": "ADP", "on": "ADP", "down": "ADP", "past": "ADV", "hi": "INTJ",
    "cold": "ADJ", "long": "ADJ", "wet": "ADJ", "late": "ADJ", "old": "ADJ", "dark": "ADJ",
    **dict.fromkeys(VERBS.split(), "VERB"), **dict.fromkeys(NAMES, "PROPN"),
}  # fmt: skip


def _item(draw: Draw, number: int) -> str:
    """A document in CoNLL-U; ``Distance=d`` in MISC marks the name that has to be recalled over d tokens."""
    distance = DISTANCES[number % len(DISTANCES)]
    first = NAMES[int(draw() * len(NAMES))]
    others = [name for name in NAMES if name != first]
    second = others[int(draw() * len(others))]
    words = [first, "walked", "into", "the", ROOMS[int(draw() * len(ROOMS))], "."]
    words += [second, "walked", "in", "too", "."]
    introduced = len(words)
    words += [second, "sat", "down", "."]
    greeting = [first, "said", "hi", "to"]
    words += _filler(draw, introduced + distance - len(words) - len(greeting)) + greeting
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


def _filler(draw: Draw, length: int) -> list[str]:
    """Sentences of exactly ``length`` tokens together: none, or 3 or more."""
    words: list[str] = []
    while (left := length - len(words)) > 0:
        sizes = [size for size in FILLERS if size == left or left - size >= min(FILLERS)]
        size = sizes[int(draw() * len(sizes))]
        words += FILLERS[size][int(draw() * len(FILLERS[size]))].split()
    return words


GENERATOR = Generator(_item, SIZES, seed=100, suffix=".conllu")
