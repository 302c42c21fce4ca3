"""Prepared corpora: what train alone decides, where splits are cut, and that nothing is ever half there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from unroll.data import prepared
from unroll.data.corpus import SPLITS, Corpus
from unroll.data.fields import Field, Labels, Record, Symbols
from unroll.data.prepare import prepare
from unroll.data.prepared import Split, open_split
from unroll.data.readers import Reader
from unroll.data.readers.columns import Columns
from unroll.data.readers.conllu import Conllu
from unroll.data.readers.series import Series
from unroll.data.readers.text import Text
from unroll.data.vectors import load_vectors
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import END, PADDING, UNKNOWN, CharacterVocabulary
from unroll.data.writers import encoded
from unroll.errors import BadInput

words, characters = Text("words"), Text("characters")
columns = Columns(token_column=0, label_column=1, scheme=None)
conllu = Conllu(probe="Attractors", contrast="Contrast")


def corpus(
    folder: Path,
    reader: Reader,
    *contents: str,
    cuts: tuple[float, float] | None = None,
    sentence_end: bool = False,
    lowercase: bool = False,
    normalize: bool = False,
    min_count: int = 1,
    vectors: str | None = None,
) -> Corpus:
    """A corpus whose splits have ``contents``, in the order of train, validation and test."""
    files = {split: folder / f"{split}.txt" for split, _ in zip(SPLITS, contents, strict=False)}
    for path, content in zip(files.values(), contents, strict=True):
        path.write_text(content, encoding="utf-8")
    if vectors is not None:
        (folder / "vectors.txt").write_text(vectors, encoding="utf-8")
    source = None if vectors is None else folder / "vectors.txt"
    return Corpus(reader, files, cuts, sentence_end, lowercase, normalize, min_count, source)


def opened(out: Path, split: str) -> Split:
    return open_split(out / ("test" if split == "test" else "fit") / split)


def vocabularies(out: Path) -> Vocabularies:
    return Vocabularies.load(out / "fit" / "vocabulary.json")


def symbols(out: Path) -> list[str]:
    return list(vocabularies(out).symbols("tokens").symbols)


def names(out: Path, field: str) -> list[str]:
    return list(vocabularies(out)[field].spec.names)


def letters(out: Path) -> list[str]:
    known = vocabularies(out)["spelling"]
    assert isinstance(known, CharacterVocabulary)
    return list(known.characters)


def decoded(out: Path, split: str) -> list[str]:
    return [symbols(out)[number] for number in opened(out, split)["tokens"].values]


@pytest.mark.parametrize("part", [1, 3, 100])
def test_tokens_are_counted_in_parts_of_any_size(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "PART", part)
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "b a\nb c b a\n", "a\n"), out)
    assert opened(out, "train")["tokens"].counts(len(symbols(out))).tolist() == [
        decoded(out, "train").count(token) for token in symbols(out)
    ]


def test_the_vocabulary_is_of_train_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, columns, "a X\nb Y\n", "a X\nc Z\n", "d Z\n"), out)
    assert symbols(out)[3:] == ["a", "b"]
    assert names(out, "labels") == ["X", "Y"]
    assert decoded(out, "validation") == ["a", UNKNOWN]
    assert decoded(out, "test") == [UNKNOWN]


def test_labels_that_train_does_not_have_are_minus_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, columns, "a X\nb Y\n", "a Y\nc Z\n", "d X\n"), out)
    assert [opened(out, split)["labels"].values.tolist() for split in SPLITS] == [[0, 1], [1, -1], [0]]


def test_test_is_written_apart_from_what_training_may_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "a\n", "b\n", "secret\n"), out)
    assert sorted(path.name for path in (out / "fit").iterdir()) == [
        "spec.json",
        "train",
        "validation",
        "vocabulary.json",
    ]
    assert sorted(path.name for path in (out / "test").iterdir()) == ["spec.json", "test"]


def test_min_count_is_how_often_train_must_have_a_token(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "a a a b b c\n", "c c c b\n", "a\n", min_count=2), out)
    assert symbols(out)[3:] == ["a", "b"]
    assert decoded(out, "validation") == [UNKNOWN, UNKNOWN, UNKNOWN, "b"]


def test_lowercase_folds_before_it_counts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "The the b\n", "THE\n", "B\n", lowercase=True, min_count=2), out)
    assert symbols(out)[3:] == ["the"]
    assert decoded(out, "validation") == ["the"]


def test_numerals_and_addresses_share_a_token_before_they_are_counted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    contents = ("3 1,000 a\n", "-7.5% www.example.org\n", "ann@example.org a\n")
    prepare(corpus(tmp_path, words, *contents, normalize=True, min_count=2), out)
    assert symbols(out)[3:] == ["[NUM]"]  # seen twice; an address never was, and is unknown
    assert [decoded(out, split) for split in SPLITS] == [["[NUM]", "[NUM]", UNKNOWN], ["[NUM]", UNKNOWN], [UNKNOWN] * 2]
    prepare(corpus(tmp_path, words, "www.x.org 3 Dog\n", *contents[1:], normalize=True, lowercase=True), out)
    assert symbols(out)[3:] == ["[NUM]", "[URL]", "dog"]
    assert [decoded(out, split) for split in ("validation", "test")] == [["[NUM]", "[URL]"], ["[URL]", UNKNOWN]]


def test_a_sentence_end_outlives_lower_case_and_vectors(tmp_path: Path) -> None:
    one = corpus(tmp_path, words, "A b\n", "a\n", "b\n", sentence_end=True, lowercase=True, vectors="a 1\n[eos] 2\n")
    prepare(one, tmp_path / "out")
    assert decoded(tmp_path / "out", "train") == ["a", "b", END]


def test_lowercase_loses_no_character(tmp_path: Path) -> None:
    # İ is one character in upper case and two in lower case: counted as one and written as two, it would shift
    # every sequence behind it and push the last character out of the file.
    out = tmp_path / "out"
    prepare(corpus(tmp_path, characters, "İab\nCd\n", "a\n", "b\n", lowercase=True), out)
    assert "".join(decoded(out, "train")).endswith("ab\ncd\n")
    second = opened(out, "train")["tokens"].begins[1]
    assert decoded(out, "train")[second:] == ["c", "d", "\n"]


def test_a_sentence_end_follows_each_sequence(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "a b\nc\n", "a\n", "b\n", sentence_end=True), out)
    assert decoded(out, "train") == ["a", "b", END, "c", END]
    assert opened(out, "train")["tokens"].begins.tolist() == [0, 3]


@pytest.mark.parametrize(("cuts", "borders"), [((7, 5), (7, 12)), ((1_0, 1), (10, 11)), ((3, 2), (3, 5))])
def test_cuts_by_tokens_are_exact_and_cut_through_sequences(
    cuts: tuple[float, float], borders: tuple[int, int], tmp_path: Path
) -> None:
    # Lines of 3, 4, 5 and 3 words; every second word is probed.
    class Made(Conllu):
        runs_on = True

        def read(self, path: Path) -> Iterator[Record]:
            begin = 0
            for length in (3, 4, 5, 3):
                tokens = [f"w{n}" for n in range(begin, begin + length)]
                probe = [(n - begin, str(n % 4), f"w{n - 1}") for n in range(begin, begin + length) if n % 2]
                labels = [token.upper() for token in tokens]
                yield {"tokens": tokens, "labels": labels, "probe": probe, "document": True}
                begin += length

    one = corpus(tmp_path, Made("A", "B"), "", cuts=cuts)
    bounds = [0, *borders, 15]
    for number, split in enumerate(SPLITS):
        parts = [record for name, record in one.records() if name == split]
        wanted = range(bounds[number], bounds[number + 1])
        assert [token for part in parts for token in part["tokens"]] == [f"w{n}" for n in wanted]
        assert [label for part in parts for label in part["labels"]] == [f"W{n}" for n in wanted]
        probed = [(part["tokens"][at], contrast) for part in parts for at, _, contrast in part["probe"]]
        assert probed == [(f"w{n}", f"w{n - 1}") for n in wanted if n % 2]
        begun = [part["tokens"][0] for part in parts if part["document"]]  # what is cut off begins no document
        assert begun == [f"w{n}" for n in (0, 3, 7, 12) if n in wanted]


@pytest.mark.parametrize("sentence_end", [False, True])
@pytest.mark.parametrize(
    ("cuts", "sizes"), [((0.8, 0.1), [80, 10, 10]), ((0.5, 0.25), [50, 25, 25]), ((0.9, 0.1), [90, 10])]
)
def test_cuts_by_shares_are_exact(
    cuts: tuple[float, float], sizes: list[int], sentence_end: bool, tmp_path: Path
) -> None:
    line = "a b c\n" if sentence_end else "a b c d\n"  # four tokens either way
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, line * 25, cuts=cuts, sentence_end=sentence_end), out)
    assert [opened(out, split)["tokens"].steps for split in SPLITS[: len(sizes)]] == sizes
    assert (out / "test" / "test").exists() == (len(sizes) == 3)


def sentences(count: int) -> str:
    """Sentences of one to seven words with labels in columns."""
    return "".join("".join(f"w{n}\tL\n" for n in range(1 + s % 7)) + "\n" for s in range(count))


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (600, [480, 60, 60]),
        (17, [14, 1, 2]),
        (15, [12, 1, 2]),
        (10, [8, 1, 1]),
        (5, [3, 1, 1]),
        (4, [2, 1, 1]),
        (3, [1, 1, 1]),
    ],
)
def test_labelled_sentences_are_cut_between_them_and_no_split_is_empty(
    count: int, sizes: list[int], tmp_path: Path
) -> None:
    one = corpus(tmp_path, columns, sentences(count), cuts=(0.8, 0.1))
    found = list(one.records())
    assert [record for _, record in found] == list(columns.read(one.files["train"]))
    assert [[split for split, _ in found].count(split) for split in SPLITS] == sizes


def test_labels_of_spans_of_any_reader_are_read_as_valid_bio_and_not_divided(tmp_path: Path) -> None:
    class Made(Text):
        runs_on = True

        @property
        def fields(self) -> dict[str, Field]:
            return {"tokens": Symbols("words"), "labels": Labels("tokens", scheme="bio")}

        def read(self, path: Path) -> Iterator[Record]:
            yield from ({"tokens": ["a", "b", "c"], "labels": ["I-X", "I-X", "I-Y"]} for _ in range(9))

    found = list(corpus(tmp_path, Made("words"), "", cuts=(0.5, 0.3)).records())
    assert [record["labels"] for _, record in found] == 9 * [["B-X", "I-X", "B-Y"]]


@pytest.mark.parametrize(("reader", "content"), [(columns, sentences(2)), (Series(), 2 * "1\t1\n")])
def test_too_few_records_to_divide_are_refused_with_both_numbers(reader: Reader, content: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"train\.txt has 2 records, which cannot be divided into 3 splits"):
        prepare(corpus(tmp_path, reader, content, cuts=(0.8, 0.1)), tmp_path / "out")
    prepare(corpus(tmp_path, reader, content, cuts=(0.9, 0.1)), tmp_path / "out")  # without a test split


def test_every_share_in_hundredths_cuts_exactly(tmp_path: Path) -> None:
    # 0.29 · 100 is 28.999999999999996 in binary fractions
    text = "a " * 100
    wrong = []
    for hundredths in range(1, 99):
        one = corpus(tmp_path, words, text, cuts=(hundredths / 100, 0.01))
        sizes = dict.fromkeys(SPLITS, 0)
        for split, record in one.records():
            sizes[split] += len(record["tokens"])
        if sizes != {"train": hundredths, "validation": 1, "test": 99 - hundredths}:
            wrong.append((hundredths / 100, sizes))
    assert not wrong


def test_a_corpus_of_one_file_of_series_is_cut_between_its_sequences(tmp_path: Path) -> None:
    # `unroll data add one.series` writes exactly these settings.
    lines = "".join(f"{n}\t0.5,1 0.25,0\n" for n in range(10))
    out = tmp_path / "out"
    prepare(corpus(tmp_path, Series(), lines, cuts=(0.8, 0.1)), out)
    targets = [opened(out, split)["target"].values.tolist() for split in SPLITS]
    assert targets == [list(range(8)), [8], [9]]


@pytest.mark.parametrize(
    ("contents", "cuts", "empty"),
    [
        (("", "a\n", "a\n"), None, "train"),
        (("a\n", "\n", "a\n"), None, "validation"),
        (("a\n", "a\n", "\n\n"), None, "test"),
        (("a b c\n",), (5, 2), "validation"),
        (("a b c\n",), (2, 1), "test"),
        (("\n",), (0.8, 0.1), "train"),
    ],
)  # fmt: skip
def test_an_empty_split_is_one_sentence_that_names_it(
    contents: tuple[str, ...], cuts: tuple[float, float] | None, empty: str, tmp_path: Path
) -> None:
    one = corpus(tmp_path, words, *contents, cuts=cuts)
    with pytest.raises(BadInput, match=f"The {empty} split is empty") as caught:
        prepare(one, tmp_path / "out")
    assert str(one.files.get(empty, one.files["train"])) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_every_array_is_memory_mapped(tmp_path: Path) -> None:
    rows = "1\tdogs\t_\tN\t_\t_\t_\t_\t_\t_\n2\tbark\t_\tV\t_\t_\t_\t_\t_\tAttractors=0|Contrast=barks\n"
    series = tmp_path / "series"
    series.mkdir()
    prepare(corpus(tmp_path, conllu, rows, rows, rows), tmp_path / "a")
    prepare(corpus(series, Series(), *["1\t0.5,1\n"] * 3), tmp_path / "b")
    for split in SPLITS:
        columns = [*opened(tmp_path / "a", split).fields.values(), *opened(tmp_path / "b", split).fields.values()]
        assert len(columns) == 7  # tokens, labels, documents, probe, spelling; frames, target
        for array in (array for column in columns for array in vars(column).values() if array is not None):
            mapped = array if isinstance(array, np.memmap) else array.base
            assert isinstance(mapped, np.memmap)
            assert mapped.mode == "r"


def test_real_vectors_come_back_as_they_were(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, Series(), "1\t0.5,1 0.25,0\n-2\t3,4\n", "1\t0,0\n", "7\t1,2\n"), out)
    train = opened(out, "train")
    assert train["frames"].values.tolist() == [[0.5, 1.0], [0.25, 0.0], [3.0, 4.0]]
    assert train["target"].values.tolist() == [1.0, -2.0]
    assert train["frames"].lengths.tolist() == [2, 1]
    assert vocabularies(out).spec["frames"].size == 2


@pytest.mark.parametrize("contents", [("1\t0,1\n1\t0\n", "1\t0,1\n", "1\t0,1\n"), ("1\t0,1\n", "1\t0\n", "1\t0,1\n")])
def test_series_of_two_widths_are_one_sentence(contents: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"correct the (line|file)"):
        prepare(corpus(tmp_path, Series(), *contents), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_probes_and_contrasts_land_on_the_right_token(tmp_path: Path) -> None:
    def sentence(*words: str) -> str:
        return "".join(
            f"{n}\t{word.partition('/')[0]}\t_\tX\t_\t_\t_\t_\t_\t{word.partition('/')[2] or '_'}\n"
            for n, word in enumerate(words, start=1)
        )

    train = "\n".join([
        sentence("dogs", "bark/Attractors=10|Contrast=barks", "."), sentence("it", "barks"),
        sentence("the", "dog", "barks/Attractors=2|Contrast=bark"), sentence("it", "is/Attractors=2"),
    ])  # fmt: skip
    out = tmp_path / "out"
    prepare(
        corpus(tmp_path, conllu, train, sentence("it", "barks"), sentence("bark/Attractors=3"), sentence_end=True), out
    )
    index, probe = vocabularies(out).symbols("tokens").index, opened(out, "train").probe
    assert probe is not None
    assert names(out, "probe") == ["2", "10"]  # as numbers are ordered; 3, of test, is unknown
    found = {
        n: (decoded(out, "train")[n], names(out, "probe")[group], int(probe.contrasts[n]))
        for n, group in enumerate(probe.values.tolist())
        if group >= 0
    }
    assert found == {1: ("bark", "10", index["barks"]), 9: ("barks", "2", index["bark"]), 12: ("is", "2", -1)}
    assert all(probe.contrasts[n] == -1 for n in range(probe.steps) if n not in found)
    assert (opened(out, "validation")["probe"].values == -1).all()


@pytest.mark.parametrize(
    "error", [BadInput("bad"), RuntimeError("bug"), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("failing_pass", [1, 2], ids=["while counting", "while writing"])
def test_nothing_is_left_when_a_reader_fails_half_way(error: BaseException, failing_pass: int, tmp_path: Path) -> None:
    passes = 0

    class Failing(Text):
        def read(self, path: Path) -> Iterator[Record]:
            nonlocal passes
            passes += path.name == "train.txt"
            for number, record in enumerate(super().read(path)):
                if passes == failing_pass and number == 3:
                    raise error
                yield record

    one = corpus(tmp_path, Failing(), "a b\n" * 9, "a\n", "b\n")
    home, before = tmp_path / "home", sorted(tmp_path.rglob("*"))
    home.mkdir()
    with pytest.raises(type(error)):
        prepare(one, home / "out")
    assert passes == failing_pass
    assert not list(home.iterdir())
    home.rmdir()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_keeps_what_was_prepared_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "old words\n", "old\n", "words\n"), out)
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(BadInput):
        prepare(corpus(tmp_path, words, "new\n", "", "new\n"), out)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


FULL_DISK = """
import resource, sys
from pathlib import Path
from unroll.data.corpus import Corpus
from unroll.data.prepare import prepare
from unroll.data.readers.text import Text
from unroll.errors import BadInput

