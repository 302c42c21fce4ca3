"""The sections ``archs`` and ``variants`` of an experiment: settings that differ between architectures.

A fair comparison gives each architecture the learning rate that suits it, and all of them the same data and budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from unroll.config.blocks import EncoderConfig, is_architecture
from unroll.config.cell_arguments import cell_arguments
from unroll.config.experiments import place_in
from unroll.config.explanation import keys, sections
from unroll.config.file import dotted, leaves, read
from unroll.config.messages import ARGUMENTS, explain_error, no_setting
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
OTHER_ARCH = (
    "arch.encoder.name",
    "arch.encoder.cell",
    "arch.decoder.name",
    "arch.decoder.cell",
)  # settings of which no variant has another value


def of_archs(content: Any, files: Sequence[Path], conf: Path) -> dict[str, Settings]:
    """Dotted keys and values of the settings that each architecture overrides.

    Args:
        content: the section ``archs`` of an experiment.
        files: files of the experiment, for messages.
        conf: folder of the YAML files.

    Raises:
        BadInput: an architecture or a setting is unknown, or a setting has no effect, is invalid, or must be equal for
            all architectures.
    """
    if not isinstance(content, dict):
        raise BadInput(f"{place_in(files, ['archs'])}: archs has no settings; nest them under the name of an "
                       "architecture, such as archs: {lstm: {training: {clip_norm: 1.0}}}.")  # fmt: skip
    known = sorted(file.stem for file in (conf / "arch").glob("*.yaml"))
    found: dict[str, Settings] = {}
    for arch, settings in content.items():
        place = place_in(files, ["archs", str(arch)])
        if arch not in known:
            raise BadInput(f"{place}: There is no arch {str(arch)!r}{nearest(str(arch), known)}; choose one of "
                           f"{', '.join(known)}. Settings of a variant are in variants.")  # fmt: skip
        if not isinstance(settings, dict) or not settings:
            raise BadInput(f"{place}: archs.{arch} has no settings; add some, such as "
                           "{training: {clip_norm: 1.0}}, or remove it.")  # fmt: skip
        found[arch] = dict(dotted(settings))
        for names, value in leaves(settings):
            key, place = ".".join(names), place_in(files, ["archs", arch, *names])
            _check_equal(key, place, "archs")
            if is_architecture(key):
                raise BadInput(f"{place}: {key} makes another architecture; create conf/arch/NAME.yaml for it.")
            _check(arch, key, value, place, conf)
    return found


def of_variants(content: Any, archs: Mapping[str, str], files: Sequence[Path], conf: Path) -> dict[str, Settings]:
    """Dotted keys and values of the settings of each variant.

    Args:
        content: the section ``variants`` of an experiment.
        archs: the architecture of each variant.
        files: files of the experiment, for messages.
        conf: folder of the YAML files.

    Raises:
        BadInput: as for :func:`of_archs`.
    """
    found: dict[str, Settings] = {}
    for variant, settings in content.items():
        found[variant] = {key: value for key, value in dotted(settings) if key != "arch.name"}
        for names, value in leaves(settings):
            key, place = ".".join(names), place_in(files, ["variants", variant, *names])
            if key == "arch.name":
                continue
            _check_equal(key, place, "variants")
            if key in OTHER_ARCH:
                raise BadInput(f"{place}: {key} makes another architecture, not a variant; create conf/arch/NAME.yaml "
                               "for it.")  # fmt: skip
            _check(archs[variant], key, value, place, conf)
    return found


def _check_equal(key: str, place: str, section: str) -> None:
    """Refuse a setting that must be equal in a comparison."""
    if reason := _reason(key):
        raise BadInput(f"{place}: {key} must be the same for all architectures: {reason}; move it out of {section}.")


def _check(arch: str, key: str, value: Any, place: str, conf: Path) -> None:
    """Check one setting of one architecture."""
    content = read(conf / "arch" / f"{arch}.yaml")
    encoder = content.get("encoder")
    encoder = encoder if isinstance(encoder, dict) else {}
    decoder = content.get("decoder")
    decoder = decoder if isinstance(decoder, dict) else {}
    known = [f"arch.{block}.cell_arguments.{name}" for block, own in (("encoder", encoder), ("decoder", decoder))
             if "cell" in own for name in cell_arguments(own["cell"])]  # fmt: skip
    known += [name for name in keys() if name.startswith(("training.", "arch.")) and not _reason(name)]
    if below := next((name for name in known if name.startswith(f"{key}.")), None):
        raise BadInput(f"{place}: {key} has no settings; set a key below it, such as {below}.")
    if key not in known:
        raise BadInput(f"{place}: {no_setting(key, known)}; see unroll config --explain.")
    if key.startswith("arch.decoder.") and "name" not in decoder:
        raise BadInput(f"{place}: {key} has no effect on arch={arch}; remove it.")
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
    if name not in encoder.model_fields if section == "arch.encoder" else encoder.counts:
        raise BadInput(f"{place}: {key} has no effect on arch={arch}; remove it.")


def _check_value(key: str, value: Any, place: str) -> None:
    section, _, name = key.rpartition(".")
    if section in ARGUMENTS:
        return  # arguments of cells have no schema
    models = [model for other, model in sections(Config, "") if other == section and name in model.model_fields]
    field = models[0].model_fields[name]
    part = create_model("Part", __base__=Section, **{name: (field.annotation, field)})  # type: ignore[call-overload]
    try:
        part.model_validate({name: value})
    except ValidationError as error:
        raise BadInput(explain_error(error, place, part, f"{section}.")) from None
