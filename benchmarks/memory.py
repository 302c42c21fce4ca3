"""Anonymous memory of training on 10 MB and on 1 GB of generated text: the corpus is mapped, not read.

    python benchmarks/memory.py FOLDER [--large-mb N]

FOLDER gets the generated corpora (3 bytes of prepared numbers and more per byte of text: some 6 GB) and may be removed.
Each size is prepared and trained in processes of their own; the figure is RssAnon after the last step.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

TRAIN = """
import sys
from pathlib import Path
import torch
from unroll import config, experiment
from unroll.experiment.prepared_data import PreparedData
settings = config.compose(["experiment=tinyshakespeare", "arch.encoder.hidden_size=64", "training.precision=32"])
data = PreparedData(settings, Path(sys.argv[1]))
splits = {name: data.split(name) for name in ("train", "validation")}
loader, _ = experiment.loaders(settings, data.spec, splits)
task = experiment.build_task(settings, data.spec)
optimizer = task.configure_optimizers()["optimizer"]
torch.set_num_threads(1)
for index, batch in zip(range(300), loader):
    task.training_step(batch, index).backward()
    optimizer.step()
    optimizer.zero_grad()
status = Path("/proc/self/status").read_text().splitlines()
print({line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith(("RssAnon", "RssFile"))})
"""
PREPARE = """
import sys, resource
from pathlib import Path
from unroll.data.corpus import Corpus
from unroll.data.prepare import prepare
from unroll.data.readers.text import Text
corpus = Corpus(reader=Text("characters"), files={"train": Path(sys.argv[1])}, cuts=(0.9, 0.1), sentence_end=False,
                lowercase=False, normalize=False, min_count=1, vectors=None)
prepare(corpus, Path(sys.argv[2]))
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB")
"""


def generate(path: Path, megabytes: int) -> None:
    draw = random.Random(0)
    words = [
        "".join(chr(97 + int(draw.random() * 26)) for _ in range(2 + int(draw.random() * 8))) for _ in range(5_000)
    ]
    lines = [" ".join(words[int(draw.random() ** 2 * 5_000)] for _ in range(12)) + "\n" for _ in range(20_000)]
    block = "".join(lines)
    with path.open("w", encoding="ascii") as file:
        for _ in range(megabytes * 1_000_000 // len(block) + 1):
            file.write(block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large-mb", type=int, default=1_000)
    options = parser.parse_args()
    for megabytes in (10, options.large_mb):
        source, prepared = options.folder / f"{megabytes}.txt", options.folder / f"{megabytes}"
        generate(source, megabytes)
        start = time.time()
        made = subprocess.run(
            [sys.executable, "-c", PREPARE, source, prepared], check=True, capture_output=True, text=True
        )
        seconds = time.time() - start
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", TRAIN, prepared], check=True, capture_output=True,
                              text=True)  # fmt: skip
        print(f"{source.stat().st_size / 1e6:.0f} MB: prepared in {seconds:.0f} s ({made.stdout.strip()}); "
              f"training kB: {done.stdout.strip()}")  # fmt: skip


if __name__ == "__main__":
    main()
