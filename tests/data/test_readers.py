"""Every reader: its good case, and each way in which a file can be bad, told with file and line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import conllu
import pytest

import unroll.data.readers
from unroll.data.fields import Record
from unroll.data.readers import Reader, guess, readers
from unroll.data.readers.columns import Columns
from unroll.data.readers.conllu import Conllu
from unroll.data.readers.text import Text
from unroll.errors import BadInput

READERS = readers()

CONLLU = """# newdoc id = weblog
# sent_id = 1
# text = Don't ask who; I won't.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tDo\tdo\tAUX\tVBP\tMood=Imp\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\task\task\tVERB\tVB\t_\t0\troot\t_\t_
4\twho\twho\tPRON\tWP\t_\t3\tobj\t_\tSpaceAfter=No
4.1\tknows\tknow\tVERB\t_\t_\t_\t_\t3:dep\t_
5\t;\t;\tPUNCT\t,\t_\t3\tpunct\t_\t_
6\tI\tI\tPRON\tPRP\t_\t7\tnsubj\t_\t_
7-8\twon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
7\twill\twill\tAUX\tMD\t_\t3\tparataxis\t_\t_
8\tnot\tnot\tPART\tRB\t_\t7\tadvmod\t_\t_
9\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_

# sent_id = 2
# a comment that has
1\t1 000\t1000\tNUM\tCD\t_\t0\troot\t_\tNote=a space
2\t# 7\t#\tSYM\tNN\t_\t1\tdep\t_\t_