folder = Path(sys.argv[1])
files = {split: folder / f"{split}.txt" for split in ("train", "validation", "test")}
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a write beyond it fails as one on a full disk does
try:
    prepare(Corpus(Text(), files, None, False, False, False, 1, None), folder / "home" / "out")
except BadInput as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("old", [False, True], ids=["nothing there", "an older one there"])
def test_a_write_that_fails_leaves_nothing_and_keeps_the_old(old: bool, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if old:
        (home / "out" / "fit").mkdir(parents=True)
        (home / "out" / "fit" / "vocabulary.json").write_text("kept")
    for split in SPLITS:
        (tmp_path / f"{split}.txt").write_text("a b c d\n" * (10_000 if split == "train" else 1))
    command = [sys.executable, "-B", "-W", "error", "-c", FULL_DISK, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    assert not ended.stderr
    assert f"{home / 'out'} could not be written" in ended.stdout
    assert "File too large" in ended.stdout
    assert [str(path.relative_to(home)) for path in sorted(home.rglob("*"))] == (
        ["out", "out/fit", "out/fit/vocabulary.json"] if old else []
    )


def test_a_folder_that_is_no_split_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a prepared split") as caught:
        open_split(tmp_path / "train")
    assert str(tmp_path / "train") in str(caught.value)


PREPARE = """
import sys
from pathlib import Path
from unroll.data.corpus import Corpus
from unroll.data.prepare import prepare
from unroll.data.readers.columns import Columns

folder = Path(sys.argv[1])
files = {split: folder / f"{split}.txt" for split in ("train", "validation", "test")}
prepare(Corpus(Columns(), files, None, False, False, True, 1, folder / "vectors.txt"), folder / sys.argv[2])
"""


def test_preparing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    corpus(tmp_path, columns, "aö X\nb Y\n3 X\n\nb Z\n", "a X\n", "c Y\n", vectors="b 1 2\nd 3 4\ne 5 6\n")
    found = []
    for seed in ("1", "2"):  # of the order of sets, which differs from process to process
        command = [sys.executable, "-B", "-c", PREPARE, str(tmp_path), seed]
        subprocess.run(command, check=True, capture_output=True, timeout=60, env={**os.environ, "PYTHONHASHSEED": seed})
        files = [path for path in (tmp_path / seed).rglob("*") if path.is_file()]
        found.append({path.relative_to(tmp_path / seed): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert {"vectors.npy", "coverage.json", "characters.npy"} < {path.name for path in found[0]}


def spelled(out: Path, split: str) -> list[str]:
    """Every token of a split, put together from the characters of its form."""
    found, known = opened(out, split).spelling, letters(out)
    assert found is not None
    bounds = [slice(*found.form_offsets[form : form + 2]) for form in found.values]
    return ["".join(known[character] for character in found.characters[bound]) for bound in bounds]


def test_labelled_words_are_spelled_as_they_are_written(tmp_path: Path) -> None:
    train = ["The", "dog", "3.14", "the", "dog", "http://x.de", "über"]
    content = "".join(f"{word} X\n" for word in train)
    out = tmp_path / "out"
    prepare(corpus(tmp_path, columns, content, content, content, lowercase=True, normalize=True, min_count=2), out)
    assert decoded(out, "train") == ["the", "dog", UNKNOWN, "the", "dog", UNKNOWN, UNKNOWN]
    for split in SPLITS:
        assert spelled(out, split) == train
        found = opened(out, split).spelling
        assert found is not None
        assert found.values.tolist() == [0, 1, 2, 3, 1, 4, 5]  # in the order in which they first come
        assert len(found.form_offsets) == 7  # each distinct form once
    assert letters(out) == [PADDING, UNKNOWN, *sorted(set("".join(train)))]


def test_characters_are_of_train_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, columns, "ab X\n", "bä X\n", "zab X\nab X\n"), out)
    assert letters(out) == [PADDING, UNKNOWN, "a", "b"]
    assert spelled(out, "validation") == [f"b{UNKNOWN}"]
    assert spelled(out, "test") == [f"{UNKNOWN}ab", "ab"]


def test_every_split_numbers_its_own_forms(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, columns, "a X\nb X\n", "b X\na X\nb X\n", "b X\n"), out)
    numbers = [found.values.tolist() for split in SPLITS if (found := opened(out, split).spelling)]
    assert numbers == [[0, 1], [0, 1, 0], [0]]


@pytest.mark.parametrize(
    ("reader", "sentence_end"),
    [(words, False), (columns, True), (characters, False)],
    ids=["without labels", "with sentence ends", "characters"],
)
def test_what_is_not_labelled_words_is_not_spelled(reader: Reader, sentence_end: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, reader, *["a X\n"] * 3, sentence_end=sentence_end), out)
    assert "spelling" not in vocabularies(out)
    assert all(opened(out, split).spelling is None for split in SPLITS)
    assert not list(out.rglob("characters*"))


