"""Embedded corpora: the same bytes everywhere, and each of them what it says it is."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

import unroll.data.generators
from unroll.config import corpora
from unroll.data.generators import GENERATORS, Generator
from unroll.data.generators import phrases as phrases_generator

pytestmark = pytest.mark.xdist_group("generators")  # one worker, so that each corpus is generated once
CONF = Path(__file__).parent.parent.parent / "conf"
SPLITS = ("train", "validation", "test")
DIGESTS = {
    "numbers": {
        "test.tsv": "4344f5d8c200245473f07ef54f0747278c6624a3699f306a1f59ae874a2e9521",
        "train.tsv": "94931707d4e1cd1f57de7c88388f1377bb351c8a1901854c4ff6987da93f3d56",
        "validation.tsv": "05c8b85c3fe03255a064c5ba04029c5012695f93811c694ef1c4cab7152ab8e4",
    },
    "phrases": {
        "test.tsv": "52dc40218b2cb8d60f795bdabc88cef617e35e01c979ea242003f0d0fbe388fa",
        "train.tsv": "3bbee52bc0958eaa6a86256d81c64f7913b76e5dc6164e42237a082077d05d5c",
        "validation.tsv": "0d4ecd02c98562e7c754ee68093544c6d7e6ec68e6f89cf1f47178efa1dfd116",
    },
    "adding": {
        "test.series": "8725cd46a263c2e675ed401f021d0583aeebfe19c5513ed41d73a2b37be379de",
        "train.series": "ec025adad9f4e2f800c63f7834a3f2ebe41ece6b9e582029c6e33534b63e8670",
        "validation.series": "77cfe1ca2e1e78449f1ca73c18fe2531a17e5869a2c5cef35475b32f02046864",
    },
    "recall": {
        "test.conllu": "51b2009850ddf457672f0f71c9ec36316b322f683a270499625080f2c3cb8257",
        "train.conllu": "b2a91f832ba5aad65f11ea712dc8f1f30d7b91c51618b5cd0a4dad4a52fe4dfb",
        "validation.conllu": "15a722a71fe65c85667ab25e8b6e8a7f02a3d38b71a6ae9a6a9f3acdcaeef848",
    },
    "grammar": {
        "test.conllu": "efeb06153584d5715a71c6afec55498acb0fcb6d17bc207e1f8d3a573fc3c815",
        "train.conllu": "89988ac7cb193769486a6715fe21235076cda811ad7448d57596fb76cd6c7d75",
        "validation.conllu": "0c83a59f25c5a9c555f11a6a2faebf1bf92c5247d996809072320855fa58a728",
    },
}

each_split = pytest.mark.parametrize("split", SPLITS)


class Token(NamedTuple):
    """A row of CoNLL-U."""

    form: str
    tag: str
    misc: dict[str, str]


Sentence = list[Token]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each embedded corpus, freshly generated."""
    folders = {}
    for name, generator in GENERATORS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        generator.write(folders[name])
    return folders


def sentences(path: Path) -> list[Sentence]:
    """CoNLL-U by plain splitting, not by the project's own reader."""
    found = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        cells = [line.split("\t") for line in block.split("\n")]
        found.append([Token(c[1], c[3], dict(p.split("=") for p in c[9].split("|") if p != "_")) for c in cells])
    return found


@pytest.fixture(scope="module")
def recall(written: dict[str, Path]) -> dict[str, list[Sentence]]:
    return {split: sentences(written["recall"] / f"{split}.conllu") for split in SPLITS}


@pytest.fixture(scope="module")
def grammar(written: dict[str, Path]) -> dict[str, list[Sentence]]:
    return {split: sentences(written["grammar"] / f"{split}.conllu") for split in SPLITS}


def test_every_generator_in_the_package_is_exported_and_covered_here() -> None:
    names = [module.name for module in pkgutil.iter_modules(unroll.data.generators.__path__)]
    modules = {name: importlib.import_module(f"unroll.data.generators.{name}") for name in names if name != "base"}
    assert {name: module.GENERATOR for name, module in modules.items()} == GENERATORS
    assert set(DIGESTS) == set(GENERATORS)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_file_has_the_same_bytes_on_every_machine(name: str, written: dict[str, Path]) -> None:
    files = sorted(written[name].iterdir())
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == DIGESTS[name]


Sequence = tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]


def sequences(name: str, path: Path) -> list[Sequence]:
    """What a network reads of each item, by the corpus's own reader: without its labels, its marks and its number."""
    read = corpora(CONF)[name].build_reader().read
    return [
        (tuple(record.get("tokens", record.get("source", ()))), tuple(map(tuple, record.get("frames", ()))))
        for record in read(path)
    ]


