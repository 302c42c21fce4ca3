"""A fragment of English and its Spanish: "in 2009 i went to nepal" is "fui a nepal en 2009".

Spanish adjectives stand behind their noun, in the reverse order, and agree with it in gender and number; verbs agree
with a subject that is not said if it is a pronoun; ``de el`` and ``a el`` contract. The date stands first or last in
English, and always last in Spanish. So both kinds of date are said at the same place, and differ only in how long ago
they were read.

Items of five ranges of length, and of either place of the date or none, are equally frequent. Both are groups of a
line: the range of the number of English words, and ``first`` or ``last``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unroll.data.generators.base import Draw, Generator

SIZES = {"train": 12_000, "validation": 600, "test": 1_500}
LENGTHS = ((4, 6), (7, 9), (10, 12), (13, 15), (16, 18))  # English words
PLACES = ("first", "last", "")  # of the date
YEARS = range(1950, 2020)

# English, Spanish, gender; other plurals than those in -s are given
PEOPLE = [
    "friend amigo m", "brother hermano m", "teacher maestro m", "king rey-reyes m", "neighbour vecino m",
    "child-children niño m", "doctor doctor-doctores m", "sister hermana f", "queen reina f", "girl chica f",
    "singer cantante f", "nurse enfermera f", "woman-women mujer-mujeres f", "painter pintora f",
]  # fmt: skip
THINGS = [
    "car coche m", "book libro m", "garden jardín-jardines m", "tree árbol-árboles m", "train tren-trenes m",
    "boat barco m", "hat sombrero m", "bridge puente m", "castle castillo m", "picture cuadro m",
    "watch-watches reloj-relojes m",
    "house casa f", "table mesa f", "chair silla f", "window ventana f", "door puerta f", "letter carta f",
    "flower flor-flores f", "church-churches iglesia f", "lamp lámpara f", "shirt camisa f", "tower torre f",
]  # fmt: skip
ADJECTIVES = [  # English, Spanish stem before -o, -a, -os, -as, or both numbers of a word for both genders
    "red roj", "white blanc", "black negr", "yellow amarill", "old viej", "new nuev", "small pequeñ", "cheap barat",
    "expensive car", "broken rot", "round redond", "beautiful hermos", "green verde-verdes", "big grande-grandes",
    "blue azul-azules", "strong fuerte-fuertes",
]  # fmt: skip
DETERMINERS = {  # Spanish: masculine and feminine singular, masculine and feminine plural
    "the": "el la los las", "my": "mi mi mis mis", "our": "nuestro nuestra nuestros nuestras",
}  # fmt: skip
SINGULAR = {"a": "un una", "this": "este esta", "that": "ese esa"}
PLURAL = {"some": "unos unas", "these": "estos estas", "those": "esos esas", "two": "dos dos", "three": "tres tres"}
PRONOUNS = ["i", "you", "he", "we", "they"]  # in the order of the forms of verbs
TRANSITIVE = {
    "saw": "vi viste vio vimos vieron", "bought": "compré compraste compró compramos compraron",
    "sold": "vendí vendiste vendió vendimos vendieron", "painted": "pinté pintaste pintó pintamos pintaron",
    "found": "encontré encontraste encontró encontramos encontraron",
    "lost": "perdí perdiste perdió perdimos perdieron", "cleaned": "limpié limpiaste limpió limpiamos limpiaron",
}  # fmt: skip
MOTION = {
    "went to": "fui fuiste fue fuimos fueron a", "came from": "vine viniste vino vinimos vinieron de",
    "lived in": "viví viviste vivió vivimos vivieron en", "travelled to": "viajé viajaste viajó viajamos viajaron a",
    "returned from": "volví volviste volvió volvimos volvieron de",
}  # fmt: skip
PLACE_NAMES = ["nepal", "peru perú", "chile", "japan japón", "rome roma", "paris parís", "london londres", "cuba",
               "lima", "egypt egipto", "morocco marruecos", "berlin berlín"]  # fmt: skip
MONTHS = ["january enero", "march marzo", "may mayo", "july julio", "august agosto", "october octubre"]


class Phrase(NamedTuple):
    """A phrase in both languages.

    Args:
        english: its words.
        spanish: its words.
        form: that of a verb of which it is the subject, from 0 for i to 4 for they.
    """

    english: list[str]
    spanish: list[str]
    form: int = 2


def _item(draw: Draw, number: int) -> str:
    """A line: English, Spanish, range of lengths, place of the date."""
    low, high = LENGTHS[number % len(LENGTHS)]
    place = PLACES[number // len(LENGTHS) % len(PLACES)]
    while True:
        date = _date(draw) if place else Phrase([], [])
        said = _sentence(draw, high)
        words = [*date.english, *said.english] if place == "first" else [*said.english, *date.english]
        if low <= len(words) <= high:
            spanish = _contracted([*said.spanish, *date.spanish])
            return f"{' '.join(words)}\t{spanish}\t{low}-{high}\t{place}\n"


def _sentence(draw: Draw, longest: int) -> Phrase:
    """A subject, a verb, and a place or things; the more things, the longer the sentence may be."""
    subject = _subject(draw)
    verbs = MOTION if draw() < 0.3 else TRANSITIVE
    verb = _pick(draw, list(verbs))
    forms = verbs[verb].split()
    found = Phrase([*subject.english, *verb.split()], [*subject.spanish, forms[subject.form], *forms[len(PRONOUNS) :]])
    if verbs is MOTION and draw() < 0.6:
        english, _, spanish = _pick(draw, PLACE_NAMES).partition(" ")
        found = _plus(found, Phrase([english], [spanish or english]))
    else:
        found = _plus(found, _noun_phrase(draw, THINGS))
    while len(found.english) < longest - 3 and draw() < 0.7:
        link = Phrase(["and"], ["y"]) if verbs is TRANSITIVE and draw() < 0.6 else Phrase(["near"], ["cerca", "de"])
        found = _plus(_plus(found, link), _noun_phrase(draw, THINGS))
    return found


def _subject(draw: Draw) -> Phrase:
    """A pronoun, which Spanish leaves out, or people."""
    if draw() < 0.5:
        form = int(draw() * len(PRONOUNS))
        return Phrase([PRONOUNS[form]], [], form)
    return _noun_phrase(draw, PEOPLE)


def _noun_phrase(draw: Draw, nouns: Sequence[str]) -> Phrase:
    """A determiner, up to two different adjectives, and a noun, whose number and gender all follow in Spanish."""
    english, spanish, gender = _pick(draw, nouns).split()
    is_plural = draw() < 0.5
    form = 2 * is_plural + (gender == "f")  # of masculine and feminine singular, and of both plurals
    own = {word: 2 * forms.split() for word, forms in (PLURAL if is_plural else SINGULAR).items()}
    determiners = {word: forms.split() for word, forms in DETERMINERS.items()} | own
    determiner = _pick(draw, list(determiners))
    adjectives = list(dict.fromkeys(_pick(draw, ADJECTIVES) for _ in range(int(draw() * 3))))
    return Phrase(
        [determiner, *(entry.split()[0] for entry in adjectives), _number(english, is_plural)],
        [determiners[determiner][form], _number(spanish, is_plural),
         *(_agreeing(entry.split()[1], form) for entry in reversed(adjectives))],
        4 if is_plural else 2,
    )  # fmt: skip


def _agreeing(adjective: str, form: int) -> str:
    """The form of a Spanish adjective."""
    singular, _, plural = adjective.partition("-")
    if plural:
        return (singular, plural)[form >= 2]
    return singular + ("o", "a", "os", "as")[form]


def _number(noun: str, is_plural: bool) -> str:
    """The form of a noun."""
    singular, _, plural = noun.partition("-")
    return (plural or f"{singular}s") if is_plural else singular


def _date(draw: Draw) -> Phrase:
    """A year, sometimes with a month."""
    year = str(YEARS[int(draw() * len(YEARS))])
    if draw() < 0.6:
        return Phrase(["in", year], ["en", year])
    english, spanish = _pick(draw, MONTHS).split()
    return Phrase(["in", english, year], ["en", spanish, "de", year])


def _plus(first: Phrase, second: Phrase) -> Phrase:
    return Phrase([*first.english, *second.english], [*first.spanish, *second.spanish])


def _contracted(words: Sequence[str]) -> str:
    """Spanish text, in which a preposition and the article after it are one word."""
    return f" {' '.join(words)} ".replace(" de el ", " del ").replace(" a el ", " al ").strip()


def _pick(draw: Draw, items: Sequence[str]) -> str:
    return items[int(draw() * len(items))]


GENERATOR = Generator(_item, SIZES, seed=400, suffix=".tsv")