def test_records_in_memory_are_encoded_like_those_of_a_corpus(tmp_path: Path) -> None:
    out = tmp_path / "out"
    read = corpus(tmp_path, columns, *[f"the X\n{'x' * 99} Y\n\nthe X\n\n-DOCSTART-\nThe X\n"] * 3)
    prepare(read, out)
    records = [record for split, record in read.records() if split == "test"]
    made, known = encoded(records, read.fields, vocabularies(out), "tokens"), opened(out, "test")
    assert made.fields.keys() == known.fields.keys() == {"tokens", "labels", "document", "spelling"}
    for field in known.fields:
        for name in ("values", "offsets", "form_offsets", "characters"):
            one, two = getattr(known[field], name, None), getattr(made[field], name, None)
            assert (one is None) == (two is None)
            if one is not None:
                np.testing.assert_array_equal(one, two, strict=True)
    assert made["labels"].offsets is made["tokens"].offsets


def test_forms_side_by_side_are_padded_to_the_longest_of_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, columns, "ab X\nc X\nabcab X\n", "a X\n", "a X\n"), out)
    found = opened(out, "train").spelling
    assert found is not None
    rows, lengths = found.rows(np.array([1, 0]), padding_index=0)
    assert (rows.tolist(), lengths.tolist()) == ([[4, 0], [2, 3]], [1, 2])
    rows, lengths = found.rows(np.array([2]), padding_index=0)
    assert (rows.tolist(), lengths.tolist()) == ([[2, 3, 4, 2, 3]], [5])