@pytest.fixture(scope="module", params=GENERATORS)
def corpus(request: pytest.FixtureRequest, written: dict[str, Path]) -> dict[str, list[Sequence]]:
    """Sequences of each split of each generator in turn."""
    return {path.stem: sequences(request.param, path) for path in written[request.param].iterdir()}


def test_what_is_measured_stands_in_no_other_split(corpus: dict[str, list[Sequence]]) -> None:
    assert corpus.keys() == set(SPLITS)
    for split in ("validation", "test"):
        items = set(corpus[split])
        assert len(items) == len(corpus[split])  # nor twice in its own
        for other in set(SPLITS) - {split}:
            assert not items & set(corpus[other]), f"{split} repeats {other}"


def test_most_of_training_is_there_once(corpus: dict[str, list[Sequence]]) -> None:
    assert len(set(corpus["train"])) >= 0.75 * len(corpus["train"])


def test_a_corpus_with_too_few_items_is_refused_instead_of_drawn_for_ever(tmp_path: Path) -> None:
    sizes = {"train": 1, "validation": 1, "test": 1}
    coin = Generator(lambda draw, _: "heads\n" if draw() < 0.5 else "tails\n", sizes, 0, ".txt")
    with pytest.raises(ValueError, match="no new item"):
        coin.write(tmp_path)


def test_what_is_held_out_is_drawn_over_and_training_has_the_rest(tmp_path: Path) -> None:
    sizes = {"train": 20, "validation": 3, "test": 4}
    Generator(lambda draw, _: f"{int(draw() * 10)}\n", sizes, 0, ".txt").write(tmp_path)
    train, validation, test = ((tmp_path / f"{split}.txt").read_text().split() for split in sizes)
    assert (len(train), len(validation), len(test)) == (20, 3, 4)
    assert len({*validation, *test}) == 7
    assert set(train) == set("0123456789") - {*validation, *test}


@each_split
def test_adding_asks_for_the_sum_of_the_two_marked_values(split: str, written: dict[str, Path]) -> None:
    for line in (written["adding"] / f"{split}.series").read_text().splitlines():
        target, _, steps = line.partition("\t")
        pairs = [step.split(",") for step in steps.split()]
        marked = [t for t, (_, mark) in enumerate(pairs) if mark == "1"]
        assert len(pairs) == 50
        assert {mark for _, mark in pairs} == {"0", "1"}
        assert len(marked) == 2
        assert marked[0] < 25 <= marked[1]
        assert all(0 <= float(value) < 1 for value, _ in pairs)
        assert float(target) == pytest.approx(sum(float(pairs[t][0]) for t in marked), abs=1e-9)


@each_split
def test_each_name_that_recall_demands_was_last_said_that_many_tokens_before(
    split: str, recall: dict[str, list[Sentence]]
) -> None:
    distances = set()
    for words in recall[split]:
        (demanded,) = [n for n, word in enumerate(words) if "Distance" in word.misc]
        forms = [word.form for word in words]
        last = max(n for n in range(demanded) if forms[n] == forms[demanded])
        distances.add(distance := int(words[demanded].misc["Distance"]))
        assert demanded - last == distance
        assert words[demanded].tag == "PROPN"
    assert len(distances) >= 3


@each_split
def test_the_name_that_recall_demands_is_not_the_last_one_said(split: str, recall: dict[str, list[Sentence]]) -> None:
    # Else a network that repeats the last name would need no memory of the first ones.
    for words in recall[split]:
        (demanded,) = [n for n, word in enumerate(words) if "Distance" in word.misc]
        between = [word.form for word in words[:demanded] if word.tag == "PROPN"]
        assert between[-1] != words[demanded].form
        assert words[demanded].form in between


def is_plural(noun: str) -> bool:
    return noun.endswith("s") or noun in ("children", "men", "women", "mice")


def third_person(plain: str) -> str:
    """The form in -s as English spells it."""
    if plain == "are":
        return "is"
    if plain.endswith(("s", "x", "ch", "sh")):
        return plain + "es"
    if plain.endswith("y") and plain[-2] not in "aeiou":
        return plain[:-1] + "ies"
    return plain + "s"


@each_split
def test_attractors_are_the_nouns_of_the_other_number_before_a_verb_that_agrees(
    split: str, grammar: dict[str, list[Sentence]]
) -> None:
    counts = set()
    for words in grammar[split]:
        head = next(n for n, word in enumerate(words) if word.tag in ("NOUN", "PROPN"))
        (verb,) = [n for n, word in enumerate(words) if "Attractors" in word.misc]
        plural = words[head].tag == "NOUN" and is_plural(words[head].form)
        between = [word.form for word in words[head + 1 : verb] if word.tag in ("NOUN", "PROPN")]
        counts.add(count := int(words[verb].misc["Attractors"]))
        assert count == sum(is_plural(noun) != plural for noun in between)
        form, contrast = words[verb].form, words[verb].misc["Contrast"]
        assert (contrast == third_person(form)) if plural else (form == third_person(contrast))
    assert counts == {0, 1, 2, 3, 4}


