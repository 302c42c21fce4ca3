"""Finished runs, loaded from their folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from torch import Tensor, nn

from unroll.config import Config, load
from unroll.config.section import plain
from unroll.data.vocabularies import Vocabularies
from unroll.errors import BadInput, is_lack_of_memory
from unroll.experiment.building import build_network, task_of
from unroll.experiment.memory import refuse_too_large
from unroll.experiment.prepared_data import roles_of
from unroll.formats import RUN, refuse_format
from unroll.history import HISTORY
from unroll.outputs import MISREAD, read_json, restored
from unroll.plugins import refuse_other
from unroll.tasks.network import TaskNetwork

if TYPE_CHECKING:
    from unroll.tasks.base import Task

WEIGHTS = "weights.safetensors"
RUN_FILES = ("config.yaml", "vocabulary.json", WEIGHTS, "run.json")
FOLDER = ("run.json", WEIGHTS, *RUN_FILES, HISTORY)  # files of a folder that may be replaced


@dataclass
class Trained:
    """A finished run.

    Args:
        config: settings of the run.
        vocabularies: vocabularies by field of the corpus.
        vocabulary: the same vocabularies by role of the task.
        network: network with its weights.
    """

    config: Config
    vocabularies: Vocabularies
    vocabulary: Vocabularies
    network: TaskNetwork

    @cached_property
    def task(self) -> Task:
        """The LightningModule with the metrics; its module imports lightning."""
        return task_of(self.config, self.network).eval()

    @classmethod
    def load(cls, folder: Path) -> Trained:
        """Load the folder of a run.

        Raises:
            BadInput: the folder is not a run, or its files do not belong together.
        """
        for name in RUN_FILES:
            if not (folder / name).is_file():
                raise BadInput(f"{folder} is not a run: it has no {name}; name a folder that unroll train wrote.")
        facts = read_facts(folder)
        vocabularies = Vocabularies.load(folder / "vocabulary.json")
        refuse_other(facts.get("plugins", {}), str(folder))
        config = load(folder / "config.yaml")
        try:
            if facts["vocabulary"] != vocabularies.digest:
                raise BadInput(
                    f"{folder}/vocabulary.json is from another run; put the run's own one back, or train again."
                )
            content = (folder / WEIGHTS).read_bytes()
            if facts["weights"] != hashlib.sha256(content).hexdigest():
                raise BadInput(
                    f"{folder / WEIGHTS} is damaged, or from another run; put the run's own one back, or train again."
                )
            vocabulary = vocabularies.under(roles_of(config, vocabularies))
            refuse_too_large(config, vocabulary.spec, trains=False)
            network = build_network(config, vocabulary.spec)
            load_tensors(network, read_tensors(content))
        except BadInput:
            raise
        except (SafetensorError, RuntimeError, *MISREAD) as error:
            if is_lack_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:160]
            raise BadInput(f"{folder} is damaged ({reason}); train the run again.") from None
        return cls(config, vocabularies, vocabulary, network.eval())


def read_facts(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        BadInput: it is missing or damaged, or has another format.
    """
    path, remedy = folder / "run.json", "train the run again"
    facts = read_json(path, remedy)
    refuse_format(facts.get("format", 0), RUN, path)
    try:
        facts["best"] = restored(facts["best"])
        fits = all(isinstance(facts[name], str) for name in ("fingerprint", "vocabulary", "weights"))
        fits = fits and all(type(facts[name]) is int and facts[name] >= 0 for name in ("parameters", "tokens"))
        fits = fits and all(
            isinstance(facts.get(name, {}), dict) for name in ("order", "data", "measured_on", "evaluation", "plugins")
        )
        if not fits or "order" not in facts:
            raise TypeError
    except MISREAD:
        raise BadInput(f"{path} is damaged; {remedy}.") from None
    return facts


def is_whole(folder: Path, facts: dict[str, Any]) -> bool:
    """Whether the folder of a run has all of its files, undamaged."""
    try:
        load(folder / "config.yaml")
        vocabularies = Vocabularies.load(folder / "vocabulary.json").digest
        weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (BadInput, OSError):
        return False
    return bool(vocabularies == facts["vocabulary"] and weights == facts["weights"] and (folder / HISTORY).is_file())


def refuse_another(config: Config, out: Path) -> None:
    """Refuse to replace a finished run with other settings.

    DVC removes the outputs of a stage before it runs it, so this does not affect stages.

    Args:
        config: settings of the run to train, with the precision of this machine.
        out: folder of the run.

    Raises:
        BadInput: the folder has a run with other settings.
    """
    try:
        there = load(out / "config.yaml")
        read_facts(out)
    except BadInput:  # missing or unusable
        return
    if there.digest() == config.digest():
        return
    what = there.name
    if what == config.name:
        key, before, now = next(_different(there.decisive(), config.decisive()))
        what = f"{what} with {key}={plain(before)}, not {plain(now)}"
    raise BadInput(f"{out} is the finished run {what}; name another folder with --out, or delete this one first to "
                   f"replace it with {config.name}.")  # fmt: skip


def _different(a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object, object]]:
    """Dotted names of differing settings, with both values."""
    for key in a | b:
        before = a.get(key)
        now = b.get(key)
        name = f"{prefix}{key}"
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _different(before, now, f"{name}.")
        elif before != now:
            yield name, before, now


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Weights and tables of a network, each once even where two places share it; not what its settings alone decide."""
    kept = network.state_dict()
    found = [*network.named_parameters(), *network.named_buffers()]
    return {name: value.detach() for name, value in found if name in kept}


def load_tensors(network: nn.Module, values: dict[str, Tensor]) -> None:
    """Put back what :func:`tensors` gave.

    Raises:
        RuntimeError: names or shapes differ.
    """
    if set(values) != set(tensors(network)):
        raise RuntimeError(f"its weights are {', '.join(sorted(values))}")
    network.load_state_dict(values, strict=False)