def test_a_word_without_a_character_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the word is empty") as caught:
        prepare(corpus(tmp_path, columns, "a\tX\n", "a\tX\n\n\tX\n", "a\tX\n"), tmp_path / "out")
    assert f"{tmp_path / 'validation.txt'}, line 3" in str(caught.value)


def test_labels_that_tell_spans_say_so(tmp_path: Path) -> None:
    schemes: tuple[Literal["bio"] | None, ...] = ("bio", None)
    for scheme in schemes:
        prepare(corpus(tmp_path, Columns(scheme=scheme), *["a O\n"] * 3), tmp_path / "out")
        assert vocabularies(tmp_path / "out").spec["labels"].scheme == scheme


VECTORS = "a 1 2\nnew 3 4\nb 5 6\nd 7 8\n"


def test_with_vectors_the_vocabulary_is_the_words_of_train_and_of_the_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(corpus(tmp_path, words, "c c B B a a x\n", "new B\n", "New d x b\n", min_count=2, vectors=VECTORS), out)
    assert symbols(out)[3:] == ["B", "a", "c", "new", "b", "d"]
    assert vocabularies(out).spec["tokens"].vector_size == 2
    # A word of test that training never saw has its vector, in lower case if need be.
    assert decoded(out, "test") == ["new", "d", UNKNOWN, "b"]
    assert decoded(out, "validation") == ["new", "B"]
    rows = load_vectors(out / "fit")
    assert np.isnan(rows[[0, 1, 2, 5]]).all()  # the special ones, and c
    assert rows[[3, 4, 6, 7, 8]].tolist() == [[5, 6], [1, 2], [3, 4], [5, 6], [7, 8]]


