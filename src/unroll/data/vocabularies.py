"""The vocabularies of a corpus, one per field, stored with prepared data and with each run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

from unroll.data.batch import DataSpec
from unroll.data.scoring import GroupVocabulary, ProbeVocabulary, ReferenceVocabulary
from unroll.data.vocabulary import (
    CategoryVocabulary,
    CharacterVocabulary,
    DocumentVocabulary,
    FrameVocabulary,
    LabelVocabulary,
    NumberVocabulary,
    PictureVocabulary,
    SymbolVocabulary,
    Vocabulary,
)
from unroll.errors import BadInput
from unroll.formats import refuse_format

FORMAT = 1
KINDS: dict[str, type[Vocabulary]] = {
    kind.kind: kind
    for kind in (SymbolVocabulary, CharacterVocabulary, LabelVocabulary, CategoryVocabulary, ProbeVocabulary,
                 FrameVocabulary, PictureVocabulary, NumberVocabulary, DocumentVocabulary, ReferenceVocabulary,
                 GroupVocabulary)
}  # fmt: skip


class Vocabularies(Mapping[str, Vocabulary]):
    """The vocabularies of all fields of a corpus.

    Args:
        by_field: vocabulary of each field.
    """

    def __init__(self, by_field: Mapping[str, Vocabulary]) -> None:
        self.by_field = dict(by_field)

    def __getitem__(self, field: str) -> Vocabulary:
        return self.by_field[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_field)

    def __len__(self) -> int:
        return len(self.by_field)

    @property
    def spec(self) -> DataSpec:
        """Sizes from which networks and tasks are built."""
        return {field: vocabulary.spec for field, vocabulary in self.items()}

    def under(self, roles: Mapping[str, str]) -> Vocabularies:
        """The vocabularies of the fields of a task's roles, keyed by role.

        Args:
            roles: field of each role.
        """
        return Vocabularies({role: self[field] for role, field in roles.items()})

    def symbols(self, field: str) -> SymbolVocabulary:
        """The vocabulary of a field of symbols."""
        found = self[field]
        assert isinstance(found, SymbolVocabulary)
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the content, with which a model identifies its vocabularies."""
        return hashlib.sha256(self.dumps().encode()).hexdigest()

    def dumps(self) -> str:
        """Serialise to deterministic JSON."""
        content = {field: {"kind": vocabulary.kind, **_content(vocabulary)} for field, vocabulary in self.items()}
        return json.dumps({"format": FORMAT, "fields": content}, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def load(cls, path: Path) -> Vocabularies:
        """Read ``vocabulary.json``.

        Raises:
            BadInput: the file is missing, is not a vocabulary, or is of a newer format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            refuse_format(content.get("format", 0), FORMAT, path)
            return cls({field: _restored(part) for field, part in content["fields"].items()})
        except (FileNotFoundError, NotADirectoryError):
            raise BadInput(
                f"{path} is missing, so this is not a prepared corpus; create one with unroll prepare --out FOLDER."
            ) from None
        except BadInput:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BadInput(f"{path} is not a vocabulary ({error}); train the run again.") from None


def _content(vocabulary: Vocabulary) -> dict[str, Any]:
    """The entries of a vocabulary, without those that a later version has added if they have their default."""
    entries: dict[str, Any] = asdict(vocabulary)  # type: ignore[call-overload]  # all are dataclasses
    return {field.name: entries[field.name] for field in fields(vocabulary)  # type: ignore[arg-type]
            if entries[field.name] != field.default}  # fmt: skip


def _restored(content: dict[str, Any]) -> Vocabulary:
    """Restore the vocabulary of one field.

    Raises:
        TypeError, KeyError: an entry has the wrong type or is missing.
        ValueError: an entry is duplicate or invalid.
    """
    kind = KINDS[content["kind"]]
    given = {name: value for name, value in content.items() if name != "kind"}
    hints = get_type_hints(kind)
    for field in fields(kind):  # type: ignore[arg-type]  # all are dataclasses
        if field.name not in given and field.default is not MISSING:
            continue
        given[field.name] = _checked(field.name, given[field.name], hints[field.name])
    vocabulary = kind(**given)
    if fault := vocabulary.fault():
        raise ValueError(fault)
    return vocabulary


def _checked(name: str, value: Any, hint: Any) -> Any:
    if hint in (tuple[str, ...], tuple[int, ...]):
        item = str if hint == tuple[str, ...] else int
        if not isinstance(value, list) or not all(type(entry) is item for entry in value):
            raise TypeError(f"its {name} are not a list of {'strings' if item is str else 'integers'}")
        if item is str and len(set(value)) < len(value):
            raise ValueError(f"one of its {name} is a duplicate")
        return tuple(value)
    allowed = {str: str, bool: bool, int: int}.get(hint, (str, type(None)))
    if not isinstance(value, allowed) or (hint is int and isinstance(value, bool)):
        raise TypeError(f"its {name} is {value!r}")
    return value