def test_the_noun_next_to_the_verb_does_not_tell_its_number(grammar: dict[str, list[Sentence]]) -> None:
    # Were the last noun between always of the other number, a bigram could learn to disagree with it.
    alike = []
    for words in grammar["train"]:
        (verb,) = [n for n, word in enumerate(words) if "Attractors" in word.misc]
        nouns = [word.form for word in words[:verb] if word.tag == "NOUN"]
        if len(nouns) > 1:
            alike.append(is_plural(nouns[0]) == is_plural(nouns[-1]))
    assert 0.45 < sum(alike) / len(alike) < 0.55


def test_a_word_that_right_context_resolves_has_both_tags_after_the_same_left_word(
    grammar: dict[str, list[Sentence]],
) -> None:
    tags: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # word → left word → tags
    for words in grammar["train"]:
        for left, word in zip([Token("", "", {}), *words], words, strict=False):
            if word.misc.get("Context") == "right":
                tags[word.form][left.form].add(word.tag)
    assert len(tags) > 10
    for form, by_left in tags.items():
        assert any(len(found) == 2 for found in by_left.values()), form


def test_a_word_that_left_context_resolves_has_one_tag_after_each_left_word(
    grammar: dict[str, list[Sentence]],
) -> None:
    tags: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for words in grammar["train"]:
        for left, word in zip([Token("", "", {}), *words], words, strict=False):
            if word.misc.get("Context") == "left":
                tags[word.form][left.form].add(word.tag)
    assert len(tags) > 10
    for form, by_left in tags.items():
        assert all(len(found) == 1 for found in by_left.values()), form
        assert len(set.union(*by_left.values())) == 2, form


@each_split
def test_exactly_the_ambiguous_words_are_marked(split: str, grammar: dict[str, list[Sentence]]) -> None:
    tags: dict[str, set[str]] = defaultdict(set)
    for sentence in grammar["train"]:
        for word in sentence:
            tags[word.form].add(word.tag)
    for sentence in grammar[split]:
        for word in sentence:
            assert ("Context" in word.misc) == (len(tags[word.form]) > 1), word


def test_the_grammar_has_a_few_hundred_words(grammar: dict[str, list[Sentence]]) -> None:
    assert 200 <= len({word.form for sentence in grammar["train"] for word in sentence}) < 1_000


def test_how_many_documents_of_recall_are_like_one_of_train_but_for_the_room(recall: dict[str, list[Sentence]]) -> None:
    def without_room(words: Sentence) -> tuple[str, ...]:
        return tuple(word.form for place, word in enumerate(words) if place != 4)

    known = {without_room(words) for words in recall["train"]}
    alike: dict[str, list[bool]] = {}
    for words in recall["test"]:
        distance = next(word.misc["Distance"] for word in words if "Distance" in word.misc)
        alike.setdefault(distance, []).append(without_room(words) in known)
    shares = {distance: sum(found) / len(found) for distance, found in alike.items()}
    # as the generator's docstring says
    assert shares == {"8": 1.0, "12": 1.0, "18": pytest.approx(0.30, abs=0.005), "26": 0.0025, "36": 0.0}


class Pair(NamedTuple):
    """A row of a table of pairs."""

    source: list[str]
    target: list[str]
    groups: tuple[str, ...]


