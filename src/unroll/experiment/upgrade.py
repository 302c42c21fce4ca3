"""Runs of format 0, which had no version and one sequence per record, converted to the format of today.

Nothing else knows format 0. The weights stay as they are, byte for byte, and so does what the run predicts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from unroll.config import Config, read
from unroll.config.compose import finished
from unroll.config.format import current
from unroll.config.origin import Origin
from unroll.data.fields import Field
from unroll.data.readers import reader_named
from unroll.data.scoring import ProbeVocabulary
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import (
    CharacterVocabulary,
    DocumentVocabulary,
    FrameVocabulary,
    LabelVocabulary,
    NumberVocabulary,
    SymbolVocabulary,
    Vocabulary,
)
from unroll.errors import BadInput
from unroll.experiment.trained import FOLDER, RUN_FILES, WEIGHTS, Trained
from unroll.formats import RUN, SETTINGS, refuse_format
from unroll.history import HISTORY
from unroll.outputs import MISREAD, read_json, to_json, whole

OPTIONS = ("unit", "token_column", "label_column", "scheme", "probe", "contrast")  # of readers, then of the data
LATER: Mapping[str, Mapping[str, Any]] = {"data": {"roles": {}}, "training": {"batch_tokens": None}}


def upgrade(folder: Path, out: Path) -> Config:
    """Convert a run of format 0.

    Args:
        folder: the run's folder, which stays as it is unless it is ``out``.
        out: the folder of the converted run.

    Returns:
        Its settings.

    Raises:
        BadInput: the folder is not a run of format 0, or its files are damaged.
    """
    for name in RUN_FILES:
        if not (folder / name).is_file():
            raise BadInput(f"{folder} has no {name}; name the folder of a run.")
    settings = read(folder / "config.yaml")
    facts = read_json(folder / "run.json", "restore it from a copy")
    for content, known, name in ((settings, SETTINGS, "config.yaml"), (facts, RUN, "run.json")):
        if "format" in content:
            refuse_format(content["format"], known, folder / name)
    if "format" in settings or "format" in facts:
        raise BadInput(f"{folder} does not have format 0, the only one to be converted; there is nothing to upgrade.")
    data = settings.get("data")
    if isinstance(data, dict) and isinstance(data.get("reader"), dict):
        raise BadInput(
            f"{folder} was trained by a version between two releases, whose runs have no format; train the run again."
        )
    words = read_json(folder / "vocabulary.json", "restore it from a copy")
    weights = (folder / WEIGHTS).read_bytes()
    try:
        config = finished(_settings(settings, folder / "config.yaml"), Origin(str(folder / "config.yaml"), ()))
        vocabularies = Vocabularies(_vocabularies(config.data.build_reader().fields, words))
        record = _facts(facts, vocabularies, weights, (folder / HISTORY).read_bytes())
    except BadInput:
        raise
    except (OSError, *MISREAD) as error:
        raise BadInput(f"{folder} is not a run of format 0, or is damaged ({error}); restore it from a copy.") from None
    with whole(out, replaces=FOLDER) as written:
        written.mkdir()
        (written / WEIGHTS).write_bytes(weights)
        (written / HISTORY).write_bytes((folder / HISTORY).read_bytes())
        (written / "config.yaml").write_text(config.dump(), encoding="utf-8")
        (written / "vocabulary.json").write_text(vocabularies.dumps(), encoding="utf-8")
        (written / "run.json").write_text(to_json(record), encoding="utf-8")
        Trained.load(written)  # refuses parts that do not belong together, before anything is replaced
    return config


def _settings(old: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Settings with the options of readers and the blocks of networks, and with what came later.

    Args:
        old: of the file.
        path: of the file, for messages.
    """
    data = dict(old["data"])
    given = {name: data.pop(name, None) for name in OPTIONS}
    known = {field.name for field in fields(reader_named(data["reader"]))}  # type: ignore[arg-type]  # all are dataclasses
    data["reader"] = {"name": data["reader"], **{name: value for name, value in given.items() if name in known}}
    sections = {**old, "data": data, "arch": _arch(old["arch"])}
    later = {section: {**added, **sections[section]} for section, added in LATER.items()}
    return current({"format": SETTINGS, **sections, **later}, path)


def _arch(old: Mapping[str, Any]) -> dict[str, Any]:
    """A network in blocks, of which the ones that the run does not use are left out later."""
    encoder = dict(old)
    inputs = {"characters": old.get("characters")}
    for key in ("name", "network", "output", "characters"):
        encoder.pop(key, None)
    if "inputs" in encoder:
        name = encoder.pop("inputs")
        inputs |= {"name": name.removeprefix("frozen_"), "frozen": name == "frozen_vectors",
                   "size": encoder.pop("embedding_size"), "scale": encoder.pop("embedding_scale")}  # fmt: skip
    output = old.get("output", {"name": "softmax"})
    return {"name": old["name"], "inputs": inputs, "encoder": {"name": old["network"], **encoder}, "output": output}


def _vocabularies(declared: Mapping[str, Field], old: Mapping[str, Any]) -> dict[str, Vocabulary]:
    """A vocabulary for each field; format 0 had one for all of them."""
    spelled: dict[str, Vocabulary] = {}
    if old["characters"]:
        spelled["spelling"] = CharacterVocabulary(tuple(old["characters"]))
    return {name: _vocabulary(field.kind, old) for name, field in declared.items()} | spelled


def _vocabulary(kind: str, old: Mapping[str, Any]) -> Vocabulary:
    match kind:
        case "symbols":
            return SymbolVocabulary(
                old["unit"], old["lowercase"], old["normalize"], old["vector_size"], tuple(old["tokens"])
            )
        case "labels":
            return LabelVocabulary(old["scheme"], tuple(old["labels"]))
        case "probe":
            return ProbeVocabulary(tuple(old["groups"]))
        case "frames":
            return FrameVocabulary(old["input_size"])
        case "number":
            return NumberVocabulary()
        case "document_start":
            return DocumentVocabulary()
    raise ValueError(f"format 0 had no fields of the kind {kind}")


def _facts(old: Mapping[str, Any], vocabularies: Vocabularies, weights: bytes, history: bytes) -> dict[str, Any]:
    """What ``run.json`` has, with digests of the files; the oldest runs have none of their weights and history."""
    found = {"weights": hashlib.sha256(weights).hexdigest(), "history": hashlib.sha256(history).hexdigest()}
    for name, digest in found.items():
        if old.get(name, digest) != digest:
            raise ValueError(f"its {name} are not the run's own")
    return {"format": RUN, **old, **found, "vocabulary": vocabularies.digest}
