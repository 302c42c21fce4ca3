"""What an experiment declares before it is run: what counts as solved, and the figure that answers its question."""

from __future__ import annotations

from collections.abc import Mapping

from unroll.config.corpus import DataConfig
from unroll.errors import BadInput
from unroll.metrics import metric_of, parse_solved

NEEDS = {"f1": "scheme", "precision": "scheme", "recall": "scheme", "accuracy/": "probe"}  # figure → reader option


def declared(solved: str | None, judged_by: str | None, task: str) -> dict[str, str]:
    """The metric that each declaration names, by the declaration as it is written.

    Args:
        solved, judged_by: the declarations; None for none.
        task: its name.

    Raises:
        BadInput: the task does not report the metric, or a solution is not of the form METRIC <= NUMBER.
    """
    named = {}
    if solved is not None:
        named[f"solved={solved!r}"] = parse_solved(solved, task).metric.name
    if judged_by is not None:
        try:
            named[f"judged_by={judged_by!r}"] = metric_of(task, judged_by).name
        except BadInput as error:
            raise BadInput(f"judged_by={judged_by!r}: {str(error).rstrip('.')}") from None
    return named


def check_figures(figures: Mapping[str, str], data: DataConfig) -> None:
    """Refuse to declare anything by a figure that runs do not have.

    Args:
        figures: see :func:`declared`.
        data: settings of the corpus.

    Raises:
        ValueError: an option of the reader is missing without which there is no such figure.
    """
    for text, name in figures.items():
        for kind, option in NEEDS.items():
            if name.startswith(kind) and data.option(option) is None:
                raise ValueError(
                    f"{text} needs data.reader.{option}, without which there is no {name}; "
                    f"without such a figure, set {text.partition('=')[0]}=null"
                )
        if name == "bits_per_character" and "characters" not in data.units:
            raise ValueError(f"{text} needs characters: data.reader={{name: text, unit: characters}}")
