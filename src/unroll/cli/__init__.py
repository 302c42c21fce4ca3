"""The command line: one function per verb. Whatever is slow to import is imported by the verb that needs it."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from unroll import __version__
from unroll.credentials import public, without_secrets
from unroll.errors import (
    BadInput,
    NotCertified,
    ProcessLost,
    StageFailed,
    is_lack_of_memory,
    lack_of_memory,
    no_such,
)
from unroll.launching import launch, place

WORKERS = 4  # for each core, at most: a worker may wait for a GPU, or for its data
EPILOG = """\
SETTING is key=value, such as experiment=tagging arch=bilstm seed=0 training.tokens=200000;
unroll config --explain lists them. RUN is the folder of a trained run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 if it went well, 1 if a run is not certified, 2 on bad input, 130 after Ctrl-C."""
    # imports make a million objects that stay: to look for garbage among them as often as is usual takes a quarter of
    # the time to the first step, and to take them apart at the end takes longer than a second
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    sys.excepthook = _show_error
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes settings on one side of an option only; those on the other side are left over
    if any(word.startswith("-") or "=" not in word for word in rest) or (rest and "settings" not in options):
        hint = "; quote a pattern, so that the shell leaves it to unroll" if options.verb is verdict else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    if rest:
        options.settings += rest
    _hide_passwords(options, sys.argv[1:] if arguments is None else arguments)
    verb: Callable[[argparse.Namespace], None] = options.verb
    try:
        _check_bytes(options.words)
        verb(options)
        sys.stdout.flush()
    except BadInput as error:
        if place().local_rank == 0:  # what processes of one machine find wrong, one of them reports
            print(f"unroll: {without_secrets(str(error))}", file=sys.stderr)
        return 2
    except (ProcessLost, NotCertified, StageFailed) as error:
        print(f"unroll: {without_secrets(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if place().local_rank == 0:
            print("unroll: interrupted; nothing was left half-written.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        print(f"unroll: this needs the package {error.name}: pip install -e '.[all]'", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        print(f"unroll: {lack_of_memory(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(
            f"unroll: {error.filename or 'a file'}: {error.strerror or error}; fix that and try again.",
            file=sys.stderr,
        )
        return 2
    return 0


def config(options: argparse.Namespace) -> None:
    """Show the settings of a run, explain them, or resolve those of a whole course."""
    from unroll import config as settings

    if (options.out and not options.course) or (options.course and options.settings):
        raise BadInput("--out goes with --course, and settings do not.")
    if options.explain:
        print(settings.explain())
        print("\nA study, in conf/study/NAME.yaml:\n")
        print(settings.explain(settings.StudyConfig))
    elif options.course:
        settings.resolve(options.course, options.out or Path("outputs/configs"))
    else:
        print(settings.compose(options.settings).dump(), end="")


def data(options: argparse.Namespace) -> None:
    """List corpora, fetch them, or add one's own."""
    from unroll import config as settings
    from unroll import preparation

    if options.name and options.action != "add":
        raise BadInput("--name goes with unroll data add.")
    if options.action == "list":
        if options.names:
            raise BadInput("unroll data list takes no names.")
        for name, corpus in settings.corpora().items():
            origin = "embedded" if corpus.generator else "public" if corpus.sources else "own"
            state = "here" if Path(corpus.train).exists() else "not here"
            print(f"{name:22} {origin:9} {state:9} {corpus.title}")
    elif options.action == "fetch":
        if not options.names:
            raise BadInput("Which corpus? Name one or more; unroll data list shows them.")
        known = settings.corpora()
        for name in options.names:
            if name not in known:
                raise no_such("corpus", name, known)
        for name in options.names:
            print(preparation.fetch_corpus(known[name]))
    else:
        if len(options.names) != 1:
            raise BadInput("Name one file or folder to add: unroll data add PATH")
        written = preparation.add_corpus(Path(options.names[0]), options.name)
        print(f"{written} written; use it as data={written.stem}.")


def prepare(options: argparse.Namespace) -> None:
    """Encode a corpus: vocabulary from train alone, splits as memory-mapped numbers."""
    from unroll import config as settings
    from unroll import preparation

    if options.data:
        corpus = settings.load_data_here(options.data, options.settings)
    else:
        corpus = settings.compose(options.settings).data
    print(preparation.prepared(corpus, options.out))


