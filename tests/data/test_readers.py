"""Every reader: its good case, and each way in which a file can be bad, told with file and line."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import conllu
import pytest

import unroll.data.readers
from unroll.data.fields import Located, Record
from unroll.data.readers import Reader, guess, readers
from unroll.data.readers.aligned import Aligned
from unroll.data.readers.columns import Columns
from unroll.data.readers.conllu import Conllu
from unroll.data.readers.dictionary import Dictionary
from unroll.data.readers.pairs import Pairs
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


def pair(source: list[str] | str, *targets: list[str] | str, groups: list[str] | None = None) -> Record:
    """A record of a source and its right targets."""
    record: dict[str, Any] = {"source": source, "target": targets[0], "references": targets}
    return record if groups is None else record | {"groups": groups}


TAB = "\t"


def word(number: int | str, form: str = "a", tag: str = "X") -> str:
    """A line of CoNLL-U."""
    return f"{number}\t{form}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n"


# reader → (reader with its arguments, content of a file, what is read from it)
GOOD: dict[str, list[tuple[Reader, str, list[Record]]]] = {
    "text": [
        (
            Text("words"),
            "one  two\r\n\n three\n\u200b\n\u00a0\n",
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
        ),
        (
            Conllu(),
            "1-2\tx\t_\t_\t_\t_\t_\t_\t_\t_\r0.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\r"
            + word(1)
            + "\u00a0\n"
            + word(1, "b", "_"),
            [tagged(["a"], ["X"]), tagged(["b"], ["_"])],
        ),
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
        (  # lone carriage returns, and other line ends beside them
            columns_reader,
            "a O\rb O\r\rc O\r\n\r\nd O\n\ne O",
            [tagged(["a", "b"], ["O", "O"]), *(tagged([token], ["O"]) for token in "cde")],
        ),
        (  # lines that look empty; a no-break space belongs to a word
            columns_reader,
            "10\u00a0000 O\n\u00a0\nb O\n \t\nc O\n\u200b\ufeff\nd O\n",
            [tagged([token], ["O"]) for token in ("10\u00a0000", "b", "c", "d")],
        ),
        (
            Columns(scheme="bioes"),
            "a B-X\nb I-X\nc E-X\nd S-X\ne I-X\nf O\ng E-Y\n\nh _\n",
            [tagged(list("abcdefg"), ["B-X", "I-X", "I-X", "B-X", "B-X", "O", "B-Y"]), tagged(["h"], ["_"])],
        ),
        (Columns(scheme="bilou"), "a U-X\nb B-X\nc L-X\n", [tagged(list("abc"), ["B-X", "B-X", "I-X"])]),
        (
            Columns(header=("word", "tag")),
            "# x = y\nword\ttag\n\na\tX\n\nword\ttag\n",
            [tagged(["a"], ["X"]), tagged(["word"], ["tag"])],
        ),
        (Columns(header=("word", "tag")), "a\tX\nword\ttag\n", [tagged(["a", "word"], ["X", "tag"])]),
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
    "aligned": [  # the lines of both files, with a form feed between these
        (
            Aligned(source="t", target="u"),
            "a  b \r\n\nc.\n\fx\r\n \ny z",
            [pair(["a", "b"], ["x"]), pair(["c."], ["y", "z"])],
        ),
        (
            Aligned(source="t", target="u", source_unit="tokens", target_unit="characters"),
            "«Don't», 3.5-4!\n\f a b \n",
            [pair(["«", "Don't", "»", ",", "3.5", "-", "4", "!"], "a b")],
        ),
        (Aligned(source="t", target="u"), "\f", []),
    ],
    "pairs": [
        (Pairs(), "a b\tx\tmore\n\nc\ty z\n", [pair(["a", "b"], ["x"]), pair(["c"], ["y", "z"])]),
        (
            Pairs(2, 0, source_unit="characters", target_unit="tokens", header=("t", "", "s")),
            "t\t\ts\r\nx,y\t\t a b\r\n",
            [pair("a b", ["x", ",", "y"])],
        ),
        (Pairs(header=("s", "t")), "a\tb\ns\tt\n", [pair(["a"], ["b"]), pair(["s"], ["t"])]),
        (
            Pairs(0, 1, 2, (2, 3), "characters", "characters"),
            "V\tVs u\tV;PST\tx\nb\tc\t\t\n",
            [pair([*"V", "<V>", "<PST>"], "Vs u", groups=["V;PST", "x"]), pair(["b"], "c", groups=["", ""])],
        ),
    ],
    "dictionary": [
        (
            Dictionary(),
            ";;; a comment\nA  AH\r\n\n#B  HH B # another\n#B(2)  B\n#B(3)  HH B\nTO BE\tT UW\nTO BE\tT AH\nA  EY\n",
            [
                pair("A", ["AH"]),
                pair("#B", ["HH", "B"], ["B"]),
                pair("TO BE", ["T", "UW"], ["T", "AH"]),
                pair("A", ["EY"]),
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
    "conllu without an empty line between sentences": (
        conllu_reader, f"{word(1)}{word(2)}# c\n{word(1)}".encode(), ["line 4", "number 1", "empty line"],
    ),
    "conllu that lacks a word": (conllu_reader, f"{word(1)}{word(3)}".encode(), ["line 2", "number 3", "number 2"]),
    "conllu that does not begin with word 1": (conllu_reader, word(2).encode(), ["line 1", "number 2"]),
    "conllu with a word that is empty": (conllu_reader, f"{word(1)}{word(2, '')}".encode(), ["line 2", "FORM"]),
    "conllu with a word that is invisible": (conllu_reader, word(1, "\u00a0\u200b").encode(), ["line 1", "FORM"]),
    "conllu with a tag that is empty": (conllu_reader, f"\n{word(1, tag='')}".encode(), ["line 2", "UPOS", "_"]),
    "conllu with an empty row of ten columns": (conllu_reader, f"{word(1)}{9 * TAB}\n".encode(), ["line 2", "''"]),
    "text that is not UTF-8": (
        Text("characters"), "ä\nbc".encode() + b"\xe9\n", ["line 2", "byte 5 "],
    ),
    "columns with one too few": (columns_reader, b"a X O\n\nb O\n", ["line 3", "2 columns", "3"]),
    "columns with one too many in the first line": (
        columns_reader, b"\na b X O\nb X O\n\nc X O\n", ["line 2", "4 columns", "most lines have 3"],
    ),
    "columns after a remark that is no comment": (
        Columns(), b"# made in 2003 by hand\na O\nb O\n", ["line 1", "6 columns", "'# name = value'"],
    ),
    "columns with an empty word": (columns_reader, b"a\tO\n\tO\n", ["line 2", "word is empty", "column 0"]),
    "columns with an invisible word": (columns_reader, "a\tO\n\u00a0\tO\n".encode(), ["line 2", "word is empty"]),
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
    "a BIOES label of another scheme": (Columns(scheme="bioes"), b"a B-X\nb L-X\n", ["line 2", "'L-X'", "BIOES"]),
    "a BIO label without a type": (columns_reader, b"a B-PER\nb B-\n", ["line 2", "'B-'", "BIO"]),
    "series without a tab": (READERS["series"](), b"1\t1,0\n1 1,0\n", ["line 2"]),
    "series without a step": (READERS["series"](), b"1\t1,0\n1\t\n", ["line 2"]),
    "series with a word for a target": (READERS["series"](), b"one\t1,0\n", ["line 1"]),
    "series with a word in a step": (READERS["series"](), b"1\t1,0\n\n1\t1,x\n", ["line 3"]),
    "series with a target that is not a number": (READERS["series"](), b"nan\t1,0\n", ["line 1"]),
    "series with a step that is not a number": (READERS["series"](), b"1\t1,nan\n", ["line 1"]),
    "series with a step without end": (READERS["series"](), b"1\t1,inf\n", ["line 1"]),
    "series with steps of two widths": (READERS["series"](), b"1\t1,0\n1\t1,0 1\n", ["line 2", "equal width"]),
    "series with a step that single precision cannot hold": (
        READERS["series"](), b"1\t1,0\n1\t1,1e39\n", ["line 2", "at most 3.4e+38"],
    ),
    "series with a target that single precision cannot hold": (
        READERS["series"](), b"1\t1,0\n\n-1e300\t1,0\n", ["line 3", "at most 3.4e+38"],
    ),
    "text that is UTF-16": (Text(), "one two\n".encode("utf-16"), ["UTF-16", "iconv -f UTF-16 -t UTF-8"]),
    "text that is UTF-16 without a mark": (Text(), "a b\n".encode("utf-16-le"), ["line 1", "iconv -f UTF-16LE"]),
    "columns that are packed": (columns_reader, gzip.compress(b"a O\n"), ["gzip", "gzip -dk"]),
    "series that are packed": (READERS["series"](), lzma.compress(b"1\t1,0\n"), ["xz", "xz -dk"]),
    "conllu that is packed": (conllu_reader, bz2.compress(b"# c\n"), ["bzip2", "bzip2 -dk"]),
    "text in a zip archive": (Text(), b"PK\x03\x04 and so on", ["zip archive", "python -m zipfile -e"]),
    "series that are not UTF-8": (READERS["series"](), b"1\t1,0\n1\t\xff\n", ["line 2", "byte 8 "]),
    "pairs without a target": (Pairs(), b"a\tb\n\na b\n", ["line 3", "1 column,", "column 1 (target_column"]),
    "pairs with an empty target": (Pairs(), "a\tb\na\t\u00a0\n".encode(), ["line 2", "the target is empty (column 1"]),
    "pairs with an empty source": (Pairs(1, 0), b"a\tb\na\t\n", ["line 2", "the source is empty (column 1"]),
    "pairs without features": (Pairs(feature_column=2), b"a\tb\n", ["line 1", "column 2 (feature_column"]),
    "pairs without a group": (
        Pairs(group_columns=(0, 3)), b"a\tb\n", ["line 1", "column 3 (group_columns", "data.reader.group_columns="],
    ),
    "pairs whose sides are one column": (Pairs(1, 1), b"a\tb\n", ["line 1", "are both 1"]),
    "pairs that are not UTF-8": (Pairs(), b"a\tb\n\xe9\tb\n", ["line 2", "byte 4 "]),
    "a dictionary with a word without phones": (
        Dictionary(), b"A  AH\n\nB # C\n", ["line 3", "'B' has no pronunciation"],
    ),
    "a dictionary of words alone": (Dictionary(), b"A\t\n", ["line 1", "'A' has no pronunciation"]),
    "a file of sources that is named otherwise": (
        Aligned(source=".en", target=".de"), b"a\n", ["must end in .en", "in .de"],
    ),
    "a file that is source and target": (Aligned(source="e", target="e"), b"a\n", ["must end in e"]),
    "a name that is the end of names": (Aligned(source="bad file", target="e"), b"a\n", ["must end in bad file"]),
    "brown that is no zip": (READERS["brown"](), b"not a zip", ["not the Brown corpus"]),
}  # fmt: skip


def stored(reader: str, folder: Path, content: str) -> Path:
    """A file of the format that the reader reads, with ``content`` in it."""
    path = folder / f"a file.{reader}"
    if reader == "brown":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("brown/README", "not/a sample")
            archive.writestr("brown/ca01", content)
    elif reader == "aligned":
        path = folder / "at"
        sources, _, targets = content.partition("\f")
        path.write_bytes(sources.encode())
        path.with_name("au").write_bytes(targets.encode())
    else:
        path.write_bytes(content.encode())
    return path


def plain(record: Record) -> dict[str, Any]:
    """Content without the difference between tuples, lists and strings."""
    found = {name: value if isinstance(value, bool | float) else list(value) for name, value in record.items()}
    if "references" in record:
        found["references"] = [list(answer) for answer in record["references"]]
    return found


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


@pytest.mark.parametrize(
    ("place", "value"),
    [(6, 1), (8, 99), (-10, 255)],
    ids=["with a password", "packed by an unknown method", "an odd size of the list"],
)
def test_an_archive_that_zipfile_cannot_read_is_not_the_brown_corpus(place: int, value: int, tmp_path: Path) -> None:
    path = tmp_path / "brown.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("brown/ca01", "The/at dog/nn\n")
    content = bytearray(path.read_bytes())
    content[place] = value
    if place > 0:  # in the list of entries, too
        content[content.index(b"PK\x01\x02") + place + 2] = value
    path.write_bytes(content)
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
    suffixes = ("txt", "conllu", "conll", "bio", "tsv", "series", "dict")
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


@pytest.mark.parametrize("reader", ["conllu", "columns", "series"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_is_filled_with_its_own_lines_and_line_ends(reader: str, end: str, tmp_path: Path) -> None:
    read, content, _ = GOOD[reader][0]
    content = content.replace("\n", end)
    path = stored(reader, tmp_path, content)
    records = list(read.read(path))
    values = [record[read.fills] for record in records]
    flat = map(str, values) if reader == "series" else (label for labels in values for label in labels)
    assert [record.lines[0] for record in records] == sorted({record.lines[0] for record in records})  # type: ignore[attr-defined]
    assert b"".join(read.fill(path, flat)).replace(b"-0.1", b"-1e-1") == content.encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_targets_are_filled_into_lines_that_are_kept_otherwise(end: str, tmp_path: Path) -> None:
    files = {
        "pairs": ("h\ti\n\na\tb\tc d \ne\tf\n", "h\ti\n\na\tX Y\tc d \ne\tZ\n"),
        "dictionary": (";;; c\n\nA  B C # d\nA(2)  D\n e\tF G \n", ";;; c\n\nA  X Y # d\n e\tZ \n"),
        "aligned": ("a\nb\n\f\ufeff c\n\nd", "\ufeffX Y\n\nZ"),
    }
    named = {"pairs": Pairs(header=("h", "i")), "dictionary": Dictionary(), "aligned": Aligned(source="t", target="u")}
    for name, (content, filled) in files.items():
        path = stored(name, tmp_path, content.replace("\n", end))
        assert b"".join(named[name].fill(path, iter(["X Y", "Z"]))).decode() == filled.replace("\n", end), name


@pytest.mark.parametrize(("sources", "targets", "named"), [
    ("a\nb\n", "x\n", ["t has 2 lines", "u has 1 lines", "not aligned"]),
    ("a\n", "x\ny\nz\n", ["t has 1 lines", "u has 3 lines"]),
    ("a\nb\n", "x\n\n", ["u, line 2 is empty", "that of", "t is not"]),
    ("a\n\u00a0\n", "x\ny\n", ["t, line 2 is empty"]),
    ("a\n", None, ["u does not exist"]),
])  # fmt: skip
def test_files_that_are_not_aligned_are_named_with_their_lines(
    sources: str, targets: str | None, named: list[str], tmp_path: Path
) -> None:
    path = stored("aligned", tmp_path, f"{sources}\f{targets or ''}")
    if targets is None:
        path.with_name("au").unlink()
    with pytest.raises(BadInput) as caught:
        list(Aligned(source="t", target="u").read(path))
    assert all(part in str(caught.value) for part in named), caught.value
    assert str(tmp_path) in str(caught.value)


def test_both_files_of_a_split_are_its_files(tmp_path: Path) -> None:
    path = tmp_path / "train.en"
    assert Aligned(source=".en", target=".de").files(path) == [path, tmp_path / "train.de"]
    assert Pairs().files(path) == [path]


def test_phones_are_filled_into_words_that_have_none(tmp_path: Path) -> None:
    path = stored("dictionary", tmp_path, ";;; words\nAB\n C # two\r\nD  X\nE\t# five\n")
    reader = Dictionary()
    assert [record["source"] for record in reader.questions(path)] == ["AB", "C", "D", "E"]
    assert b"".join(reader.fill(path, iter("1234"))) == b";;; words\nAB  1\n C  2 # two\r\nD  3\nE\t4 # five\n"
    with pytest.raises(BadInput, match="line 2: 'AB' has no pronunciation"):
        list(reader.read(path))


def test_a_plain_line_is_read_as_the_source_of_a_file(tmp_path: Path) -> None:
    inflection = Pairs(feature_column=2, source_unit="characters")
    path = stored("pairs", tmp_path, "ab\tx\tV;PST\n")
    (record,) = inflection.read(path)
    assert isinstance(record, Located)
    assert inflection.symbols("source", "ab\tV;PST") == record["source"] == ["a", "b", "<V>", "<PST>"]
    assert Pairs(source_unit="tokens").symbols("source", "Go.") == ["Go", "."]
    assert Dictionary().symbols("source", "ABC") == "ABC"
    assert Text("characters").symbols("tokens", "ab") == "ab\n"


@pytest.mark.parametrize("scheme", ["bio", "bioes", "bilou", "bmes"])
def test_spans_are_written_in_the_scheme_of_the_file(scheme: str, tmp_path: Path) -> None:
    spans = {
        "bio": "B B I B I I O B", "bioes": "S B E B I E O S", "bilou": "U B L B I L O U", "bmes": "S B E B M E O S",
    }[scheme].split()  # fmt: skip
    lines = "".join(f"w  {label if label == 'O' else f'{label}-X'} \n" for label in spans) + "\n"
    path = tmp_path / "a.conll"
    path.write_text(2 * lines, encoding="utf-8")
    read = Columns(scheme=scheme)  # type: ignore[arg-type]
    records = [record["labels"] for record in read.read(path)]
    assert records == 2 * [["B-X", "B-X", "I-X", "B-X", "I-X", "I-X", "O", "B-X"]]
    assert b"".join(read.fill(path, (label for labels in records for label in labels))) == path.read_bytes()


@pytest.mark.parametrize(("content", "suffix"), [
    ("caf\u00e9 au lait\n".encode("latin-1"), ""), (b"one \xc3 two\n", ""), ("a b\n".encode("utf-16"), ""),
    (gzip.compress(b"a b\n"), ""), (gzip.compress(b"a b\n"), ".gz"), (lzma.compress(b"a b\n"), ".xz"),
    (bz2.compress(b"a b\n"), ".bz2"), ("a b\n".encode("utf-32"), ""), ("a b\n".encode("utf-16-be"), ""),
    ("a b\n".encode("utf-16-le"), ""), ("a b\n".encode("utf-32-be"), ""), (b"a b\r\r\n", ""),
    (lzma.compress(b"a b\n", lzma.FORMAT_ALONE), ".lzma"),
], ids=["latin-1", "cut UTF-8", "UTF-16", "gzip without suffix", "gzip", "xz", "bzip2", "UTF-32", "UTF-16BE",
        "UTF-16LE", "UTF-32BE", "CR CR LF", "lzma"])  # fmt: skip
def test_the_remedy_for_damaged_and_packed_files_helps_when_it_is_typed(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a file.txt{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        list(Text().read(path))
    command = str(caught.value).rpartition(": ")[2]
    subprocess.run(["bash", "-c", command], check=False, stderr=subprocess.DEVNULL)  # iconv -c returns 1
    (record,) = Text().read(tmp_path / "a file.txt")
    assert record["tokens"] in (["a", "b"], ["one", "two"], ["caf", "au", "lait"])
    assert content in [file.read_bytes() for file in tmp_path.iterdir()] or suffix == ""  # nothing is lost