def test_vectors_of_no_word_of_train_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no vector for any word of train"):
        prepare(corpus(tmp_path, words, "hund katze\n", "a\n", "b\n", vectors=VECTORS), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_of_validation_or_test_reaches_the_vectors(tmp_path: Path) -> None:
    found = []
    for other in ("a\n", "new d zzz\n"):
        prepare(corpus(tmp_path, words, "a b\n", other, other, vectors=VECTORS), tmp_path / "out")
        found.append([(tmp_path / "out" / "fit" / name).read_bytes()
                      for name in ("vocabulary.json", "vectors.npy", "coverage.json")])  # fmt: skip
    assert found[0] == found[1]


def test_how_much_of_train_has_a_vector_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    one = corpus(tmp_path, words, "a a A x\n", "y\n", "y\n", min_count=2, vectors=VECTORS, sentence_end=True)
    prepare(one, out)
    told = json.loads((out / "fit" / "coverage.json").read_text())
    assert told == {"types": 3, "types_with_vector": 2, "tokens": 4, "tokens_with_vector": 3}
    said = capsys.readouterr()
    assert not said.out
    assert said.err == (
        f"{tmp_path / 'vectors.txt'}: 66.7% of train's distinct words and 75.0% of its words have a vector.\n"
    )


def test_without_vectors_nothing_is_written_and_nothing_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(corpus(tmp_path, words, "a\n", "a\n", "a\n"), tmp_path / "out")
    assert capsys.readouterr() == ("", "")
    assert vocabularies(tmp_path / "out").spec["tokens"].vector_size == 0


def test_bad_vectors_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="line 2"):
        prepare(corpus(tmp_path, words, "a\n", "a\n", "a\n", vectors="a 1\nb x\n"), tmp_path / "home" / "out")
    assert not list((tmp_path / "home").iterdir())
