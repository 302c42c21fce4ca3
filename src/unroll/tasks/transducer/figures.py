"""Figures of the texts of answers, by their names in the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torchmetrics import Metric

from unroll.tasks.texts import ROUGE, Bleu, Chrf, ErrorRate, References, Rouge

METRICS: dict[str, Callable[[bool], Metric]] = {  # given whether case does not count
    "bleu": Bleu,
    "chrf": Chrf,
    "word_error_rate": lambda _: ErrorRate("words"),
    "character_error_rate": lambda _: ErrorRate("characters"),
    "rouge": lambda _: Rouge(),
}


class TextFigures(nn.Module):
    """Figures of a whole split that are not means over its records.

    Args:
        names: names of the figures.
        lowercase: whether texts and right answers are in lower case, which signatures state.
    """

    def __init__(self, names: Sequence[str], lowercase: bool) -> None:
        super().__init__()
        self.metrics = nn.ModuleDict({name: METRICS[name](lowercase) for name in names})

    def update(self, texts: Sequence[str], references: References) -> None:
        """Add texts, each with its right answers."""
        if texts:
            for metric in self._typed():
                metric.update(texts, references)

    def reset(self) -> None:
        """Forget all texts."""
        for metric in self._typed():
            metric.reset()

    def compute(self) -> dict[str, float]:
        """The figures of all texts, in all processes."""
        found: dict[str, float] = {}
        for name, metric in zip(self.metrics, self._typed(), strict=True):
            values = metric.compute().reshape(-1).tolist()
            found |= dict(zip(ROUGE if name == "rouge" else (name,), values, strict=True))
        return found

    @property
    def signatures(self) -> dict[str, str]:
        """How figures were computed that other programs compute in other ways."""
        return {name: metric.signature for name, metric in self.metrics.items() if isinstance(metric, Bleu | Chrf)}

    def _typed(self) -> list[Metric]:
        return [metric for metric in self.metrics.values() if isinstance(metric, Metric)]
