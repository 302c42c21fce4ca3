"""Public corpora of pairs, from a mirror that has them: the records of their descriptions, and no leaks into train."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from unroll import config, preparation
from unroll.data.corpus import SPLITS
from unroll.data.fields import Record
from unroll.data.vocabulary import END

MIRROR = os.environ.get("UNROLL_MIRROR", "")


class Facts(NamedTuple):
    """Records of each split, and one of train."""

    counts: tuple[int, int, int]
    source: str
    target: str


FACTS = {
    "multi30k-en-de": Facts((29_000, 1_014, 1_000), "A man in a blue shirt is standing on a ladder cleaning a window .",
                            "Ein Mann in einem blauen Hemd steht auf einer Leiter und putzt ein Fenster ."),
    "tatoeba-spa-eng": Facts((105_970, 5_926, 5_906), "¿ Quién ?", "Who ?"),
    "cmudict-g2p-split": Facts((107_882, 5_447, 11_994), "A A C H E N", "AA K AH N"),
    "sigmorphon2018-task1-german": Facts((10_000, 1_000, 1_000), "H a h n <N> <GEN> <SG>", "H a h n e s"),
    "sigmorphon2020-g2p-dutch": Facts((3_600, 450, 450), "a a g j e", "aː x j ə"),
}  # fmt: skip


LARGE = ("tatoeba-spa-eng", "cmudict-g2p-split")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in FACTS]
)
def test_a_public_corpus_has_the_records_of_its_description(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path(MIRROR, name).is_dir():
        pytest.skip("UNROLL_MIRROR has no such corpus")
    monkeypatch.setenv("UNROLL_MIRROR", MIRROR)
    preparation.fetch_corpus(config.corpora()[name])
    found: dict[str, list[Record]] = defaultdict(list)
    for split, record in config.corpora()[name].build_corpus().records():
        found[split].append(record)
    assert tuple(len(found[split]) for split in SPLITS) == FACTS[name].counts
    sides = [" ".join(symbol for symbol in record["source"][:-1]) for record in found["train"]]
    at = sides.index(FACTS[name].source)
    assert " ".join(found["train"][at]["target"]) == f"{FACTS[name].target} {END}"
    judged = {" ".join(record["source"][:-1]) for split in SPLITS[1:] for record in found[split]}
    if "g2p" in name or "tatoeba" in name:
        assert not judged & set(sides)
    several = sum(len(record["references"]) > 1 for record in found["test"])
    # of 801 words with several lines, 20 have the same phones in all
    assert several == (781 if name == "cmudict-g2p-split" else 0)
