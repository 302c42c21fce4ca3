"""Figures of texts against right answers, over a whole corpus: sums that batches and processes add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics import __version__ as version
from torchmetrics.functional.text import rouge_score
from torchmetrics.text import SacreBLEUScore

from unroll.data.units import split

ORDER = 6  # longest n-grams of characters
ROUGE = ("rouge1", "rouge2", "rougeL")
References = Sequence[Sequence[str]]  # the right answers of each text, at least one


class Bleu(SacreBLEUScore):
    """BLEU in per cent (Papineni et al. 2002), of the tokens of mteval-v13a, as sacrebleu counts it (Post 2018).

    The geometric mean of the precisions of 1- to 4-grams, times min(1, exp(1 − r/c)), with c the length of all texts
    and r that of their closest right answers; of two equally close ones the shorter. Without smoothing, it is 0 if no
    4-gram is right.

    Args:
        lowercase: whether case does not count.
    """

    full_state_update = False

    def __init__(self, lowercase: bool = False) -> None:
        super().__init__(tokenize="13a", lowercase=lowercase)
        self.lowercase = lowercase
        self.set_dtype(torch.float64)  # counts of a large corpus stay exact

    @property
    def signature(self) -> str:
        """How it was computed, in the form of sacrebleu, which figures need to be compared."""
        case = "lc" if self.lowercase else "mixed"
        return f"case:{case}|eff:no|tok:13a|smooth:none|version:torchmetrics-{version}"

    def update(self, texts: Sequence[str], references: References) -> None:
        """Add texts, each with its right answers."""
        super().update(texts, [sorted(each, key=self._length) if len(each) > 1 else each for each in references])

    def compute(self) -> Tensor:
        """The score of everything that was added."""
        return 100 * super().compute()

    def _length(self, text: str) -> int:
        return len(self.tokenizer(text))


class Chrf(Metric):
    """chrF2 in per cent (Popović 2015), as sacrebleu counts it: characters without blanks, n-grams of 1 to 6 of them.

    (1 + β²) P R / (β² P + R) with β = 2, and P and R the means of precision and recall over the lengths of n-grams that
    occur in both. Of several right answers the one with the best score counts. CHRFScore of torchmetrics is a mean of
    F-scores instead, which is the score of other programs.

    Args:
        lowercase: whether case does not count.

    Shapes:
        counts: [6, 3] n-grams of the texts, of the right answers, and of both, by their length
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, lowercase: bool = False) -> None:
        super().__init__()
        self.lowercase = lowercase
        self.add_state("counts", torch.zeros(ORDER, 3, dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def signature(self) -> str:
        """How it was computed, in the form of sacrebleu."""
        case = "lc" if self.lowercase else "mixed"
        return f"case:{case}|eff:yes|nc:{ORDER}|nw:0|space:no"

    def update(self, texts: Sequence[str], references: References) -> None:
        """Add texts, each with its right answers."""
        total = Counter[tuple[int, int]]()
        for text, answers in zip(texts, references, strict=True):
            own = self._ngrams(text)
            best = max((_common(own, self._ngrams(answer)) for answer in answers), key=_chrf)
            total.update({(n, kind): count for n, row in enumerate(best) for kind, count in enumerate(row)})
        self.counts += torch.tensor([[total[n, kind] for kind in range(3)] for n in range(ORDER)]).to(self.counts)

    def compute(self) -> Tensor:
        """The score of everything that was added."""
        return torch.tensor(100 * _chrf(self.counts.tolist()), dtype=torch.float64)

    def _ngrams(self, text: str) -> list[Counter[str]]:
        """The n-grams of a text by their length."""
        text = "".join((text.lower() if self.lowercase else text).split())
        return [Counter(text[at : at + n] for at in range(len(text) - n + 1)) for n in range(1, ORDER + 1)]


class ExactMatch(Metric):
    """Share of texts that equal one of their right answers; the word error rate of pronunciations is 1 minus it."""

    full_state_update = False
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.items = 0
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, texts: Sequence[str], references: References) -> None:
        """Add texts, each with its right answers."""
        self.right += matches(texts, references).sum().to(self.right.device)
        self.count += len(texts)

    def compute(self) -> Tensor:
        """The share of everything that was added; NaN of nothing."""
        self.items = int(self.count)
        return self.right.double() / self.count


class ErrorRate(Metric):
    """Edits per symbol of the right answers: the word, character or phone error rate, of words between blanks.

    Σ distance(text, answer) / Σ length(answer), where the answer of a text is the one with the fewest insertions,
    deletions and substitutions; of equal ones the longest.

    Args:
        unit: ``words``, which may be phones, or ``characters``.
    """

    full_state_update = False
    edits: Tensor
    symbols: Tensor

    def __init__(self, unit: str = "words") -> None:
        super().__init__()
        self.unit = unit
        self.add_state("edits", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("symbols", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, texts: Sequence[str], references: References) -> None:
        """Add texts, each with its right answers."""
        for text, answers in zip(texts, references, strict=True):
            symbols = split(text, self.unit)
            known = (split(answer, self.unit) for answer in answers)
            edits, length = min((distance(symbols, answer), -len(answer)) for answer in known)
            self.edits += edits
            self.symbols -= length

    def compute(self) -> Tensor:
        """The rate of everything that was added; NaN of nothing."""
        return self.edits.double() / self.symbols


class Rouge(Metric):
    """ROUGE-1, -2 and -L (Lin 2004): mean F-scores of words, word pairs and longest common subsequences.

    Of several right answers the best counts, for each of the three. Words are runs of a–z and 0–9 in lower case, as in
    the scorer of Google Research, so the figures are those of English text.

    Shapes:
        the score: [3] in the order of :data:`ROUGE`
    """

    full_state_update = False
    totals: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("totals", torch.zeros(len(ROUGE), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, texts: Sequence[str], references: References) -> None:
        """Add texts, each with its right answers."""
        for text, answers in zip(texts, references, strict=True):
            self.totals += torch.stack([_rouge(text, answer) for answer in answers]).amax(0).to(self.totals)
        self.count += len(texts)

    def compute(self) -> Tensor:
        """The mean of everything that was added: [3]; NaN of nothing."""
        return self.totals / self.count


def matches(texts: Sequence[str], references: References) -> Tensor:
    """Whether each text equals one of its right answers: [B] bool."""
    return torch.tensor([text in answers for text, answers in zip(texts, references, strict=True)], dtype=torch.bool)


def distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions from one sequence to the other."""
    row = list(range(len(second) + 1))
    for start, symbol in enumerate(first, start=1):
        corner, row[0] = row[0], start
        for at, other in enumerate(second, start=1):
            corner, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, corner + (symbol != other))
    return row[-1]


def _common(text: list[Counter[str]], answer: list[Counter[str]]) -> list[list[int]]:
    """Number of n-grams of a text, of a right answer, and of both, by their length; of an answer without any, none."""
    return [[own.total() if right else 0, right.total(), (own & right).total()]
            for own, right in zip(text, answer, strict=True)]  # fmt: skip


def _chrf(counts: Sequence[Sequence[int]]) -> float:
    """chrF2 of counts of n-grams, from 0 to 1."""
    found = [(both / own, both / right) for own, right, both in counts if own and right]
    if not any(precision for precision, _ in found):
        return 0.0
    precision = sum(precision for precision, _ in found) / len(found)
    recall = sum(recall for _, recall in found) / len(found)
    return 5 * precision * recall / (4 * precision + recall)


def _rouge(text: str, answer: str) -> Tensor:
    """F-scores of one text: [3]."""
    found: dict[str, Any] = rouge_score(text, answer, rouge_keys=ROUGE)
    return torch.stack([found[f"{key}_fmeasure"] for key in ROUGE])
