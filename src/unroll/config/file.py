"""Settings as written by the user: YAML files with one mapping and unique keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from unroll.config.section import Settings
from unroll.errors import BadInput

Pairs = list[tuple[str, Any]]
SHAPES: dict[type, str] = {list: "[…]", dict: "{…}", str: "text"}
MOST = 200_000  # values in one file; a few nested aliases can expand to billions


class UniqueKeyLoader(yaml.SafeLoader):
    """A loader that refuses duplicate keys, of which PyYAML's own keeps the last, and half characters."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Construct a value that is not a collection."""
        text: str = super().construct_scalar(node)
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # it could be neither printed nor written
            raise yaml.constructor.ConstructorError(
                None, None, "a surrogate such as \\ud800 is half a character", node.start_mark
            )
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct the mapping of a node."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> Settings:
    """Read a YAML file that contains a mapping.

    Raises:
        BadInput: the file is missing, is not YAML, or contains something else.
    """
    try:
        content = deepcopy(_loaded(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput(
            f"The file {path} does not exist; check the path, or change to the root of the project."
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise BadInput(f"{place}: {error.problem or error.context}; correct the file.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}; correct the file.") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} has no settings; write lines of the form key: value.")
    if _is_endless(content):
        raise BadInput(f"{path}: its aliases (*name) expand to more than {MOST:,} values; write the values out.")
    return content


@lru_cache(maxsize=200)  # each file of a project is read several times in one composition
def _loaded(text: str) -> Any:
    """Load the text of a YAML file."""
    return yaml.load(text, UniqueKeyLoader)


def with_sections(path: Path, sections: Mapping[str, type]) -> Settings:
    """Read a file of the project that must have these sections.

    Raises:
        BadInput: a section is missing or of another kind.
    """
    content = read(path)
    for section, kind in sections.items():
        if not isinstance(content.get(section), kind):
            raise BadInput(f"{path} has no {section} of the form {SHAPES[kind]}; restore the file, "
                           f"for example by git checkout {path}.")  # fmt: skip
    return content


def _is_endless(content: object) -> bool:
    """Whether there are too many values to visit, for example because one contains itself."""
    left = [content]
    for _ in range(MOST):
        if not left:
            return False
        part = left.pop()
        if isinstance(part, dict | list):
            left += part.values() if isinstance(part, dict) else part
    return True


def leaves(content: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each leaf of a nested section."""
    if not isinstance(content, dict) or not content:
        yield (), content
        return
    for key, value in content.items():
        yield from (((str(key), *names), inner) for names, inner in leaves(value))


def dotted(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of each leaf of a nested section."""
    return ((".".join(names), value) for names, value in leaves(content))


def merged(content: Settings, over: Settings) -> Settings:
    """Settings with others over them, section by section."""
    both = {key: merged(content[key], value) for key, value in over.items()
            if isinstance(value, dict) and isinstance(content.get(key), dict)}  # fmt: skip
    return {**content, **over, **both}
