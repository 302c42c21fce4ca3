"""Tasks: what is learned, one LightningModule per file."""

from unroll.tasks.base import Task
from unroll.tasks.cloze import Cloze
from unroll.tasks.language_model import LanguageModel
from unroll.tasks.regressor import Regressor
from unroll.tasks.tagger import Tagger

__all__ = ["Cloze", "LanguageModel", "Regressor", "Tagger", "Task"]