def train(options: argparse.Namespace) -> None:
    """Train one run, from settings or from a resolved file."""
    from unroll import config as settings
    from unroll import preparation

    settings.check_root()
    if options.config:
        run = settings.load_here(options.config, options.settings, reads_data=options.prepared is None)
    else:
        run = settings.compose(options.settings)
    folder = options.prepared or preparation.prepared(run.data)
    if launch(run.training.devices, options.words):
        return
    from unroll import experiment

    out = options.out or Path("outputs/adhoc") / experiment.adhoc_name(run, folder)
    with _no_folder_left(out.parent):
        figures = experiment.train(run, folder, out, options.accept_code_change)
    if place().rank > 0:
        return
    print(f"{out}  best validation: {_figures(figures, {})}")


def _figures(figures: dict[str, float], lost: dict[str, str]) -> str:
    """Figures in one line; of one that is not a number why it is not."""
    return "  ".join(f"{name} {value:.4f}" if math.isfinite(value) else f"{name}: {lost.get(name, 'the run diverged')}"
                     for name, value in figures.items())  # fmt: skip


def sync(options: argparse.Namespace) -> None:
    """Send MLflow what it has not taken of a run, since its server was gone."""
    from unroll.experiment import sync as send

    print(send(options.run, options.uri))


def evaluate(options: argparse.Namespace) -> None:
    """Judge the runs of an experiment on the test split."""
    from unroll import config as settings
    from unroll.experiment import evaluate as judge

    name = options.runs.resolve().name
    folders = [options.runs]
    if not (options.runs / "run.json").exists():
        paths = sorted(options.runs.iterdir()) if options.runs.is_dir() else []
        folders = [path for path in paths if path.is_dir() and not path.name.startswith(".")]
    if options.course:  # what a course no longer has may still lie there
        runs = [f"{arch}-{seed}" for experiment, arch, seed in settings.grid(settings.course(options.course))
                if experiment == name]  # fmt: skip
        folders = [options.runs / run for run in runs]
    if not folders:
        raise BadInput(f"{options.runs} has no runs; name a run, or a folder of runs.")
    costs = options.costs / f"{options.out.stem}.json" if options.out and options.costs else None
    results = judge(folders, options.prepared, options.out, costs, _tracking(options.settings))
    for run, result in results.items():
        print(f"{run:14} {result['split']}  {_figures(result['test'], result.get('not_finite', {}))}")


def certify(options: argparse.Namespace) -> None:
    """Check on a run's own data that batches, padding, order, ranks and windows do not change its numbers."""
    from unroll import config as settings
    from unroll import preparation
    from unroll.certificate import certify as check
    from unroll.experiment import Trained

    folder = options.prepared
    if folder is None:
        run = Trained.load(options.run)  # refuses what is no run
        settings.check_root()
        settings.check_files(run.config.data, options.run / "config.yaml", ["data"], None)
        folder = preparation.prepared(run.config.data)
    certificate = check(options.run, folder, options.out, _tracking(options.settings))
    for found in certificate["checks"]:
        print(_found(found))
    failed = dict.fromkeys(found["check"] for found in certificate["checks"] if not found.get("passed", True))
    if failed:
        raise NotCertified(f"{options.run} is not certified: its numbers depend on what they must not, by "
                           f"{', '.join(failed)}; correct the code of its network, task or data.")  # fmt: skip


def _found(found: dict[str, Any]) -> str:
    """One line on a check."""
    name = f"{found['check']:13} {found.get('dtype', ''):9}"
    if "not_applicable" in found:
        return f"{name} not applicable: {found['not_applicable']}"
    verdict = "passed" if found["passed"] else "FAILED"
    return f"{name} {verdict}  worst deviation {found['deviation']:.1e} ({found['of']}), allowed {found['tolerance']:g}"


def compare(options: argparse.Namespace) -> None:
    """Compare architectures over seeds, with intervals and tests."""
    from unroll.analysis.comparison import compare_all

    files = options.metrics
    if options.course:
        from unroll import config as settings

        if len(files) != 1:
            raise BadInput("With --course, name the one folder that has the figures of its experiments.")
        names = [name for grid in settings.course(options.course).values() for name in grid["experiments"]]
        files = [files[0] / f"{name}.json" for name in names]
    print(compare_all(files, options.costs, options.out, options.targets))


