"""Transduction: losses and answers that depend on the source alone, search and losses that agree, training inputs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import some_slow
from safetensors.torch import load_file
from torch import Tensor
from training.test_checkpoint import OFTEN, kill, results, train

from unroll import experiment, preparation
from unroll.certificate import certify
from unroll.certificate.sample import padded, rows
from unroll.cli import main
from unroll.config import Config, load
from unroll.data.batch import Batch
from unroll.data.vocabulary import END_INDEX, UNKNOWN_INDEX
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.experiment.prepared_data import PreparedData
from unroll.networks.attention import ATTENTIONS
from unroll.networks.attention.base import Attention, Prepared
from unroll.networks.bridge import BRIDGES
from unroll.networks.copying import CopyingOutput
from unroll.networks.encoder_decoder import EncoderDecoder, reversed_before_end
from unroll.networks.state import select_rows
from unroll.networks.wiring import CONTEXTS
from unroll.serving import Predictor
from unroll.tasks.base import Task
from unroll.tasks.texts import ROUGE
from unroll.tasks.transducer import description
from unroll.tasks.transducer.figures import METRICS
from unroll.tasks.transducer.module import Transducer
from unroll.tasks.transducer.sampling import SCHEDULES, coins, mixed, probability

Small = Callable[..., Config]
EXACT = {"rtol": 0.0, "atol": 1e-10}
BRIEFLY = "training.tokens=300"


def attending(name: str, read: str, feeding: bool, *more: str) -> list[str]:
    """Settings of a decoder with attention, over an encoder that every score fits."""
    size = "" if name in ("dot", "general", "scaled") else "size: 4, "
    window = "window: 2, " if name == "local" else ""
    wired = f"{{name: {name}, {size}{window}read: {read}, feeding: {str(feeding).lower()}}}"
    return ["arch.decoder.context=attention", "arch.decoder.bridge=linear", f"arch.decoder.attention={wired}", *more]


DECODERS: dict[str, list[str]] = {
    "start": ["arch.decoder.context=start", "arch.decoder.bridge=linear"],
    "start, copied": ["arch.decoder.context=start", "arch.decoder.bridge=copy"],
    "every step": ["arch.decoder.context=every_step", "arch.decoder.bridge=zero"],
    "both": ["arch.decoder.context=both", "arch.decoder.bridge=linear"],
    "reversed": ["arch.decoder.reverse_source=true"],
    **{f"{name} {read}": attending(name, read, False) for name in ATTENTIONS for read in ("before", "after")},
    "feeding": attending("general", "after", True),
    "copying": attending("additive", "after", False, "arch.decoder.copying=true"),
    "copying, feeding": attending("additive", "before", True, "arch.decoder.copying=true"),
}
ENCODERS = {
    "LSTM": "{name: recurrent, cell: lstm, cell_arguments: {forget_bias: 1.0}, bidirectional: false}",
    "two layers of a bidirectional GRU": "{name: recurrent, cell: gru, cell_arguments: {reset: after}, "
    "bidirectional: true, layers: 2, hidden_size: 4}",
    "convolutional": "{name: convolutional, layers: 1, kernel_width: 3}",
}
DECODER = "{name: recurrent, cell: gru, cell_arguments: {reset: before}}"
QUICK = ("start, copied", "reversed", "additive before", "monotonic after", "feeding", "copying, feeding")
slow = pytest.mark.slow


def built(config: Config, awake: float = 1.0) -> tuple[Transducer, Batch]:
    """The task of a run in double precision, with weights that make its answers differ, and its validation split."""
    data = PreparedData(config, preparation.prepared(config.data))
    torch.manual_seed(1)
    task = experiment.build_task(config, data.spec).double().eval()
    assert isinstance(task, Transducer)
    with torch.no_grad():
        for weight in task.parameters():
            weight.add_(awake * torch.randn_like(weight))
        output = task.network.network.output
        if isinstance(output, CopyingOutput):
            output.gate.weight *= 0.1  # generate most of the time: the source has its end to copy
            output.gate.bias.fill_(3.0)
            output = output.output
        output.decoder.bias[END_INDEX] -= 2.0
    loader = experiment.evaluation_loader(config, data.spec, data.split("validation"))
    loader.batch_size = 50
    return task, next(iter(loader))


def seen(task: Transducer, batch: Batch) -> tuple[list[Tensor], list[list[int]], list[float]]:
    """Losses of the real symbols of each row, and the best answer with its log-probability."""
    with torch.no_grad():
        source = task.network.read(batch)
        losses = task.network.network.losses(source, batch.sequence("target").values, batch.mask)
        found = task.network.search(source, 3)
    lengths = found.lengths[:, 0].tolist()
    answers = [row[:length] for row, length in zip(found.symbols[:, 0].tolist(), lengths, strict=True)]
    return [row[real] for row, real in zip(losses, batch.mask, strict=True)], answers, found.log_probabilities[
        :, 0
    ].tolist()  # fmt: skip


# ---- what the figures depend on


@pytest.mark.parametrize("decoder", some_slow(DECODERS, *QUICK))
def test_losses_and_answers_of_a_source_depend_on_nothing_beside_it(decoder: str, small: Small) -> None:
    task, batch = built(small("pairs", "seq2seq", BRIEFLY, *DECODERS[decoder]))
    batch = rows(batch, torch.tensor([0, 13, 29, 44, 49]))  # of different lengths
    losses, answers, scores = seen(task, batch)
    assert len({tuple(answer) for answer in answers}) > 1
    alone = [seen(task, rows(batch, torch.tensor([row]))) for row in range(5)]
    more = seen(task, padded(batch, 4, task.spec, torch.Generator().manual_seed(0)))
    for row in range(5):
        for found, place in ((alone[row], 0), (more, row)):
            torch.testing.assert_close(found[0][place], losses[row], **EXACT)
            assert found[1][place] == answers[row]
            assert found[2][place] == pytest.approx(scores[row], abs=1e-10)


@pytest.mark.parametrize("decoder", some_slow(DECODERS, *QUICK))
def test_the_score_of_an_answer_is_minus_its_loss(decoder: str, small: Small) -> None:
    task, batch = built(small("pairs", "seq2seq", BRIEFLY, "task.beam=3", *DECODERS[decoder]))
    with torch.no_grad():
        found, given = task.searched(batch)
    torch.testing.assert_close(found, given, **EXACT)


def test_the_copy_of_an_unknown_symbol_is_that_of_its_place_in_the_text(small: Small) -> None:
    for order in ("false", "true"):
        words = [*DECODERS["copying"], f"arch.decoder.reverse_source={order}"]
        task, batch = built(small("pairs", "seq2seq", BRIEFLY, *words))
        network, size = task.network, task.spec["target"].size
        known = [number for number in batch.sequence("source").values.flatten().tolist() if number > END_INDEX]
        source = torch.tensor([[known[0], UNKNOWN_INDEX, known[0], known[0], END_INDEX]])
        symbols = network.network.read(source, torch.tensor([5])).symbols
        assert symbols is not None
        place = 2 if order == "true" else 1  # of the second symbol, as the encoder reads
        assert symbols[0, place] == size + 1
        assert network.text([size + 1], ["a", "b", "c", "d"]) == "b"


def test_the_score_of_an_answer_with_copies_of_unknown_symbols_is_minus_its_loss(small: Small) -> None:
    task, batch = built(small("pairs", "seq2seq", BRIEFLY, "task.beam=3", *DECODERS["copying, feeding"]))
    values = batch.sequence("source").values
    values[values > END_INDEX] = UNKNOWN_INDEX
    output = task.network.network.output
    assert isinstance(output, CopyingOutput)
    with torch.no_grad():
        output.gate.bias.fill_(-3.0)  # copy most of the time
        source = task.network.read(batch)
        assert (task.network.search(source, 3).symbols >= output.vocabulary_size).any()
        found, given = task.searched(batch)
    torch.testing.assert_close(found, given, **EXACT)


def test_the_suite_has_every_part_of_a_decoder() -> None:
    words = " ".join(" ".join(settings) for settings in DECODERS.values())
    assert [name for name in ATTENTIONS if f"name: {name}," not in words] == []
    assert [name for name in BRIDGES if f"bridge={name}" not in words] == []
    assert [name for name in CONTEXTS if f"context={name}" not in words] == []


PAIRS = [
    pytest.param(encoder, decoder, marks=[] if (encoder, decoder) == ("convolutional", "copying") else slow)
    for encoder, decoder in product(ENCODERS, DECODERS)
]


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_every_encoder_and_every_decoder_train_reload_and_resume(
    encoder: str, decoder: str, small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = f"name: seq2seq\nencoder: {ENCODERS[encoder]}\ndecoder: {DECODER}\n"
    (project / "conf" / "arch" / "seq2seq.yaml").write_text(content, encoding="utf-8")
    size = ["arch.encoder.hidden_size=4"] if "bidirectional: true" in content else []
    config = small("pairs", "seq2seq", *OFTEN, BRIEFLY, *DECODERS[decoder], *size)
    prepared = preparation.prepared(config.data)
    figures = experiment.train(config, prepared, project / "whole")
    run = Trained.load(project / "whole")
    split = PreparedData(config, prepared).split("validation")
    loader = experiment.evaluation_loader(config, run.vocabulary.spec, split)
    assert experiment.evaluate_task(run.task, loader) == figures
    kill(config, project / "killed", monkeypatch, Task, "training_step", 15)
    assert train(config, project / "killed") == results(project / "whole")


# ---- training inputs


def test_without_own_inputs_training_is_teacher_forcing_bit_for_bit(small: Small, project: Path) -> None:
    weights = {}
    for name, schedule in (("none", "linear"), ("still none", "inverse_sigmoid")):
        config = small("pairs", "bahdanau", BRIEFLY, "task.own_inputs=0", f"task.own_inputs_schedule={schedule}")
        experiment.train(config, preparation.prepared(config.data), project / name)
        weights[name] = (project / name / "weights.safetensors").read_bytes()
    assert weights["none"] == weights["still none"]
    config = small("pairs", "bahdanau", BRIEFLY, "task.own_inputs=0.9")
    experiment.train(config, preparation.prepared(config.data), project / "own")
    assert weights["none"] != (project / "own" / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("decoder", ["start", "additive before", "feeding", "copying"])
def test_with_own_inputs_alone_a_decoder_reads_what_greedy_search_reads(decoder: str, small: Small) -> None:
    task, batch = built(small("pairs", "seq2seq", BRIEFLY, *DECODERS[decoder]))
    network = task.network.network
    network.forbidden = ()  # so that search, too, takes the likeliest of all symbols
    with torch.no_grad():
        source = task.network.read(batch)
        found = network.search(source, torch.full((len(batch.mask),), 6), 1, 1, 0.0)
        targets = torch.nn.functional.pad(found.symbols[:, 0], (0, 1)).scatter(1, found.lengths, 2)
        mask = torch.arange(targets.shape[1]) <= found.lengths
        greedy = network.losses(source, targets, mask)
        wrong = torch.where(mask, (targets + 1) % 5, targets)  # which are never read
        own = network.losses(source, torch.cat([targets[:, :1], wrong[:, 1:]], dim=1), mask, own=torch.ones_like(mask))
        same = network.losses(source, targets, mask, own=torch.ones_like(mask))
        none = network.losses(source, targets, mask, own=torch.zeros_like(mask))
    torch.testing.assert_close(same, greedy, **EXACT)
    torch.testing.assert_close(none, greedy, **EXACT)
    assert not torch.allclose(own, greedy)


def test_coins_are_fair_and_belong_to_seed_step_target_and_place() -> None:
    targets = torch.randint(3, 50, (400, 30), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(targets, dtype=torch.bool)
    found = coins(1, 1000, targets, mask, 0.3)
    assert found.double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert found.double().mean(dim=0).sub(0.3).abs().max() < 0.1  # at every place
    assert not coins(1, 1000, targets, mask, 0.0).any()
    assert coins(1, 1000, targets, mask, 1.0).all()
    alone = coins(1, 1000, targets[7:8], mask[7:8], 0.3)
    assert torch.equal(alone[0], found[7])
    longer = torch.nn.functional.pad(targets, (0, 5), value=9)
    assert torch.equal(coins(1, 1000, longer, torch.nn.functional.pad(mask, (0, 5)), 0.3)[:, :30], found)
    for seed, step in ((2, 1000), (1, 1001)):
        agree = (coins(seed, step, targets, mask, 0.3) == found).double().mean().item()
        assert agree == pytest.approx(0.3**2 + 0.7**2, abs=0.02)


def test_the_hash_is_splitmix64() -> None:
    """Values of the reference implementation: the first outputs of the generator with seed 0 and 1."""
    golden = -7046029254386353131  # 0x9E3779B97F4A7C15
    expected = [-2152535657050944081, -7995527694508729151]  # 0xE220A8397B1DCDAF, 0x910A2DEC89025CC1
    assert mixed(torch.tensor([golden, golden + 1])).tolist() == expected


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_rises_from_nothing_to_its_end(schedule: str) -> None:
    points = [probability(0.8, schedule, share / 20) for share in range(21)]
    assert points[0] == pytest.approx(0)
    assert points[-1] == pytest.approx(0.8)
    assert all(one < two for one, two in pairwise(points))
    assert probability(0.8, schedule, 1.7) == points[-1]


def test_label_smoothing_is_a_matter_of_training(small: Small) -> None:
    (plain, batch), (smooth, _) = (
        built(small("pairs", "luong", BRIEFLY, f"task.smoothing={smoothing}")) for smoothing in (0, 0.3)
    )
    smooth.load_state_dict(plain.state_dict())
    with torch.no_grad():
        assert torch.equal(plain.scores(batch, True).losses, smooth.scores(batch, True).losses)
        network, targets = plain.network.network, batch.sequence("target").values
        source = plain.network.read(batch)
        uniform = torch.stack([
            network.losses(source, targets, batch.mask, smoothing=share)[batch.mask] for share in (0.0, 0.3, 0.6)
        ])  # fmt: skip
        assert torch.allclose(uniform[1], (uniform[0] + uniform[2]) / 2)  # linear in the weight
        assert torch.equal(smooth.scores(batch, False).losses[batch.mask], uniform[1])


def test_a_reversed_source_keeps_its_end_and_its_padding() -> None:
    sources = torch.tensor([[3, 4, 5, 2, 0], [6, 2, 9, 9, 9], [2, 7, 7, 7, 7]])
    found = reversed_before_end(sources, torch.tensor([4, 2, 1]))
    assert found.tolist() == [[5, 4, 3, 2, 0], [6, 2, 9, 9, 9], [2, 7, 7, 7, 7]]


def test_an_output_shares_the_embedding_of_the_targets(small: Small) -> None:
    task, _ = built(small("pairs", "bahdanau", BRIEFLY, "task.tied=true", "arch.decoder.embedding_size=6"))
    network = task.network.network
    assert network.output.decoder.weight is network.decoder.embedding.weight  # type: ignore[union-attr]


def test_source_and_target_share_an_embedding_if_they_have_one_vocabulary(small: Small) -> None:
    config = small("pairs", "bahdanau", BRIEFLY, "task.shared=true", "arch.inputs.size=5")
    with pytest.raises(BadInput, match=r"task.shared needs one vocabulary .* they have 8 and 8 symbols, which differ"):
        built(config)
    same = ["data.reader={name: pairs, source_unit: words}", "data.shared_vocabulary=true"]
    task, _ = built(small("pairs", "bahdanau", BRIEFLY, "task.shared=true", "arch.inputs.size=5", *same))
    network = task.network.network
    assert network.decoder.embedding is network.memory.encoder.inputs


# ---- figures


def test_an_answer_is_right_if_it_is_one_of_the_references_and_belongs_to_all_its_groups(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(
        "pairs", "bahdanau", BRIEFLY, "task.figures=[bleu, chrf, word_error_rate, character_error_rate, rouge]"
    )
    task, batch = built(config)
    answers = task._right_answers(batch)
    monkeypatch.setattr(Transducer, "_texts", lambda self, found: [row[0] for row in answers])
    figures = experiment.evaluate_task(task, [batch])
    assert figures["accuracy"] == figures["accuracy/low"] == figures["accuracy/high"] == 1
    assert (figures["word_error_rate"], figures["character_error_rate"], figures["chrf"]) == (0, 0, 100)
    assert (figures["rouge1"], figures["rougeL"]) == (1, 1)
    assert figures["perplexity"] == pytest.approx(torch.tensor(figures["loss"]).exp().item())
    low = batch.single("groups")[:, 0] == task.groups.index("low")
    monkeypatch.setattr(
        Transducer,
        "_texts",
        lambda self, found: [row[0] if is_low else "no" for row, is_low in zip(answers, low, strict=True)],
    )
    figures = experiment.evaluate_task(task, [batch])
    assert (figures["accuracy/low"], figures["accuracy/high"]) == (1, 0)
    assert figures["accuracy"] == low.double().mean().item()
    assert task.items()["accuracy/low"] == int(low.sum())
    assert set(task.signatures()) == {"bleu", "chrf"}


def test_case_does_not_count_where_targets_are_read_in_lower_case(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "validation"):
        path = Path(f"data/small/{split}.tsv")
        path.write_text(path.read_text(encoding="utf-8").replace("one", "One"), encoding="utf-8")
    for is_lower, accuracy in ((True, 1), (False, 0.6)):
        config = small("pairs", "bahdanau", BRIEFLY, "task.figures=[bleu]", f"data.lowercase={str(is_lower).lower()}")
        task, batch = built(config)
        targets = batch.sequence("target")
        texts = [
            task.network.text(row[: length - 1]).lower()
            for row, length in zip(*(part.tolist() for part in targets), strict=True)
        ]
        monkeypatch.setattr(Transducer, "_texts", lambda self, found, texts=texts: texts)
        assert experiment.evaluate_task(task, [batch])["accuracy"] == pytest.approx(accuracy)
        assert task.signatures()["bleu"].startswith("case:lc" if is_lower else "case:mixed")


def test_figures_are_named_alike_in_settings_and_in_code() -> None:
    assert description.ROUGE == ROUGE
    assert set(description.Figure.__args__) == set(METRICS)  # type: ignore[attr-defined]
    options = replace(description.DESCRIPTION).options
    names = {metric.name for metric in description.DESCRIPTION.metrics}
    assert set(description.Score.__args__) <= names  # type: ignore[attr-defined]
    assert options is description.TransducerOptions


def test_the_figure_of_the_settings_chooses_the_checkpoint(small: Small, project: Path) -> None:
    config = small("pairs", "bahdanau", BRIEFLY, "task.score=word_error_rate", "solved=word_error_rate <= 0.9")
    figures = experiment.train(config, preparation.prepared(config.data), project / "run")
    task = Trained.load(project / "run").task
    assert (task.monitor, task.mode, task.headline) == ("val/word_error_rate", "min", "word_error_rate")
    assert "word_error_rate" in figures
    assert "bleu" not in figures


def test_of_validations_with_equal_scores_the_one_with_the_lowest_loss_is_kept(small: Small, project: Path) -> None:
    config = small("pairs", "bahdanau", BRIEFLY, "training.validations=4")
    figures = experiment.train(config, preparation.prepared(config.data), project / "run")
    with (project / "run" / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scores, losses = ([float(row["value"]) for row in rows if row["metric"] == name]
                      for name in ("val/accuracy", "val/loss"))  # fmt: skip
    assert scores.count(max(scores)) > 1
    best = min(loss for loss, score in zip(losses, scores, strict=True) if score == max(scores))
    assert figures["loss"] == pytest.approx(best, rel=1e-5)
    assert best < losses[0]


def test_answers_at_the_maximum_length_are_counted(small: Small) -> None:
    task, batch = built(small("pairs", "bahdanau", BRIEFLY, "task.longest_factor=0", "task.longest_more=1"), awake=0)
    with torch.no_grad():
        task.network.network.output.decoder.bias[3] = 50.0  # type: ignore[union-attr,operator,index]
    figures = experiment.evaluate_task(task, [batch])
    assert figures["capped"] == 1


def test_the_beam_is_for_test_and_greedy_search_for_validation(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    task, batch = built(small("pairs", "bahdanau", BRIEFLY, "task.beam=3"))
    widths: list[int] = []
    real: Any = EncoderDecoder.search

    def noted(self: EncoderDecoder, source: Any, longest: Tensor, width: int, *more: Any) -> Any:
        widths.append(width)
        return real(self, source, longest, width, *more)

    monkeypatch.setattr(EncoderDecoder, "search", noted)
    experiment.evaluate_task(task, [batch])
    task.thorough = True
    experiment.evaluate_task(task, [batch])
    assert widths == [1, 3]


# ---- a run in use


@pytest.fixture
def run(small: Small, project: Path) -> Path:
    config = small("pairs", "bahdanau", "training.tokens=3000", "training.optimizer.learning_rate=2e-2",
                   "arch.encoder.hidden_size=16", "arch.decoder.hidden_size=16")  # fmt: skip
    experiment.train(config, preparation.prepared(config.data), project / "run")
    return project / "run"


def test_a_run_answers_lines_and_files_and_writes_its_hypotheses(
    run: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [str(answer) for answer in Predictor(Trained.load(run)).lines(["12", "", "213", "54"])]
    assert answers == ["one two", "", "two one three", "five four"]
    source = project / "data" / "small" / "test.tsv"
    blank = source.read_text(encoding="utf-8").replace("one two", "?").replace("five four", "?")
    (project / "blank.tsv").write_text(blank, encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", str(run), "--file", "blank.tsv"]) == 0
    assert capsys.readouterr().out == source.read_text(encoding="utf-8")
    assert main(["predict", str(run), "12", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "one two"
    assert found["score"] < 0
    assert main(["predict", str(run), "12", "--json", "--best", "3"]) == 0
    several = json.loads(capsys.readouterr().out)
    assert (several["target"], several["score"]) == (found["target"], pytest.approx(found["score"]))
    scores = [several["score"], *(other["score"] for other in several["others"])]
    assert scores == sorted(scores, reverse=True)
    assert len({several["target"], *(other["target"] for other in several["others"])}) == 3
    assert main(["predict", str(run), "12", "--best", "3"]) == 2
    assert "--best requires --json" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--out", "figures/mine.json"]) == 0
    lines = (project / "figures" / "mine" / "bahdanau-0" / "hypotheses.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [line.split("\t")[1] for line in source.read_text(encoding="utf-8").splitlines()]
    content = json.loads((project / "figures" / "mine.json").read_text(encoding="utf-8"))["bahdanau-0"]
    assert content["evaluation"]["task.beam"] == 4
    assert content["test"]["accuracy"] == 1


def test_a_task_with_one_answer_has_no_best_ones(small: Small, project: Path) -> None:
    config = small("tagging", "lstm", "training.tokens=200")
    experiment.train(config, preparation.prepared(config.data), project / "tagger")
    with pytest.raises(BadInput, match="task=tagger has one answer per record; leave out --best"):
        Predictor(Trained.load(project / "tagger"), best=2)


@pytest.mark.parametrize(
    ("arch", "words", "sentence"),
    [
        ("seq2seq", [], "All steps are computed in one scan."),
        ("luong", [], "Steps are computed one by one, since each step reads the fed-back vector"),
        ("luong", ["arch.decoder.attention.feeding=false"], "followed by attention of all steps in batched products."),
        ("seq2seq", ["task.own_inputs=0.3"], "one by one, since the decoder reads its own predictions"),
    ],
)
def test_the_settings_say_how_a_decoder_trains(
    arch: str, words: list[str], sentence: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "data=numbers", "task=transducer", f"arch={arch}", *words]) == 0
    shown = capsys.readouterr().out
    last = shown.splitlines()[-1]
    assert last.startswith("# ")
    assert sentence in last
    (project / "run.yaml").write_text(shown, encoding="utf-8")
    assert load(project / "run.yaml").task.name == "transducer"


# ---- planted faults, which a certificate must show


@pytest.mark.parametrize("fault", some_slow(
    ["padding is read", "states stay where they are", "[EOS] is lost", "keys are those of another sentence"],
    "states stay where they are",
))  # fmt: skip
def test_planted(
    fault: str, small: Small, project: Path, plant: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("pairs", "bahdanau", BRIEFLY, "task.beam=4")
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, project / "run")
    weights = load_file(project / "run" / "weights.safetensors")
    weights["network.output.decoder.bias"][END_INDEX] -= 3  # answers of several symbols, without much training
    plant(project / "run", weights)
    assert certify(project / "run", prepared)["certified"]
    if fault == "padding is read":
        real: Any = Attention.prepare
        monkeypatch.setattr(
            Attention, "prepare",
            lambda self, memory: real(self, memory._replace(
                lengths=torch.full_like(memory.lengths, memory.features.shape[1]))),
        )  # fmt: skip
    elif fault == "keys are those of another sentence":
        real = Attention.prepare
        monkeypatch.setattr(Attention, "prepare", lambda self, memory: rolled(real(self, memory)))
    elif fault == "states stay where they are":
        monkeypatch.setattr("unroll.networks.beam.select_rows", lambda state, chosen: first_rows(state, len(chosen)))
    else:
        real = EncoderDecoder.losses

        def without_end(self: EncoderDecoder, source: Any, targets: Tensor, mask: Tensor, *more: Any) -> Tensor:
            losses: Tensor = real(self, source, targets, mask, *more)
            return losses * (targets != self.end_index)

        monkeypatch.setattr(EncoderDecoder, "losses", without_end)
    certificate = certify(project / "run", prepared)
    failed = {found["check"] for found in certificate["checks"] if found.get("passed") is False}
    expected = {"padding is read": "padding", "keys are those of another sentence": "batch_size"}.get(fault, "search")
    assert expected in failed


def rolled(prepared: Prepared) -> Prepared:
    """Keys of the next sentence in the batch."""
    return prepared._replace(keys=prepared.keys.roll(1, dims=0))


def first_rows(state: Any, count: int) -> Any:
    """Rows in the order that they had, as many as are needed."""
    size = len(state[0].state[0][0])
    return select_rows(state, torch.arange(count) % size)


# ---- bad input


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["task.beam=0"], "task.beam=0"),
        (["task.longest_more=0"], "task.longest_more=0"),
        (["data.sentence_end=false"], "set data.sentence_end=true"),
        (["arch.decoder.bridge=copy"], "choose bridge=linear, or equal sizes"),
        (["arch.decoder.attention=null"], "needs arch.decoder.attention"),
        (["arch.decoder.context=start"], "arch.decoder.attention has no effect"),
        (["arch.decoder.context=both", "arch.decoder.attention=null", "arch.decoder.bridge=zero"], "bridge=linear"),
        (["arch.decoder.context=every_step", "arch.decoder.attention=null"], "choose bridge=zero, or context=both"),
        (["arch.decoder.context=start", "arch.decoder.attention=null", "arch.decoder.copying=true"], "copying=false"),
        (["arch.decoder.attention.name=dot", "arch.decoder.attention.size=null"], "choose general or additive"),
        (["arch.decoder.attention.name=dot"], "arch.decoder.attention.size has no effect on the attention dot"),
        (["arch.decoder.attention.name=local"], "arch.decoder.attention.window is missing"),
        (["arch.decoder.attention.name=adaptive"], "arch.decoder.attention.name=adaptive"),
        (["arch.decoder.cell=gruu"], "There is no arch.decoder.cell=gruu"),
        (["arch.decoder.context=start", "arch.decoder.attention=null", "task.coverage=1"], "task.coverage=1.0 needs"),
        (["arch.decoder.copying=true", "task.smoothing=0.1"], "task.smoothing is not defined for symbols that are"),
        (["task.shared=true"], "make them equal"),
        (["training.activation_regularization=1"], "set them to 0"),
        (["training.truncation_length=3"], "needs whole sequences"),
        (["judged_by=bleu"], "needs the figure bleu"),
        (["judged_by=accuracy/5", "data.reader={name: pairs}"], "data.reader.group_columns"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused_in_one_sentence(
    words: list[str], reason: str, small: Small
) -> None:
    with pytest.raises(BadInput) as caught:
        small("pairs", "bahdanau", *words)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_target_is_as_short_as_answers_may_be(small: Small, project: Path) -> None:
    for split in ("train", "validation"):
        Path(f"data/small/{split}.tsv").write_text("12\tone two three four\tlow\n" * 8, encoding="utf-8")
    config = small("pairs", "bahdanau", "task.longest_factor=0.5", "task.longest_more=1")
    with pytest.raises(BadInput, match=r"No target of train is as short .* the shortest has 4 .* raise task.longest"):
        experiment.train(config, preparation.prepared(config.data), project / "run")


def test_a_source_beyond_the_limit_is_refused_in_training_and_in_use(run: Path, small: Small, project: Path) -> None:
    config = small("pairs", "bahdanau", "task.longest_source=2")
    with pytest.raises(BadInput, match=r"Record 4 of train has a source of 3 symbols, more than task.longest_source=2"):
        experiment.train(config, preparation.prepared(config.data), project / "other")
    with pytest.raises(BadInput, match=r"A source has 1,001 symbols, more than task.longest_source=1,000"):
        list(Predictor(Trained.load(run)).lines(["1" * 1001]))