# sent_id = 3
0.1\tGone\tgo\tVERB\t_\t_\t_\t_\t0:root\t_
1\té\té\tX\tFW\t_\t0\troot\t_\tLang=fr
"""
COLUMNS = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\nBlackburn NNP I-PER\n"
SERIES = "0.75\t0.5,1 0.9,0 0.25,1\n\n-1e-1\t1,0\n"

conllu_reader = Conllu(probe="Attractors", contrast="Contrast")
columns_reader = Columns(token_column=0, label_column=-1, scheme="bio")


def tagged(tokens: list[str], labels: list[str], probe: list[tuple[int, str, str]] | None = None) -> Record:
    """A record of words with labels, with which no document begins."""
    record: dict[str, Any] = {"tokens": tokens, "labels": labels, "document": False}
    return record if probe is None else record | {"probe": probe}


# reader → (reader with its arguments, content of a file, what is read from it)
GOOD: dict[str, list[tuple[Reader, str, list[Record]]]] = {
    "text": [
        (
            Text("words"),
            "one  two\r\n\n three\n",
            [{"tokens": ["one", "two"]}, {"tokens": ["three"]}],
        ),
        (Text("characters"), "a b\n\né", [{"tokens": "a b\n"}, {"tokens": "\n"}, {"tokens": "é\n"}]),
    ],
    "conllu": [
        (
            conllu_reader,
            "# c\n1\tdogs\t_\tNOUN\t_\t_\t_\t_\t_\t_\n2\tbark\t_\tVERB\t_\t_\t_\t_\t_\tAttractors=0|Contrast=barks\n\n"
            "1\tis\t_\tAUX\t_\t_\t_\t_\t_\tAttractors=2\n",
            [
                tagged(["dogs", "bark"], ["NOUN", "VERB"], [(1, "0", "barks")]),
                tagged(["is"], ["AUX"], [(0, "2", "")]),
            ],
        )
    ],
    "columns": [
        (
            columns_reader,
            COLUMNS,
            [
                tagged(["EU", "rejects"], ["B-ORG", "O"]) | {"document": True},
                tagged(["Peter", "Blackburn"], ["B-PER", "I-PER"]),
            ],
        ),
        (  # comments as CoNLL-U has them; a token that is a hash or begins with one is none
            columns_reader,
            "# newdoc id = 1\n# text = # = O\n#\tO\n# x = y\tO\n\n# text = #Rom\n#Rom\tB-LOC\n\n#\tO\n",
            [tagged(["#", "# x = y"], ["O", "O"]), tagged(["#Rom"], ["B-LOC"]), tagged(["#"], ["O"])],
        ),
        (  # what goes on with nothing begins
            columns_reader,
            "a\tI-X\nb\tI-X\nc\tI-Y\nd\tO\ne\tI-Y\n",
            [tagged(list("abcde"), ["B-X", "I-X", "B-Y", "O", "B-Y"])],
        ),
        (columns_reader, "# O\n#Rom B-LOC\n", [tagged(["#", "#Rom"], ["O", "B-LOC"])]),
        (
            Columns(token_column=1, label_column=0, scheme=None),
            "X\tNew York\n\nY\ta\n",
            [tagged(["New York"], ["X"]), tagged(["a"], ["Y"])],
        ),
    ],
    "series": [
        (
            READERS["series"](),
            SERIES,
            [
                {"frames": [[0.5, 1.0], [0.9, 0.0], [0.25, 1.0]], "target": 0.75},
                {"frames": [[1.0, 0.0]], "target": -0.1},
            ],
        )
    ],
    "brown": [
        (
            READERS["brown"](),
            "\n\n\tThe/at 1/2/cd ./.\n\n\tYes/rb\n",
            [tagged(["The", "1/2", "."], ["at", "cd", "."]) | {"document": True}, tagged(["Yes"], ["rb"])],
        )
    ],
}

# what is wrong → (reader with its arguments, bytes of the file, what the sentence must name beside the file)
BAD: dict[str, tuple[Reader, bytes, list[str]]] = {
    "conllu with nine columns": (conllu_reader, b"# c\n1\ta\t_\tX\t_\t_\t_\t_\t_\n\n", ["line 2", "9 columns", "ten"]),
    "conllu with eleven columns": (
        conllu_reader, b"1" + 9 * b"\t_" + b"\n2" + 10 * b"\t_" + b"\n", ["line 2", "11 columns"],
    ),
    "conllu without a number": (conllu_reader, b"\nx" + 9 * b"\t_" + b"\n", ["line 2", "'x'"]),
    "conllu that is not UTF-8": (conllu_reader, b"# abc\n# \xc3\xa9\xff\n", ["line 2", "byte 10 "]),
    "text that is not UTF-8": (
        Text("characters"), "ä\nbc".encode() + b"\xe9\n", ["line 2", "byte 5 "],
    ),
    "columns with one too few": (columns_reader, b"a X O\n\nb O\n", ["line 3", "2 columns", "3"]),
    "columns that are not there": (
        Columns(token_column=0, label_column=3, scheme=None), b"a X O\n",
        ["line 1", "label_column 3"],
    ),
    "a negative column that is not there": (
        Columns(token_column=-4, label_column=0, scheme=None), b"a X O\n",
        ["line 1", "token_column -4"],
    ),
    "one column": (
        Columns(token_column=0, label_column=-1, scheme=None), b"\na\nb\n",
        ["line 2", "one column", "data.reader={name: text}"],
    ),
    "columns of which token and label are one": (
        Columns(token_column=1, label_column=-1, scheme=None), b"a X\n",
        ["line 1", "data.reader.token_column=1", "data.reader.label_column=-1"],
    ),
    "columns that are not UTF-8": (columns_reader, b"a O\n\xe9 O\n", ["line 2", "byte 4 "]),
    "a bad BIO label": (columns_reader, b"a B-PER\nb PER\n", ["line 2", "'PER'", "BIO"]),
    "a BIO label of another scheme": (columns_reader, b"a S-PER\n", ["line 1", "'S-PER'", "BIO"]),
    "a BIO label without a type": (columns_reader, b"a B-PER\nb B-\n", ["line 2", "'B-'", "BIO"]),
    "series without a tab": (READERS["series"](), b"1\t1,0\n1 1,0\n", ["line 2"]),
    "series without a step": (READERS["series"](), b"1\t1,0\n1\t\n", ["line 2"]),
    "series with a word for a target": (READERS["series"](), b"one\t1,0\n", ["line 1"]),
    "series with a word in a step": (READERS["series"](), b"1\t1,0\n\n1\t1,x\n", ["line 3"]),
    "series with a target that is not a number": (READERS["series"](), b"nan\t1,0\n", ["line 1"]),
    "series with a step that is not a number": (READERS["series"](), b"1\t1,nan\n", ["line 1"]),
    "series with a step without end": (READERS["series"](), b"1\t1,inf\n", ["line 1"]),
    "series with steps of two widths": (READERS["series"](), b"1\t1,0\n1\t1,0 1\n", ["line 2", "equal width"]),
    "series that are not UTF-8": (READERS["series"](), b"1\t1,0\n1\t\xff\n", ["line 2", "byte 8 "]),
    "brown that is no zip": (READERS["brown"](), b"not a zip", ["not the Brown corpus"]),
}  # fmt: skip


def stored(reader: str, folder: Path, content: str) -> Path:
    """A file of the format that the reader reads, with ``content`` in it."""
    path = folder / f"a file.{reader}"
    if reader == "brown":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("brown/README", "not/a sample")
            archive.writestr("brown/ca01", content)
    else:
        path.write_bytes(content.encode())
    return path


def plain(record: Record) -> dict[str, Any]:
    """Content without the difference between tuples, lists and strings."""
    return {name: value if isinstance(value, bool | float) else list(value) for name, value in record.items()}


def test_every_file_of_readers_is_one_and_is_covered_here() -> None:
    files = {path.stem for path in Path(unroll.data.readers.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert set(GOOD) == set(READERS) == files


@pytest.mark.parametrize(("reader", "number"), [(name, n) for name, cases in GOOD.items() for n in range(len(cases))])
def test_a_good_file_is_read_sequence_by_sequence(reader: str, number: int, tmp_path: Path) -> None:
    read, content, expected = GOOD[reader][number]
    assert [plain(record) for record in read.read(stored(reader, tmp_path, content))] == [plain(e) for e in expected]


def test_conllu_with_ranges_empty_nodes_and_comments_is_read_as_the_conllu_package_reads_it(tmp_path: Path) -> None:
    ours = [(r["tokens"], r["labels"]) for r in conllu_reader.read(stored("conllu", tmp_path, CONLLU))]
    words = [[token for token in sentence if isinstance(token["id"], int)] for sentence in conllu.parse(CONLLU)]
    assert ours == [([t["form"] for t in sentence], [t["upos"] for t in sentence]) for sentence in words]
    assert any(not isinstance(token["id"], int) for sentence in conllu.parse(CONLLU) for token in sentence)


def test_a_conllu_probe_is_a_key_of_misc_and_not_a_part_of_one(tmp_path: Path) -> None:
    rows = "1\ta\t_\tX\t_\t_\t_\t_\t_\tNoAttractors=1\n2\tb\t_\tX\t_\t_\t_\t_\t_\tA=1|Attractors=3|Z=2\n"
    (record,) = conllu_reader.read(stored("conllu", tmp_path, rows))
    assert record["probe"] == [(1, "3", "")]
    (unprobed,) = Conllu().read(stored("conllu", tmp_path, rows))
    assert "probe" not in unprobed


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_one_sentence_with_file_and_line(what: str, tmp_path: Path) -> None:
    read, content, named = BAD[what]
    path = tmp_path / "bad file"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        list(read.read(path))
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert all(part in sentence for part in named), sentence


@pytest.mark.parametrize(("sample", "named"), [
    ("The/at dog\n", "brown/ca01, line 1"), ("\n\nThe/at /nn\n", "brown/ca01, line 3"),
], ids=["no tag", "no word"])  # fmt: skip
def test_a_brown_token_without_word_or_tag_is_named_by_sample_and_line(sample: str, named: str, tmp_path: Path) -> None:
    path = stored("brown", tmp_path, sample)
    with pytest.raises(BadInput, match=named) as caught:
        list(READERS["brown"]().read(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40], ids=["truncated", "overwritten"])
def test_a_damaged_brown_zip_is_not_the_brown_corpus(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "brown.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("brown/ca01", "".join(f"word{n}/nn\n" for n in range(500)))
    content = path.read_bytes()
    path.write_bytes(content[:200] + damage + content[200 + len(damage) :] if damage else content[:200])
    with pytest.raises(BadInput, match="fetch brown again") as caught:
        list(READERS["brown"]().read(path))
    assert str(path) in str(caught.value)


def test_a_zip_without_samples_is_not_the_brown_corpus(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/ca01", "The/at")
    with pytest.raises(BadInput, match="no samples"):
        list(READERS["brown"]().read(path))


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_one_sentence_that_names_it(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(BadInput, match="does not exist") as caught:
        list(GOOD[reader][0][0].read(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_for_a_file_is_one_sentence_that_names_it(reader: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        list(GOOD[reader][0][0].read(tmp_path))
    assert str(tmp_path) in str(caught.value)


def test_a_files_name_suggests_a_reader_that_exists_or_none() -> None:
    suffixes = ("txt", "conllu", "conll", "bio", "tsv", "series")
    assert {guess(Path(f"corpus.{suffix}")) for suffix in suffixes} <= set(READERS)
    assert guess(Path("train.conllu")) == "conllu"
    assert guess(Path("train.docx")) is None


@pytest.mark.parametrize("reader", READERS)
def test_every_record_has_the_fields_that_its_reader_declares(reader: str, tmp_path: Path) -> None:
    for number, (read, content, _) in enumerate(GOOD[reader]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for record in read.read(stored(reader, folder, content)):
            assert set(record) == set(read.fields)