def verdict(options: argparse.Namespace) -> None:
    """Judge two sides: which is better, by how much, how sure that is, or how many seeds would show it."""
    from unroll.analysis.telling import tell

    print(tell(options.a, options.b, options.metric, options.margin, options.test, options.costs))


def report(options: argparse.Namespace) -> None:
    """Write one page to read: questions, tables, figures, verdicts."""
    from unroll import config as settings
    from unroll.analysis.report import write_report

    chapters = settings.course(options.course)
    print(write_report(chapters, settings.about(chapters), options.outputs, options.out))


def repro(options: argparse.Namespace) -> None:
    """Bring the course up to date, or the stages of another file; or run one stage by force."""
    from unroll import config as settings
    from unroll import pipeline

    if options.file and options.force:
        raise BadInput("Give a file or --force STAGE, not both.")
    if options.jobs < 1:
        raise BadInput("--jobs must be a number from 1 on.")
    settings.check_root()
    if options.force:
        pipeline.force(options.force)
    elif options.file:
        pipeline.repro_file(options.file)
    else:
        pipeline.repro(options.jobs)


def clean(options: argparse.Namespace) -> None:
    """Show what may be deleted to free disk space; with one KIND or more, delete it after a question."""
    from unroll import config as settings
    from unroll import disk

    settings.check_root()
    for name in options.kinds:
        if name not in disk.KINDS:
            raise no_such("kind of leftovers", name, disk.KINDS)
    if not options.days >= 0:
        raise BadInput("--days must be a number from 0 on.")
    print(disk.clean(options.kinds, options.days, options.yes) if options.kinds else disk.overview())


def tune(options: argparse.Namespace) -> None:
    """Work at a study: try what it asks for, until nothing is left."""
    from unroll import config as settings
    from unroll.analysis.study import draw_study, write_study_page
    from unroll.tuning.tune import tune as work

    most = WORKERS * (os.cpu_count() or 1)
    if not 1 <= options.workers <= most:
        raise BadInput(f"--workers must be a number from 1 to {most}: by more than {WORKERS} for each core a machine "
                       "gains nothing, and may run out of memory.")  # fmt: skip
    settings.check_root()
    if options.config:
        study = settings.load_study_here(options.config, options.settings, reads_data=options.prepared is None)
    else:
        study = settings.compose_study_from(options.settings)

    def draw(folder: Path) -> None:
        draw_study(folder)
        write_study_page(folder, folder / "index.html")

    told, out = work(study, options.workers, options.prepared, options.out, draw)
    print(told)
    print(out / "index.html")


def predict(options: argparse.Namespace) -> None:
    """Tag sentences, or predict a number for each series."""
    from unroll.experiment import Trained

    for answer in Trained.load(options.run).predict(_lines(options.text, options.file)):
        if options.json:
            print(json.dumps(answer, ensure_ascii=False))
        elif "labels" in answer:
            pairs = zip(answer["tokens"], answer["labels"], strict=True)
            print(" ".join(f"{token}/{label}" for token, label in pairs))
        else:
            print(f"{answer['prediction']:.4f}")


def generate(options: argparse.Namespace) -> None:
    """Continue texts with a language model."""
    from unroll.experiment import Trained

    if options.length < 1 or not 0 <= options.seed < 2**63:
        raise BadInput("--length must be a number from 1 on, and --seed one from 0 on.")
    if options.temperature != 0 and not 1e-3 <= options.temperature <= 1e3:
        raise BadInput("--temperature must be from 0.001 to 1000, or 0 for the likeliest token.")
    run = Trained.load(options.run)
    prompts = [options.prompt] if options.prompt is not None else _lines(None, options.file)
    for answer in run.generate(prompts, options.length, options.temperature, options.seed):
        between = " " if run.vocabulary.unit == "words" and answer["prompt"] else ""
        plain = f"{answer['prompt']}{between}{answer['continuation']}"
        print(json.dumps(answer, ensure_ascii=False) if options.json else plain)


def ui(options: argparse.Namespace) -> None:
    """Serve MLflow's UI on localhost."""
    from unroll.tracking.mlflow import serve_ui

    with contextlib.suppress(KeyboardInterrupt):
        serve_ui(options.uri, options.port)


