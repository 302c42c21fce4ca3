"""The section ``variants`` of an experiment: one architecture under several settings, each with a name of its own.

The name of a variant may be used like that of an architecture: on the command line, in a course and in a study.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.config.experiments import CONF, files_of, place_in
from unroll.config.file import merged, read
from unroll.config.section import plain
from unroll.errors import BadInput, nearest
from unroll.names import fault

EXAMPLE = "variants: {lstm-64: {arch: {name: lstm, encoder: {hidden_size: 64}}}}"


def variants_of(experiment: str | None, conf: Path = CONF) -> dict[str, str]:
    """The architecture of each variant of an experiment.

    Args:
        experiment: name of the experiment; None for a run without one, which has no variants.
        conf: folder of the YAML files.

    Raises:
        BadInput: a name cannot be that of a variant, or a variant does not name its architecture.
    """
    files = files_of(experiment, conf)
    sections = [read(path)["variants"] for path in reversed(files) if "variants" in read(path)]
    for content in sections:
        if not isinstance(content, dict):
            raise BadInput(f"{place_in(files, ['variants'])}: variants has no settings; nest them under the name of a "
                           f"variant, such as {EXAMPLE}.")  # fmt: skip
    archs = sorted(path.stem for path in (conf / "arch").glob("*.yaml"))
    found: dict[Any, Any] = {}
    for content in sections:
        found = merged(found, content)
    return {_name(name, archs, files): _arch(name, content, archs, files) for name, content in found.items()}


def _name(name: Any, archs: Sequence[str], files: Sequence[Path]) -> str:
    """Check the name of a variant."""
    place = place_in(files, ["variants", str(name)])
    if not isinstance(name, str):
        raise BadInput(f"{place}: YAML does not read {plain(name)} as text; choose another name, such as lstm-{name}.")
    if reason := fault(name):
        raise BadInput(f"{place}: {plain(name)} cannot name a variant: {reason}.")
    if name.lower() in {arch.lower() for arch in archs}:
        raise BadInput(f"{place}: {name} is the name of an architecture, in conf/arch; choose another for the variant, "
                       f"such as {name}-64.")  # fmt: skip
    return name


def _arch(name: Any, content: Any, archs: Sequence[str], files: Sequence[Path]) -> str:
    """Check which architecture a variant is of."""
    names = ["variants", str(name)]
    section = content.get("arch") if isinstance(content, dict) else None
    if not isinstance(section, dict) or "name" not in section:
        written = f"name: {section}" if isinstance(section, str) else "name: lstm"
        raise BadInput(f"{place_in(files, names)}: variants.{name} does not name its architecture; write "
                       f"arch: {{{written}, …}}, as in {EXAMPLE}.")  # fmt: skip
    arch = section["name"]
    if arch not in archs:
        raise BadInput(f"{place_in(files, [*names, 'arch', 'name'])}: There is no arch {str(arch)!r}"
                       f"{nearest(str(arch), archs)}; choose one of {', '.join(archs)}.")  # fmt: skip
    return str(arch)
