"""The place of a setting, for messages: a word of the command line or a line of a file."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unroll.config.file import read

KEY = re.compile(r"(?<![\w.])[a-z]\w*(?:\.\w+)+")  # a setting in a sentence
HINT = re.compile(r"\(did you mean [^)]*\?\)")


@dataclass(frozen=True)
class SettingsSource:
    """A file with settings of a run.

    Args:
        path: the file.
        above: names of the enclosing sections in the file.
        section: the section that the file itself does not name, such as ``data`` for a file of ``conf/data``.
        is_own: whether it is the file of the experiment or of its architecture, which may also set other keys that a
            message mentions.
    """

    path: Path
    above: tuple[str, ...] = ()
    section: str = ""
    is_own: bool = False

    def place_of(self, key: str) -> str | None:
        """File and line of a setting; None if the file does not set it, or it is a section."""
        value = self.value_of(key)
        if value is None or isinstance(value, dict):
            return None
        return f"{self.path}, line {line_of(self.path, self._names(key))}"

    def value_of(self, key: str) -> Any:
        """The value of a setting; None if the file does not set it."""
        if self.section and not key.startswith(f"{self.section}."):
            return None
        content: Any = read(self.path)
        for name in self._names(key):
            content = content.get(name) if isinstance(content, dict) else None
        return content

    @property
    def is_of_arch(self) -> bool:
        """Whether its settings are those of one architecture, none of which may be without effect."""
        return self.section == "arch" or self.above[:1] in (("archs",), ("variants",))

    def _names(self, key: str) -> list[str]:
        return [*self.above, *key.removeprefix(f"{self.section}.").split(".")]


@dataclass(frozen=True)
class Origin:
    """Where composed settings come from.

    Args:
        text: settings that the user typed.
        given: their keys.
        sources: files with the other settings, in order of precedence.
    """

    text: str
    given: Collection[str]
    sources: Sequence[SettingsSource] = ()

    def gives(self, key: str) -> bool:
        """Whether the user typed a setting or a section that contains it."""
        return any(f"{key}.".startswith(f"{own}.") for own in self.given)

    def insists(self, key: str) -> bool:
        """Whether a setting or a section must have an effect: the user typed it, or it is set for one architecture."""
        is_typed = self.gives(key) or any(own.startswith(f"{key}.") for own in self.given)
        return is_typed or any(source.is_of_arch and source.value_of(key) is not None for source in self.sources)

    def located(self, sentence: str, key: str) -> str:
        """A sentence with the text in parentheses, extended with the places of the settings that were not typed.

        Args:
            sentence: the message.
            key: the setting at fault; empty if there is no single one.
        """
        own = [source for source in self.sources if source.is_own]
        found = [self._place(key, self.sources)] if key else []
        found += [self._place(name, own) for name in KEY.findall(HINT.sub("", sentence))]
        places = "; ".join(dict.fromkeys(filter(None, found)))
        return sentence.replace(f"({self.text})", f"({self.text}; {places})", 1) if places else sentence

    def _place(self, key: str, sources: Sequence[SettingsSource]) -> str | None:
        """The place of a setting that was not typed."""
        found = (source.place_of(key) for source in sources)
        return None if self.gives(key) else next(filter(None, found), None)


def line_of(path: Path, place: Sequence[str]) -> int:
    """Line of a setting in its file, or of the section that should contain it."""
    node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    line = 1
    for part in place:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
        elif isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                break
            line, node = pairs[part][0].start_mark.line + 1, pairs[part][1]
    return line
