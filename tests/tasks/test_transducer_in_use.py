"""Finished transducers in use: pictures of attention, drawn answers, and ensembles."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from processes import some_slow
from tasks.test_transducer import BRIEFLY, DECODERS, EXACT, built
from torch import Tensor

from unroll import experiment, preparation
from unroll.analysis.attention import attention, draw
from unroll.certificate.sample import rows
from unroll.cli import main
from unroll.config import Config
from unroll.data.vocabulary import END_INDEX
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.networks.decoder import Decoder, Running
from unroll.networks.sampling import Sampling
from unroll.serving import Predictor, ensemble
from unroll.serving.model import RunModel
from unroll.tasks.transducer.answers import TransducerNetwork, ended

Small = Callable[..., Config]
Finished = Callable[..., Path]
Refused = Callable[..., str]
LINES = ["12", "213", "", "54", "45", "3", "321"]
LEARNED = ["training.tokens=3000", "training.optimizer.learning_rate=2e-2", "arch.encoder.hidden_size=16",
           "arch.decoder.hidden_size=16"]  # fmt: skip


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were trained for one test, and are read by others."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def finished(small: Small, golden: Path) -> Finished:
    """A run with some settings."""

    def train(name: str, arch: str, *words: str, task: str = "pairs") -> Path:
        if not (golden / name).exists():
            config = small(task, arch, *words)
            experiment.train(config, preparation.prepared(config.data), golden / name)
        return golden / name

    return train


@pytest.fixture
def run(finished: Finished) -> Path:
    """A run that has learned its corpus."""
    return finished("learned", "bahdanau", *LEARNED)


@pytest.fixture
def tagger(finished: Finished) -> Path:
    return finished("tagger", "lstm", "training.tokens=200", task="tagging")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line on standard error of a command that must be refused, and prints nothing else."""

    def refuse(*words: object) -> str:
        capsys.readouterr()
        assert main(["predict", *map(str, words)]) == 2
        printed = capsys.readouterr()
        (line,) = printed.err.splitlines()
        assert printed.out == ""
        return line

    return refuse


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What ``unroll predict`` prints."""
    capsys.readouterr()
    assert main(["predict", *map(str, words)]) == 0
    return capsys.readouterr().out


# ---- attention


ATTENDING = [name for name, words in DECODERS.items() if "arch.decoder.context=attention" in words]


@pytest.mark.parametrize(
    "case",
    some_slow(
        product(ATTENDING, ("forwards", "reversed")),
        ("additive before", "forwards"), ("monotonic after", "reversed"), ("copying, feeding", "reversed"),
    ),
    ids=", ".join,
)  # fmt: skip
def test_weights_are_those_with_which_the_answer_was_found(
    case: tuple[str, str], small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, order = case
    is_reversed = order == "reversed"
    words = [*DECODERS[decoder], f"arch.decoder.reverse_source={str(is_reversed).lower()}"]
    task, batch = built(small("pairs", "seq2seq", BRIEFLY, "task.beam=1", *words))
    network = task.network
    network.shows_attention = True
    read: list[Tensor] = []
    real = Decoder.step

    def noted(self: Decoder, previous: Tensor, running: Running) -> tuple[Tensor, Running]:
        features, after = real(self, previous, running)
        assert after.weights is not None
        read.append(after.weights)
        return features, after

    monkeypatch.setattr(Decoder, "step", noted)
    chosen = torch.tensor([0, 13, 29])  # sources of 1 to 3 symbols
    with torch.no_grad():
        together = network.predict(rows(batch, chosen))
        for row, other in zip(chosen, together, strict=True):
            read.clear()
            (alone,) = network.predict(rows(batch, row[None]))
            steps = batch.sequence("source").lengths[row]
            expected = torch.cat(read)[:, :steps]  # [T + 1, S], in the order of the encoder
            if is_reversed:
                expected = torch.cat([expected[:, :-1].flip(1), expected[:, -1:]], dim=1)
            assert len(alone.symbols[0]) + 1 == len(expected)
            for found in (alone, other):
                torch.testing.assert_close(torch.tensor(found.weights, dtype=torch.float64), expected, **EXACT)
    assert expected.max() > 0


def labels(figure: Figure) -> tuple[list[str], list[str]]:
    axes = figure.axes[0]
    return [label.get_text() for label in axes.get_xticklabels()], [
        label.get_text() for label in axes.get_yticklabels()
    ]


def test_a_picture_has_the_weights_as_shades_from_left_to_right_and_downwards() -> None:
    weights = [[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]]
    figure = attention(["a", "a b", "[EOS]"], ["x\t", "y" * 30], weights)
    axes = figure.axes[0]
    assert labels(figure) == (["a", "a␣b", "[EOS]"], ["x\\t", f"{'y' * 23}…"])
    (shades,) = axes.collections
    assert shades.get_array().tolist() == weights  # type: ignore[union-attr]
    assert shades.get_clim() == (0, 1)
    assert axes.yaxis_inverted()
    assert not axes.xaxis_inverted()


def test_the_labels_of_a_picture_lie_apart_and_inside_it() -> None:
    for source, target in (
        ("2 1 3 [EOS]", "two one three [EOS]"),
        ("a b c", "x y"),
        ("incomprehensibilities " * 40, "z " * 90),
    ):
        across, down = source.split(), target.split()
        figure = attention(across, down, [[0.5] * len(across)] * len(down))
        figure.draw_without_rendering()
        axes, page = figure.axes[0], figure.bbox.padded(1)
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            boxes = [label.get_window_extent() for label in ticks]
            assert not any(one.overlaps(other) for one, other in pairwise(boxes))
            assert all(page.contains(*corner) for box in boxes for corner in box.corners())
        texts = [
            text for text in figure.findobj(Text) if text.get_text() in ("source", "answer", "attention", "weight")
        ]
        assert len(texts) == 4


def test_a_picture_of_many_symbols_has_a_bounded_size(tmp_path: Path) -> None:
    weights = [[0.001] * 201] * 50
    figure = attention(["a"] * 201, ["b"] * 50, weights)
    assert max(figure.get_size_inches()) < 35
    assert draw(tmp_path / "many.svg", ["a"] * 201, ["b"] * 50, weights)
    assert (tmp_path / "many.svg").stat().st_size < 300_000


def test_predict_draws_the_attention_of_its_answer(
    run: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = printed(capsys, run, "213", "--json")
    for name in ("a.svg", "a.PNG", "new/a.png"):
        assert printed(capsys, run, "213", "--attention", name) == "two one three\n"
        assert printed(capsys, run, "213", "--attention", name, "--json") == plain
    text = (project / "a.svg").read_text(encoding="utf-8")
    found = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert [word for word in found if word in ("1", "2", "3")] == ["2", "1", "3"]
    assert [word for word in found if word in ("one", "two", "three")] == ["two", "one", "three"]
    assert found.count("[EOS]") == 2
    assert (project / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (project / "new" / "a.png").read_bytes() == (project / "a.PNG").read_bytes()
    first = (project / "a.svg").read_bytes()
    assert printed(capsys, run, "213", "--attention", "a.svg", "--top-k", "1") == "two one three\n"
    assert (project / "a.svg").read_bytes() == first


def test_subwords_have_their_text_as_labels(finished: Finished) -> None:
    units = "data.reader={name: pairs, source_unit: subwords, target_unit: subwords, subword_size: 300}"
    answering = Predictor(Trained.load(finished("subwords", "bahdanau", BRIEFLY, units)), attention=True)
    answer, attended = answering.attended("12 é3")
    assert attended.source == ["12", " ", "\ufffd", "\ufffd", "3", "[EOS]"]  # é has two bytes, which are pieces apart
    assert "".join(attended.target) == f"{answer}[EOS]"
    assert [len(row) for row in attended.weights] == [len(attended.source)] * len(attended.target)


def test_characters_that_the_font_lacks_are_reported(
    run: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), "1犬2", "--attention", "a.svg"]) == 0
    assert "the font lacks some characters" not in capsys.readouterr().err
    assert "犬" in (project / "a.svg").read_text(encoding="utf-8")
    assert main(["predict", str(run), "1犬2", "--attention", "a.png"]) == 0
    assert "the font lacks some characters, which are drawn as boxes" in capsys.readouterr().err


def test_pictures_that_cannot_be_drawn_are_refused_in_one_sentence(
    run: Path, tagger: Path, finished: Finished, project: Path, refused: Refused
) -> None:
    before = sorted(project.iterdir())
    picture = ("--attention", "a.png")
    plain = finished("plain", "seq2seq", BRIEFLY)
    assert "seq2seq-0 has no attention to draw; leave out --attention" in refused(plain, "12", *picture)
    assert "has no attention to draw" in refused(tagger, "the dog", *picture)
    for name in ("a.pdf", "a", ".png"):
        assert f"{name} ends neither in .png nor in .svg" in refused(run, "12", "--attention", name)
    assert "the answer to one text" in refused(run, "12\n13", *picture)
    assert "the answer to one text" in refused(run, *picture)
    assert "the answer to one text" in refused(run, "--file", "lines.txt", *picture)
    assert "An empty text is not read" in refused(run, " ", *picture)
    assert "attention of its own; leave out --with" in refused(run, "12", "--with", run, *picture)
    assert sorted(project.iterdir()) == before
    (project / "folder.png").mkdir()
    assert "folder.png is a folder" in refused(run, "12", "--attention", "folder.png")


def test_a_picture_that_cannot_be_written_leaves_the_former_one(
    run: Path, project: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Figure, path: Path, **more: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    (project / "a.png").write_bytes(b"former")
    before = sorted(project.iterdir())
    monkeypatch.setattr(Figure, "savefig", full)
    assert "no partial output was kept" in refused(run, "12", "--attention", "a.png")
    assert (project / "a.png").read_bytes() == b"former"
    assert sorted(project.iterdir()) == before


def test_weights_that_are_not_numbers_are_not_drawn(small: Small) -> None:
    task, batch = built(small("pairs", "bahdanau", BRIEFLY))
    task.network.shows_attention = True
    with torch.no_grad():
        task.network.network.decoder.attention.vector.fill_(torch.nan)  # type: ignore[union-attr,operator]
        with pytest.raises(BadInput, match="weights of attention that are not finite"):
            task.network.predict(batch)


# ---- sampling


def test_drawn_answers_repeat_themselves_by_seed_and_do_not_depend_on_the_others(
    finished: Finished, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    plain = finished("plain", "seq2seq", BRIEFLY)  # which has learned little, so that draws differ
    (project / "lines.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    for options in (["--temperature", "2"], ["--top-k", "4"], ["--top-p", "0.9", "--temperature", "1.5"]):
        asked = ["--json", *options]
        together = printed(capsys, plain, "--file", "lines.txt", "--seed", 4, *asked)
        assert printed(capsys, plain, "--file", "lines.txt", "--seed", 4, *asked) == together
        assert printed(capsys, plain, "--file", "lines.txt", *asked) != together
        assert printed(capsys, plain, "--file", "lines.txt", *asked) == printed(
            capsys, plain, "--file", "lines.txt", "--seed", 0, *asked
        )
        for number, (line, answer) in enumerate(zip(LINES, together.splitlines(), strict=True)):
            if line:
                one = json.loads(printed(capsys, plain, line, "--seed", 4 + number, *asked))
                two = json.loads(answer)
                assert one["target"] == two["target"]
                assert one["score"] == pytest.approx(two["score"], abs=1e-5)
    same = [str(answer) for answer in Predictor(Trained.load(plain), sampling=Sampling(2.0)).lines(["12"] * 20)]
    assert len(set(same)) > 10  # one draw for each


def test_the_most_probable_symbol_alone_is_drawn_as_by_greedy_search(finished: Finished) -> None:
    plain = Trained.load(finished("plain", "seq2seq", BRIEFLY))
    drawn = [[str(answer) for answer in Predictor(plain, sampling=sampling).lines(LINES)]
             for sampling in (Sampling(0.0), Sampling(top_k=1), Sampling(top_p=0.001))]  # fmt: skip
    network = plain.network
    assert isinstance(network, TransducerNetwork)
    network.options = replace(network.options, beam=1)
    greedy = [str(answer) for answer in Predictor(plain).lines(LINES)]
    assert drawn == [greedy] * 3


def test_a_served_model_draws_answers_with_the_same_settings(
    finished: Finished, tagger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = finished("plain", "seq2seq", BRIEFLY)
    model = RunModel(plain)
    for settings in ({}, {"top_k": 4}, {"top_p": 0.8, "seed": 3}, {"temperature": 2.0, "seed": 1}):
        words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
        assert model.predict(["12"], settings) == printed(capsys, plain, "12", "--json", *words).splitlines()
    with pytest.raises(BadInput, match="task=tagger has one answer per record"):
        RunModel(tagger).predict(["the dog"], {"temperature": 2.0})


def test_sampling_is_refused_beside_what_searches(run: Path, tagger: Path, refused: Refused) -> None:
    draw = ("--temperature", "1")
    assert "--best asks a beam for several; give one" in refused(run, "12", "--json", "--best", "3", *draw)
    assert "leave out --evaluate" in refused(run, "--file", "data/small/test.tsv", "--evaluate", *draw)
    assert "--seed has no effect on a search" in refused(run, "12", "--seed", "3")
    assert "one answer per record; leave out --temperature, --top-k and --top-p" in refused(tagger, "the dog", *draw)


# ---- ensembles


def test_an_ensemble_of_one_run_is_the_run(run: Path, capsys: pytest.CaptureFixture[str], project: Path) -> None:
    (project / "lines.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    for options in ([], ["--best", "3"], ["--top-k", "5", "--seed", "7"]):
        asked = ["--file", "lines.txt", "--json", *options]
        alone = printed(capsys, run, *asked)
        assert printed(capsys, run, "--with", run, *asked) == alone
        assert printed(capsys, run, "--with", run, "--with", run, "--with", run, *asked) == alone


def test_the_figures_of_an_ensemble_are_those_of_its_mean(
    run: Path, finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    other = finished("plain", "seq2seq", BRIEFLY)

    def figures(*words: object) -> dict[str, float]:
        capsys.readouterr()
        assert main(["predict", *map(str, words), "--file", "data/small/test.tsv", "--evaluate"]) == 0
        found = re.findall(r"(\S+) (-?\d\S*)", capsys.readouterr().err.replace(",", ""))
        return {name: float(value) for name, value in found}

    one, two, same, both = figures(run), figures(other), figures(run, "--with", run), figures(run, "--with", other)
    assert same == one
    assert both["loss"] == pytest.approx((one["loss"] + two["loss"]) / 2, rel=1e-3)
    assert two["loss"] > 1.1 * one["loss"]


def test_the_score_of_an_ensemble_is_the_mean_of_its_runs(run: Path, finished: Finished) -> None:
    folders = [run, finished("plain", "seq2seq", BRIEFLY), finished("reversed", "seq2seq-reversed", BRIEFLY, "seed=3")]
    runs = ensemble(folders)
    networks = [one.network for one in runs]
    Predictor(runs[0], others=runs[1:])
    first = networks[0]
    assert isinstance(first, TransducerNetwork)
    data = experiment.prepared_data.PreparedData(runs[0].config, preparation.prepared(runs[0].config.data))
    batch = next(iter(experiment.evaluation_loader(runs[0].config, data.spec, data.split("validation"))))
    with torch.no_grad():
        source, others = first.read(batch), first.read_by_others(batch)
        found = first.search(source, 4, 2, others)
        targets, mask = ended(found, END_INDEX)
        losses = [
            network.losses(read, targets, mask).sum(dim=1) for network, read in ((first.network, source), *others)
        ]
    torch.testing.assert_close(
        found.log_probabilities[:, 0].float(), -torch.stack(losses).mean(dim=0), rtol=1e-5, atol=1e-5
    )
    answers = [str(answer) for answer in Predictor(runs[0], others=runs[1:]).lines(LINES)]
    turned = ensemble(folders[::-1])
    turned[0].network.options = first.options  # type: ignore[assignment]
    assert [str(answer) for answer in Predictor(turned[0], others=turned[1:]).lines(LINES)] == answers


def test_runs_that_predict_different_symbols_are_no_ensemble(
    run: Path, tagger: Path, finished: Finished, refused: Refused, project: Path
) -> None:
    copying = finished("copying", "bahdanau", BRIEFLY, "arch.decoder.copying=true")
    message = refused(run, "12", "--with", copying)
    assert f"{run} and {copying} do not both copy symbols of the source" in message
    message = refused(run, "12", "--with", run, "--with", tagger)
    assert f"{tagger} is a run of task=tagger, which does not search for answers" in message
    assert "which does not search for answers" in refused(tagger, "the dog", "--with", tagger)
    assert "missing is not a run" in refused(run, "12", "--with", "missing")
    for split in ("train", "validation"):
        path = Path(f"data/small/{split}.tsv")
        path.write_text(
            path.read_text(encoding="utf-8").replace("five", "cinq").replace("four", "cinq"), encoding="utf-8"
        )
    other = finished("other", "bahdanau", BRIEFLY)
    message = refused(run, "12", "--with", other)
    assert f"{run} and {other} have different vocabularies of the target (8 and 7 symbols)" in message