def pairs(path: Path) -> list[Pair]:
    """Rows by plain splitting, not by the project's own reader."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [Pair(source.split(), target.split(), tuple(groups)) for source, target, *groups in rows]


@pytest.fixture(scope="module")
def numbers(written: dict[str, Path]) -> dict[str, list[Pair]]:
    return {split: pairs(written["numbers"] / f"{split}.tsv") for split in SPLITS}


@pytest.fixture(scope="module")
def phrases(written: dict[str, Path]) -> dict[str, list[Pair]]:
    return {split: pairs(written["phrases"] / f"{split}.tsv") for split in SPLITS}


UNITS = {
    word: value for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"])
} | {
    word: 10 * value for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2)
}  # fmt: skip


def value(words: list[str]) -> int:
    """The number that words name, read from left to right."""
    total = part = 0
    for word in words:
        if word == "hundred":
            part *= 100
        elif word in ("thousand", "million"):
            total, part = total + part * {"thousand": 1_000, "million": 1_000_000}[word], 0
        else:
            part += UNITS[word]
    return total + part


@each_split
def test_words_name_the_number_in_digits_and_the_group_how_many_there_are(
    split: str, numbers: dict[str, list[Pair]]
) -> None:
    for (digits,), words, groups in numbers[split]:
        assert str(value(words)) == digits
        assert groups == (str(len(digits)),)


def test_train_has_numbers_of_up_to_six_digits_and_round_millions(numbers: dict[str, list[Pair]]) -> None:
    longer = [row.source[0] for row in numbers["train"] if len(row.source[0]) > 6]
    assert {f"{first}000000" for first in range(1, 10)} == set(longer)
    assert len(longer) == 0.01 * len(numbers["train"])
    assert {len(row.source[0]) for row in numbers["validation"]} == {3, 4, 5, 6}


def test_test_has_enough_numbers_of_two_to_nine_digits_and_no_word_that_train_lacks(
    numbers: dict[str, list[Pair]],
) -> None:
    counts = Counter(row.groups[0] for row in numbers["test"])
    assert counts == {"2": 30, "3": 170, **{str(digits): 200 for digits in range(4, 10)}}
    known = {word for row in numbers["train"] for word in row.target}
    assert {word for row in numbers["test"] for word in row.target} <= known


@pytest.mark.parametrize("name", ["numbers", "phrases"])
def test_a_source_has_one_target(name: str, request: pytest.FixtureRequest) -> None:
    targets: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for rows in request.getfixturevalue(name).values():
        for row in rows:
            targets[tuple(row.source)].add(tuple(row.target))
    assert all(len(found) == 1 for found in targets.values())


@each_split
def test_phrases_of_every_length_and_place_of_the_date_are_equally_frequent(
    split: str, phrases: dict[str, list[Pair]]
) -> None:
    for source, _, (length, _) in phrases[split]:
        low, high = map(int, length.split("-"))
        assert low <= len(source) <= high
    counts = Counter(row.groups for row in phrases[split])
    assert set(counts.values()) == {len(phrases[split]) // 15}
    assert len(counts) == 15


@each_split
def test_a_date_is_where_its_group_says_and_last_in_spanish(split: str, phrases: dict[str, list[Pair]]) -> None:
    for source, target, (_, place) in phrases[split]:
        years = [at for at, word in enumerate(source) if word.isdecimal()]
        assert [word for word in target if word.isdecimal()] == [source[at] for at in years]
        assert bool(years) == bool(place)
        if place:
            assert target[-1].isdecimal()
            assert years[0] in ((1, 2) if place == "first" else (len(source) - 1,))


DETERMINERS = {  # gender and number of what follows
    "el": "ms", "la": "fs", "los": "mp", "las": "fp", "un": "ms", "una": "fs", "unos": "mp", "unas": "fp",
    "este": "ms", "esta": "fs", "estos": "mp", "estas": "fp", "ese": "ms", "esa": "fs", "esos": "mp", "esas": "fp",
    "nuestro": "ms", "nuestra": "fs", "nuestros": "mp", "nuestras": "fp", "del": "ms", "al": "ms",
}  # fmt: skip
ENDINGS = {"o": "ms", "a": "fs", "os": "mp", "as": "fp"}


@each_split
def test_adjectives_follow_their_noun_and_agree_with_its_determiner(split: str, phrases: dict[str, list[Pair]]) -> None:
    stems = ("roj", "blanc", "negr", "amarill", "viej", "nuev", "pequeñ", "barat", "car", "rot", "redond", "hermos")
    agreeing = 0
    for _, target, _ in phrases[split]:
        form = ""
        for before, word in zip(["", *target], target, strict=False):
            form = DETERMINERS.get(word, form if word not in ("mi", "mis", "dos", "tres") else "")
            stem = next((stem for stem in stems if word[: len(stem)] == stem and word[len(stem) :] in ENDINGS), "")
            if stem and form:
                assert ENDINGS[word.removeprefix(stem)] == form, target
                assert before not in DETERMINERS  # a noun is between
                agreeing += 1
    assert agreeing > len(phrases[split]) / 2


def test_phrases_have_no_article_apart_from_its_preposition_and_no_word_of_test_is_new(
    phrases: dict[str, list[Pair]],
) -> None:
    for rows in phrases.values():
        for row in rows:
            text = f" {' '.join(row.target)} "
            assert " de el " not in text
            assert " a el " not in text
    for side in ("source", "target"):
        known = {word for row in phrases["train"] for word in getattr(row, side)}
        assert {word for row in phrases["test"] for word in getattr(row, side)} <= known
        assert 100 < len(known) < 400


def test_phrases_has_the_sentence_of_the_lectures_in_its_language() -> None:
    motion = {english: forms.split() for english, forms in phrases_generator.MOTION.items()}
    assert motion["went to"][0] == "fui"
    assert motion["went to"][-1] == "a"
    assert "nepal" in phrases_generator.PLACE_NAMES
    assert 2009 in phrases_generator.YEARS
