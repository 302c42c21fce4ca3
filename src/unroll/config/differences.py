"""The section ``archs`` of an experiment: settings that differ between architectures.

A fair comparison gives each architecture the learning rate that suits it, and all of them the same data and budget.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from unroll.config.blocks import EncoderConfig, is_architecture
from unroll.config.cell_arguments import cell_arguments
from unroll.config.explanation import keys, sections
from unroll.config.file import dotted, leaves, read
from unroll.config.messages import explain_error, no_setting
from unroll.config.origin import line_of
from unroll.config.schema import Config, is_neutral
from unroll.config.section import Section, Settings
from unroll.errors import BadInput, nearest

EQUAL = {  # settings that must be equal for all architectures of an experiment, and why
    "experiment": "it is the question",
    "question": "it is the question",
    "solved": "the criterion is declared once for all architectures",
    "judged_by": "architectures are compared by the same figure",
    "seed": "architectures are compared over the same seeds",
    "data": "architectures are compared on the same data",
    "task": "architectures are compared on the same task",
    "training.tokens": "architectures are compared at an equal budget of tokens",
    "training.patience": "architectures are compared at an equal budget of tokens",
    "training.validations": "the best of an equal number of validations is kept",
    "training.evaluation_streams": "it changes what is measured",
    "training.state_reset": "it changes what is measured",
    "training.precision": "it changes what is measured",
    "training.threads": "speeds are compared",
    "training.devices": "speeds are compared",
}


def differences(archs: Any, path: Path, conf: Path) -> dict[str, Settings]:
    """Dotted keys and values of the settings that each architecture overrides.

    Args:
        archs: the section in the file of the experiment.
        path: file of the experiment, for messages.
        conf: folder of the YAML files.

    Raises:
        BadInput: an architecture or a setting is unknown, or a setting has no effect, is invalid, or must be equal for
            all architectures.
    """

    def place(*names: Any) -> str:
        return f"{path}, line {line_of(path, [str(name) for name in names])}"

    if not isinstance(archs, dict):
        raise BadInput(f"{place('archs')}: archs has no settings; nest them under the name of an architecture, such "
                       "as archs: {lstm: {training: {clip_norm: 1.0}}}.")  # fmt: skip
    files = sorted(file.stem for file in (conf / "arch").glob("*.yaml"))
    found: dict[str, Settings] = {}
    for arch, content in archs.items():
        if arch not in files:
            raise BadInput(f"{place('archs', arch)}: There is no arch {str(arch)!r}{nearest(str(arch), files)}; choose "
                           f"one of {', '.join(files)}.")  # fmt: skip
        if not isinstance(content, dict) or not content:
            raise BadInput(f"{place('archs', arch)}: archs.{arch} has no settings; add some, such as "
                           "{training: {clip_norm: 1.0}}, or remove it.")  # fmt: skip
        found[arch] = dict(dotted(content))
        for names, value in leaves(content):
            _check(arch, ".".join(names), value, place("archs", arch, *names), conf)
    return found


def _check(arch: str, key: str, value: Any, place: str, conf: Path) -> None:
    """Check one setting of one architecture."""
    encoder = read(conf / "arch" / f"{arch}.yaml").get("encoder")
    encoder = encoder if isinstance(encoder, dict) else {}
    arguments = cell_arguments(encoder["cell"]) if "cell" in encoder else {}
    known = [f"arch.encoder.cell_arguments.{name}" for name in arguments]
    known += [name for name in keys() if name.startswith(("training.", "arch.")) and not _reason(name)]
    if reason := _reason(key):
        raise BadInput(f"{place}: {key} must be the same for all architectures: {reason}; move it out of archs.")
    if is_architecture(key):
        raise BadInput(f"{place}: {key} makes another architecture; create conf/arch/NAME.yaml for it.")
    if below := next((name for name in known if name.startswith(f"{key}.")), None):
        raise BadInput(f"{place}: {key} has no settings; set a key below it, such as {below}.")
    if key not in known:
        raise BadInput(f"{place}: {no_setting(key, known)}; see unroll config --explain.")
    _check_effect(arch, key, place, EncoderConfig.kinds().get(str(encoder.get("name"))))
    _check_value(key, value, place)


def _reason(key: str) -> str | None:
    """The reason why a setting must be equal for all architectures; None if it may differ."""
    known = next((reason for name, reason in EQUAL.items() if f"{key}.".startswith(f"{name}.")), None)
    return known or ("it changes no result" if is_neutral(key) else None)


def _check_effect(arch: str, key: str, place: str, encoder: type[Any] | None) -> None:
    """Refuse a setting that the kind of network does not have."""
    section, _, name = key.rpartition(".")
    if encoder is None:  # the full check of the architecture reports it
        return
    if encoder.counts or (section == "arch.encoder" and name not in encoder.model_fields):
        raise BadInput(f"{place}: {key} has no effect on arch={arch}; remove it.")


def _check_value(key: str, value: Any, place: str) -> None:
    section, _, name = key.rpartition(".")
    if section == "arch.encoder.cell_arguments":
        return  # arguments of cells have no schema
    models = [model for other, model in sections(Config, "") if other == section and name in model.model_fields]
    field = models[0].model_fields[name]
    part = create_model("Part", __base__=Section, **{name: (field.annotation, field)})  # type: ignore[call-overload]
    try:
        part.model_validate({name: value})
    except ValidationError as error:
        raise BadInput(explain_error(error, f"{place}, in archs", part, f"{section}.")) from None
