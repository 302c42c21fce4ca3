"""What it saves to read each distinct form once instead of every word: the same features, in turn, B = 32.

    python benchmarks/characters.py [--rounds N]

On UD English EWT where UNROLL_MIRROR names a folder that has it, else on the embedded grammar corpus. Both sides take
the same batches and give the same vectors, which is asserted. Training: word vectors joined with the features of their
characters, forwards and backwards; and a whole step of a tagger, with a BiLSTM of 200 and Adam. Evaluation: the vectors
of every word of the validation split. The ratio is that of the medians, with the least and greatest of the rounds
beside.
"""

from __future__ import annotations

import argparse
import lzma
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells import LSTMCell
from unroll.data.batch import Batch, DataSpec
from unroll.data.buckets import Buckets
from unroll.data.corpus import SPLITS, Corpus
from unroll.data.generators import GENERATORS
from unroll.data.prepare import prepare
from unroll.data.prepared import open_split, open_vocabularies
from unroll.data.readers.conllu import Conllu
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN
from unroll.networks.embedding import WordEmbedding, Words, embed
from unroll.networks.recurrent import Recurrent

BATCH, STEPS, THREADS = 32, 60, 1
Embed = Callable[[Batch], Tensor]


def corpus(folder: Path) -> tuple[str, Path]:
    """Name of the corpus and the folder with its three files."""
    mirror = Path(os.environ.get("UNROLL_MIRROR", "")) / "ud-english-ewt"
    if not mirror.is_dir():
        GENERATORS["grammar"].write(folder)
        return "grammar", folder
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        packed = (mirror / f"en_ewt-ud-{name}.conllu.xz").read_bytes()
        (folder / f"{split}.conllu").write_bytes(lzma.decompress(packed))
    return "ud-english-ewt", folder


def distinct(network: WordEmbedding, batch: Batch, table: Tensor | None) -> Tensor:
    """Each form once; in evaluation from a table of the whole split."""
    assert batch.spelling is not None
    return network(Words(batch.sequence("tokens").values, *batch.spelling, table))


def every(network: WordEmbedding, batch: Batch) -> Tensor:
    """Every word by itself, padded to the longest of the batch."""
    assert batch.spelling is not None
    forms = batch.spelling.forms[batch.mask]
    lengths = batch.spelling.lengths[forms]
    features = network.characters(batch.spelling.characters[forms, : int(lengths.max())], lengths)
    spelled = features.new_zeros(*batch.mask.shape, features.shape[1]).masked_scatter(batch.mask[..., None], features)
    return torch.cat([network.words(batch.sequence("tokens").values), spelled], dim=-1)


def table_of(network: WordEmbedding, batch: Batch) -> Tensor:
    """Features of every form of the whole split, which each batch of an evaluation has."""
    assert batch.spelling is not None
    return network.features(batch.spelling.characters, batch.spelling.lengths)


def forth_and_back(network: WordEmbedding, batch: Batch, embedded: Embed) -> None:
    network.zero_grad()
    embedded(batch).sum().backward()


class Tagger(nn.Module):
    def __init__(self, network: WordEmbedding, labels: int) -> None:
        super().__init__()
        self.network, self.recurrent = network, Recurrent(LSTMCell, network.output_size, 200, 1, True)
        self.head = nn.Linear(self.recurrent.output_size, labels)
        self.optimizer = torch.optim.Adam(self.parameters())

    def step(self, batch: Batch, embedded: Embed) -> None:
        logits = self.head(self.recurrent.outputs(embedded(batch), batch.sequence("tokens").lengths))
        self.optimizer.zero_grad()
        F.cross_entropy(logits.transpose(1, 2), batch.sequence("labels").values, ignore_index=-1).backward()
        self.optimizer.step()


def training(step: Callable[[Batch, Embed], None], batches: list[Batch], embedded: Embed) -> float:
    """Milliseconds per step."""
    start = time.perf_counter()
    for batch in batches:
        step(batch, embedded)
    return (time.perf_counter() - start) / len(batches) * 1e3


@torch.inference_mode()
def evaluation(network: WordEmbedding, loader: Buckets, once: bool) -> float:
    """Milliseconds for the whole split, the making of the batches left out."""
    batches, start = list(loader), time.perf_counter()
    table = table_of(network, batches[0]) if once else None
    for batch in batches:
        distinct(network, batch, table) if once else every(network, batch)
    return (time.perf_counter() - start) * 1e3


def shown(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def compare(what: str, rounds: int, one: Callable[[], float], other: Callable[[], float]) -> None:
    ours, theirs = zip(*[(one(), other()) for _ in range(rounds)], strict=True)
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(f"  {what}: distinct forms {shown(ours)}, every word {shown(theirs)} ms; {ratio:.2f} times faster")


def measure(network: WordEmbedding, spec: DataSpec, batches: list[Batch], validation: Buckets, rounds: int) -> None:
    sides: tuple[Embed, Embed] = (partial(distinct, network, table=None), partial(every, network))
    table = table_of(network, next(iter(validation)))
    for batch in batches[:10]:
        torch.testing.assert_close(sides[0](batch), sides[1](batch))
    for batch in validation:
        torch.testing.assert_close(distinct(network, batch, table), every(network, batch))
    alone = partial(forth_and_back, network)
    compare("training, the vectors alone", rounds, *(partial(training, alone, batches, side) for side in sides))
    tagger = Tagger(network, spec["labels"].size)
    compare("training, a whole step", rounds, *(partial(training, tagger.step, batches, side) for side in sides))
    compare(
        "evaluation, the split", rounds, *(partial(evaluation, network, validation, once) for once in (True, False))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        name, folder = corpus(Path(scratch))
        files = {split: folder / f"{split}.conllu" for split in SPLITS}
        read = Corpus(reader=Conllu(), files=files, cuts=None, sentence_end=False, lowercase=False, normalize=False,
                      min_count=2, vectors=None)  # fmt: skip
        prepare(read, folder / "prepared")
        fit, spec = folder / "prepared" / "fit", open_vocabularies(folder / "prepared").spec
        batches = list(islice(Buckets(open_split(fit / "train"), spec, ("tokens",), BATCH, 0), STEPS))
        validation = Buckets(open_split(fit / "validation"), spec, ("tokens",), BATCH, None)
        words = statistics.mean(int(batch.mask.sum()) for batch in batches)
        forms = statistics.mean(len(batch.spelling.characters) for batch in batches if batch.spelling is not None)
        print(f"{name}: {forms:.0f} distinct forms among the {words:.0f} words of a batch of {BATCH}")
        for characters in (
            CharacterCNN(spec["spelling"].size, spec["spelling"].padding_index, 30, 30, 0.0),
            CharacterBiLSTM(spec["spelling"].size, spec["spelling"].padding_index, 25, 25),
        ):
            print(type(characters).__name__)
            embedding = embed(spec["tokens"].size, 100, spec["tokens"].padding_index, 1.0)
            measure(WordEmbedding(embedding, characters), spec, batches, validation, rounds)


if __name__ == "__main__":
    main()
