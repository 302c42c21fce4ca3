"""Adding a corpus: its files are chosen, read, shown and doubted before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from unroll.config import CONF, check_root, complete_data, literal, read
from unroll.config.section import Settings
from unroll.data.corpus import SPLITS, Corpus, TooFewRecords
from unroll.data.fields import References
from unroll.data.readers.aligned import Aligned
from unroll.data.readers.base import Reader
from unroll.data.readers.columns import Columns
from unroll.data.readers.pairs import Pairs
from unroll.data.survey import survey
from unroll.errors import BadInput
from unroll.names import fault
from unroll.outputs import whole, write_text
from unroll.own_corpus.columns import detected
from unroll.own_corpus.conversion import has_tabs, refuse_commas
from unroll.own_corpus.doubts import doubts
from unroll.own_corpus.files import Chosen, choose, endings_in
from unroll.own_corpus.pairs import header
from unroll.own_corpus.settings import refuse_no_names, typed_settings
from unroll.own_corpus.understanding import Understanding, shortened
from unroll.terminal import doing

CUTS = {"train": 0.8, "validation": 0.1}
NAMES = 12  # files left aside that are listed


def add_corpus(path: Path, name: str | None, words: Sequence[str], force: bool, conf: Path = CONF) -> Path:
    """Copy a user's file or folder to ``data/`` and write its YAML file, after printing what was understood.

    Args:
        path: a file, which is split 80/10/10, or a folder with a file for each split.
        name: name of the corpus; None for that of the path.
        words: settings such as ``data.reader.token_column=1``, which are stored.
        force: whether to add it in spite of doubts.
        conf: folder of the YAML files.

    Raises:
        BadInput: a file is missing or invalid, the corpus is implausible, or the name is taken; nothing was written.
    """
    name = path.stem if name is None else name
    _check_name(name, path, conf)
    typed = typed_settings(words)
    given = {split: Path(typed.pop(split)) for split in SPLITS if split in typed}
    options = _with_endings(typed.get("reader", {}), path)
    ending = str(options.get("source", "")) if options.get("name") == Aligned.name else ""
    chosen = choose(path, options.get("name"), given, ending)
    content = _content(name, path, chosen, {**typed, "reader": options})
    settings = conf / "data" / f"{name}.yaml"
    origin = " ".join(words) or str(settings)
    with doing(f"Reading {path}"):
        found = _understood(content, chosen, origin, conf)
    print(f"{path} as data={name}, read as {_reader(content['reader'])}:")
    print("\n".join(found.lines()))
    taken = {each for file in chosen.files.values() for each in found.corpus.reader.files(file)}
    if aside := [file.name for file in chosen.aside if file not in taken]:
        print(f"left aside: {_few(aside)}")
    _refuse_doubtful(doubts(found), path, force)
    _write(content, chosen, found.corpus.reader, settings)
    return settings


def _with_endings(options: Settings, path: Path) -> Settings:
    """Options of a reader with the endings of aligned files that their names have, in alphabetical order."""
    found = endings_in(path) if options.get("name") == Aligned.name and path.is_dir() else []
    if not found or {"source", "target"} <= options.keys():
        return options
    source, target = found
    if options.get("source") == target or options.get("target") == source:
        source, target = target, source
    print(f"For the other direction, add data.reader.source={target} data.reader.target={source}")
    return {"source": source, "target": target, **options}


def _check_name(name: str, path: Path, conf: Path) -> None:
    """Refuse a name that is invalid or taken, and a path that does not exist."""
    check_root(conf)
    if reason := fault(name):
        raise BadInput(f"{name!r} cannot name a corpus: {reason} with --name.")
    settings = conf / "data" / f"{name}.yaml"
    target = Path("data") / name
    if settings.exists() or target.exists():
        raise BadInput(f"A corpus {name!r} already exists; {_another_name(settings, target, conf)}.")
    if not path.exists():
        raise BadInput(f"{path} does not exist; choose a file or a folder.")


def _another_name(settings: Path, target: Path, conf: Path) -> str:
    """The remedy for a name that is taken; a corpus of the project must not be deleted."""
    if settings.exists():
        known = complete_data(read(settings), settings, conf)
        if known.generator or known.sources:
            return f"it comes with the project, so choose another name, as in --name my-{settings.stem}"
    taken = " and ".join(str(path) for path in (settings, target) if path.exists())
    return f"choose another name with --name, or delete {taken}"


def _content(name: str, path: Path, chosen: Chosen, typed: Settings) -> Settings:
    """The settings of the corpus, without what its files suggest."""
    options = {key: value for key, value in typed.get("reader", {}).items() if key != "name"}
    content: Settings = {
        "name": name, "title": f"Added from {path.name}.", "reader": {"name": chosen.reader, **options},
    }  # fmt: skip
    content |= {split: str(Path("data") / name / file) for split, file in _targets(chosen).items()}
    if "validation" not in chosen.files:
        content["split"] = CUTS
    return content | {key: value for key, value in typed.items() if key != "reader"}


def _targets(chosen: Chosen) -> dict[str, str]:
    """Name of the copy of each file; those of different folders may have one name."""
    names = {split: file.name for split, file in chosen.files.items()}
    if len(set(names.values())) == len(set(chosen.files.values())):
        return names
    return {split: f"{split}-{name}" for split, name in names.items()}


def _understood(content: Settings, chosen: Chosen, origin: str, conf: Path) -> Understanding:
    """Read the corpus, after adding the options that its files suggest to its settings."""
    refuse_no_names(content["reader"].get("header"))
    reader = complete_data(content, origin, conf).build_reader()
    files, typed = list(chosen.files.values()), list(content["reader"])
    if isinstance(reader, Columns | Pairs):
        refuse_commas([file for file in files if file.suffix == ".csv" and not has_tabs(file)])
    if isinstance(reader, Columns):
        content["reader"] |= detected(reader, files, typed)
    if isinstance(reader, Pairs):
        content["reader"] |= header(reader, files, typed)
    if any(isinstance(field, References) for field in reader.fields.values()):
        content.setdefault("sentence_end", True)  # without it, an answer of a translator would never end
    corpus = replace(complete_data(content, origin, conf).build_corpus(), files=chosen.files)
    try:
        return Understanding(corpus, survey(corpus))
    except TooFewRecords:
        _refuse_whole(replace(corpus, cuts=None))
        raise


def _refuse_whole(corpus: Corpus) -> None:
    """Refuse a file of too few records for the strongest reason why it may have been misunderstood."""
    for reason in doubts(Understanding(corpus, survey(corpus))):
        raise BadInput(f"{corpus.files['train']} was not added: {reason}.")


def _reader(options: Settings) -> str:
    """Name and options of a reader."""
    given = [f"{key}={shortened(value)}" for key, value in options.items() if key != "name"]
    return f"{options['name']} ({', '.join(given)})" if given else str(options["name"])


def _few(names: Sequence[str]) -> str:
    more = [f"and {len(names) - NAMES:,} more"] if len(names) > NAMES else []
    return ", ".join([*names[:NAMES], *more])


def _refuse_doubtful(found: Sequence[str], path: Path, force: bool) -> None:
    """Print the reasons to doubt, and refuse to go on unless it is forced."""
    for sentence in found:
        print(f"doubtful: {sentence}.")
    if found and not force:
        more = f" (and {len(found) - 1} more reason{'s' * (len(found) > 2)}, see above)" if len(found) > 1 else ""
        raise BadInput(f"{path} was not added: {found[0]}{more}; or add it as it is with --force.")


def _write(content: Settings, chosen: Chosen, reader: Reader, settings: Path) -> None:
    """Copy the files and write the settings, both or none."""
    target = Path("data") / content["name"]
    with whole(target) as folder:
        folder.mkdir()
        for split, name in _targets(chosen).items():
            copies = reader.files(folder / name)
            for file, copy in zip(reader.files(chosen.files[split]), copies, strict=True):
                shutil.copyfile(file, copy)
    try:
        write_text(settings, yaml.safe_dump(literal(content), sort_keys=False, allow_unicode=True))
    except BaseException:
        shutil.rmtree(target)
        raise
