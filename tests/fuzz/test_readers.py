"""Every reader understands a file or refuses it in one sentence that names it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import pytest
from conftest import SERIES, TAGGED, TEXT
from fuzzing import COMMANDS, FIGURES, READERS, SETTINGS, STATE, TIERS, command_ends_well, damaged, fuzz, refusal
from hypothesis import strategies as st

from unroll.data.corpus import Corpus
from unroll.data.readers import Reader, reader_named, readers
from unroll.data.survey import survey
from unroll.data.vectors import read_vectors

COLUMNS = "word\ttag\nthe\tO\ndog\tB-A\nruns\tI-A\n\n-DOCSTART-\tO\n\n# id = 1\na\tO\ncat\tB-B\n"
VECTORS = "3 2\nthe 0.1 -0.2\n. . 1e-3 4\nü 0 1\n"
BROWN = b"\n\tThe/at dog/nn ran/vbd ./.\n\n\n\tIt/pps 's/bez 1\\/2/cd ''/''\n"


def _zipped(sample: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with a sample of the Brown corpus."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("brown/ca01"), sample, method)
    return packed.getvalue()


ENDS = {"source": "e", "target": "e2"}  # of file and file2
SAMPLES = {
    "aligned": [b"a b\nc\n\n\fx\ny, z.\n\n", b"\f", b"a\r\n\fb"],
    "brown": [_zipped(BROWN, zipfile.ZIP_DEFLATED), _zipped(BROWN, zipfile.ZIP_STORED)],
    "columns": [COLUMNS.encode(), b"1 the _ DET\n2 dog _ NOUN\n\n1 it _ PRON\n", b"a S-X\nb B-X\nc E-X\n"],
    "conllu": [TAGGED.encode(), b"# text = x\n1-2\tim\t_\t_\t_\t_\t_\t_\t_\t_\n" + TAGGED.encode()],
    "dictionary": [b";;; c\nABC  A B\nABC(2)  A  # d\n\nx y\ta b\n"],
    "pairs": [b"two\tzwei\tA;B\n\n3, 4.\tdrei\t_\tmore\n"],
    "series": [SERIES.encode(), b"1e-3\t1 2 3\n-4\t5 6\n"],
    "text": [TEXT.encode(), b"= title =\n\na b\n"],
}  # fmt: skip
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "aligned": [ENDS, ENDS | {"source_unit": "characters", "target_unit": "tokens"}],
    "columns": [{}, {"scheme": "bio"}, {"scheme": "bioes"}, {"scheme": "bilou", "header": ("a", "b")},
                {"token_column": 1, "label_column": 3}, {"label_column": -5}],
    "conllu": [{}, {"probe": "Context"}, {"probe": "Distance", "contrast": "Contrast"}],
    "pairs": [{}, {"feature_column": 2, "source_unit": "characters", "target_unit": "tokens"},
              {"source_column": 1, "target_column": 0, "group_columns": (2,), "header": ("two", "zwei", "A;B")}],
    "text": [{}, {"unit": "characters"}],
}  # fmt: skip


def test_the_slow_tier_draws_20000_examples() -> None:
    assert READERS + SETTINGS + STATE + FIGURES + COMMANDS >= 20_000


def test_every_reader_has_a_sample() -> None:
    assert {*SAMPLES} == {*readers()}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("tier", TIERS)
def test_a_file_is_read_or_refused(tier: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"

    def check(drawn: tuple[bytes, dict[str, Any]]) -> None:
        content, options = drawn
        if name == "aligned":
            content, _, other = content.partition(b"\f")
            path.with_name("file2").write_bytes(other)
        path.write_bytes(content)
        reader = reader_named(name)(**options)
        _refused_by_name(path, lambda: _read(reader, path))

    contents = damaged(*SAMPLES[name])
    if name == "brown":
        contents = st.one_of(contents, damaged(BROWN).map(_zipped))
    drawn = st.tuples(contents, st.sampled_from(OPTIONS.get(name, [{}])))
    fuzz(tier, (READERS - 2000) // len(SAMPLES), drawn, check)


def _read(reader: Reader, path: Path) -> None:
    """Read a file as a whole corpus, and fill it in."""
    reader.check([path])
    survey(Corpus(reader, {"train": path}, (0.8, 0.1), False, False, False, 1, None))
    if reader.fills:
        b"".join(reader.fill(path, islice(repeat("X"), path.stat().st_size)))


def _refused_by_name(path: Path, read: Callable[[], object]) -> None:
    sentence = refusal(read)
    assert not sentence or path.name in sentence


@pytest.mark.parametrize("tier", TIERS)
def test_vectors_are_read_or_refused(tier: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        _refused_by_name(path, lambda: list(read_vectors(path)))

    fuzz(tier, 1000, damaged(VECTORS.encode()), check)


@pytest.mark.parametrize("tier", TIERS)
def test_a_corpus_is_added_as_a_whole_or_not_at_all(tier: str, project: Path) -> None:
    def check(drawn: tuple[bytes, str, bool]) -> None:
        content, name, is_forced = drawn
        Path(name).write_bytes(content)
        number = len(list(Path("conf/data").iterdir()))
        command_ends_well(["data", "add", name, "--name", f"c{number}", *(["--force"] if is_forced else [])])
        Path(name).unlink()

    samples = [sample * 5 for some in SAMPLES.values() for sample in some]
    names = st.sampled_from(["a.conllu", "a.txt", "a.tsv", "a.series", "ü [.bio", "a.b", "${x}.txt"])
    fuzz(tier, 1000, st.tuples(damaged(*samples), names, st.booleans()), check)