def _lines(text: str | None, file: Path | None) -> list[str]:
    """Lines of the argument, of a file, or of standard input."""
    if text is not None:
        return [text]
    from unroll.data.readers.base import decoded, numbered_lines

    if file is not None:
        return [line for _, line in numbered_lines(file)]
    return [line for _, line in decoded(sys.stdin.buffer, "standard input")]


def _tracking(words: Sequence[str]) -> Sequence[str]:
    """Settings of a finished run that may differ: those of tracking."""
    for word in words:
        if not word.startswith("tracking"):
            raise BadInput(f"{word!r} changes a finished run; settings of tracking may be given here, such as "
                           "tracking=none.")  # fmt: skip
    return words


def _hide_passwords(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Leave passwords of URIs out of settings, and out of the arguments that other processes are started with."""
    options.words = [_public(word) for word in words]
    if "settings" in options:
        options.settings = [_public(word) for word in options.settings]
    if "uri" in options and options.uri:
        options.uri = public(options.uri)


def _public(word: str) -> str:
    key, equals, value = word.partition("=")
    return f"{key}={public(value)}" if equals and "://" not in key else public(word)


def _show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what nobody has caught, as Python does, but for the passwords in it."""
    import traceback

    print(without_secrets("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _check_bytes(arguments: Sequence[str]) -> None:
    """Refuse what Python could not decode, and could not print or write later on."""
    for number, argument in enumerate(arguments, start=1):
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise BadInput(f"Argument {number} is not UTF-8; convert it, or put the text into a file.")


@contextlib.contextmanager
def _no_folder_left(folder: Path) -> Iterator[None]:
    """Remove ``folder`` if it stays empty."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, as all others are."""

    def error(self, message: str) -> NoReturn:
        """End with the sentence, and the place where there is more."""
        self.exit(2, f"unroll: {without_secrets(message)}; see {self.prog} --help.\n")


def _parser() -> Parser:
    parser = Parser(
        "unroll", description="Experiments with recurrent networks: train, track, compare, report.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(verb: Callable[[argparse.Namespace], None]) -> Parser:
        sentence = (verb.__doc__ or "").splitlines()[0]
        sub = verbs.add_parser(verb.__name__, help=sentence, description=sentence, epilog=EPILOG,
                               formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        sub.set_defaults(verb=verb)
        return sub

    def settings(sub: Parser, such: str = "key=value") -> None:
        sub.add_argument("settings", nargs="*", metavar="SETTING", help=such)

    sub = add(config)
    settings(sub)
    sub.add_argument("--explain", action="store_true", help="explain every setting")
    sub.add_argument("--course", type=Path, metavar="FILE", help="resolve every run of a course")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="where --course writes (outputs/configs)")

    sub = add(data)
    sub.add_argument("action", choices=["list", "fetch", "add"])
    sub.add_argument("names", nargs="*", metavar="NAME|PATH")
    sub.add_argument("--name", help="name of the corpus that is added")

    sub = add(prepare)
    settings(sub)
    sub.add_argument("--data", type=Path, metavar="FILE", help="resolved data settings; files of data may differ")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="where fit/ and test/ go (a cache)")

    sub = add(train)
    settings(sub)
    sub.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="resolved settings; tracking and files of data may differ",
    )
    sub.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (a cache)")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="the run's folder (outputs/adhoc/…)")
    sub.add_argument("--accept-code-change", action="store_true",
                     help="go on from a checkpoint of other code; the run is tagged so")  # fmt: skip

    sub = add(sync)
    sub.add_argument("run", type=Path, metavar="RUN", help="a run, or the folder of one below outputs/working")
    sub.add_argument("--uri", help="MLflow's store, if it has moved or is not this project's")

    sub = add(evaluate)
    sub.add_argument("runs", type=Path, metavar="RUN|FOLDER", help="a run, or a folder of runs")
    sub.add_argument(
        "--prepared", type=Path, metavar="FOLDER", required=True, help="what unroll prepare --out FOLDER wrote"
    )
    sub.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    sub.add_argument("--costs", type=Path, metavar="FOLDER", help="with --out: write measured speeds, named alike")
    sub.add_argument("--course", type=Path, metavar="FILE", help="only the runs that this course has")
    settings(sub, "tracking=NAME or tracking.uri=URI, instead of conf/tracking")

    sub = add(certify)
    sub.add_argument("run", type=Path, metavar="RUN")
    sub.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (a cache)")
    sub.add_argument("--out", type=Path, metavar="FILE",
                     help="the certificate (outputs/adhoc/certificates/<experiment>-<arch>-<seed>.json)")  # fmt: skip
    settings(sub, "tracking=NAME or tracking.uri=URI, instead of conf/tracking")

    sub = add(compare)
    sub.add_argument("metrics", nargs="+", type=Path, metavar="FILE|FOLDER", help="what evaluate wrote")
    sub.add_argument("--course", type=Path, metavar="FILE", help="the experiments of this course, from one folder")
    sub.add_argument("--out", type=Path, metavar="FOLDER", default=Path("outputs/comparison"))
    sub.add_argument("--costs", type=Path, metavar="FOLDER", default=Path("outputs/costs"), help="measured speeds")
    sub.add_argument("--targets", type=Path, metavar="FILE", help="figures to be met, as YAML")

    sub = add(verdict)
    sides = "FILE:ARCH of what evaluate wrote, or a run, a folder of runs or a pattern in quotes: their validation"
    sub.add_argument("a", metavar="RUNS_A", help=sides)
    sub.add_argument("b", metavar="RUNS_B", help="the same")
    sub.add_argument("--metric", metavar="NAME", help="compare by this one (the experiment's own)")
    sub.add_argument(
        "--margin",
        type=float,
        metavar="M",
        help="call them equivalent if they differ by less: in units of the "
        "metric, or as a factor such as 1.05 where it is a ratio or a proportion",
    )
    sub.add_argument("--test", choices=["welch", "permutation", "paired"], default="welch",
                     help="welch; permutation; or paired by seed, from 8 pairs on (welch)")  # fmt: skip
    sub.add_argument("--costs", type=Path, metavar="FOLDER", help="judge the speeds measured there, too")

    sub = add(report)
    sub.add_argument("--course", type=Path, metavar="FILE", default=Path("conf/course.yaml"))
    sub.add_argument("--outputs", type=Path, metavar="FOLDER", default=Path("outputs"))
    sub.add_argument("--out", type=Path, metavar="FILE", default=Path("outputs/report/index.html"))

    sub = add(repro)
    sub.add_argument("file", nargs="?", metavar="FILE", help="stages to run instead of the course's: paper/dvc.yaml")
    sub.add_argument("--jobs", type=int, default=1, metavar="N", help="stages of the course that run side by side (1)")
    sub.add_argument("--force", metavar="STAGE", help="run this stage alone, out of date or not")

    sub = add(clean)
    sub.add_argument("kinds", nargs="*", metavar="KIND", help="caches, adhoc, working, mlflow, dvc")
    sub.add_argument("--days", type=float, default=0, metavar="N", help="only what was not written to for N days (0)")
    sub.add_argument("--yes", action="store_true", help="delete without a question")

    sub = add(tune)
    settings(sub, "study=NAME, one of conf/study, and key=value of the study or of its trials")
    sub.add_argument("--config", type=Path, metavar="FILE", help="a resolved study; storage and tracking may differ")
    sub.add_argument("--workers", type=int, default=1, metavar="N", help="processes that each train a trial (1)")
    sub.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (a cache)")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="trials, best settings, figures (outputs/adhoc/…)")

    sub = add(predict)
    sub.add_argument("run", type=Path, metavar="RUN")
    source = sub.add_mutually_exclusive_group()
    source.add_argument("text", nargs="?", help="one line; standard input if absent")
    source.add_argument("--file", type=Path, help="a file of lines")
    sub.add_argument("--json", action="store_true", help="one JSON object per line")

    sub = add(generate)
    sub.add_argument("run", type=Path, metavar="RUN")
    source = sub.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="what the text begins with; standard input if absent")
    source.add_argument("--file", type=Path, help="a file of prompts, one per line")
    sub.add_argument("--length", type=int, default=50, metavar="N", help="tokens to add (50)")
    sub.add_argument("--temperature", type=float, default=1.0, metavar="X", help="0 takes the likeliest (1.0)")
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (0)")
    sub.add_argument("--json", action="store_true", help="one JSON object per line")

    sub = add(ui)
    sub.add_argument("--uri", default="sqlite:///mlruns/mlflow.db", help="MLflow's store")
    sub.add_argument("--port", type=int, default=5000)
    return parser
