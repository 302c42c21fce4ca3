"""Habits from Hydra, Lightning and Optuna: what is typed there, and how it is written here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from unroll.errors import BadInput

TOKENS = "budgets are in tokens, padding excluded; set training.tokens"
LOOP = "for {key} in {values}; do unroll train … {key}=${key}; done"
STUDY = "it is a setting of a study, as in unroll tune study=NAME"
HERE = "GPUs are used if there are any, and CUDA_VISIBLE_DEVICES selects them; set training.devices for their number"
FOLDER = "name the folder of a run with --out FOLDER"
AGAIN = "run the same command again to resume a run"
NEEDLESS = "there is no need for it: prepared data are memory-mapped, and read without worker processes"
EPOCHS = ("epoch", "epochs", "max_epochs", "n_epochs", "num_epochs", "num_train_epochs")
HABITS: Mapping[str, str] = {  # the last part of a key → the setting, or the clause that helps
    **dict.fromkeys((*EPOCHS, "max_steps", "num_steps", "steps", "iterations"), TOKENS),
    **dict.fromkeys(("lr", "learning_rate", "init_lr", "base_lr"), "training.optimizer.learning_rate"),
    **dict.fromkeys(("wd", "l2"), "training.optimizer.weight_decay"),
    **dict.fromkeys(("optim", "optimiser", "optimizer_name"), "training.optimizer.name"),
    **dict.fromkeys(("bs", "batchsize", "train_batch_size", "per_device_batch_size"), "training.batch_size"),
    **dict.fromkeys(("hidden", "hidden_dim", "hidden_units", "d_model", "rnn_size"), "arch.encoder.hidden_size"),
    **dict.fromkeys(("num_layers", "n_layers", "nlayers", "depth"), "arch.encoder.layers"),
    **dict.fromkeys(("embedding_dim", "embed_dim", "emb_dim", "embedding_size", "embed_size"), "arch.inputs.size"),
    **dict.fromkeys(("p_dropout", "dropout_rate", "drop"), "arch.encoder.dropout"),
    **dict.fromkeys(("gradient_clip_val", "grad_clip", "clip", "clip_grad", "clip_grad_norm", "max_grad_norm"),
                    "training.clip_norm"),
    **dict.fromkeys(("accumulate_grad_batches", "gradient_accumulation_steps"), "training.accumulate"),
    **dict.fromkeys(("val_check_interval", "check_val_every_n_epoch", "eval_every"), "training.validations"),
    **dict.fromkeys(("bptt", "seq_len", "sequence_length"), "training.truncation_length"),
    **dict.fromkeys(("early_stopping", "early_stopping_patience"), "training.patience"),
    **dict.fromkeys(("warmup_steps", "warmup_ratio"), "training.warmup"),
    **dict.fromkeys(("scheduler", "lr_scheduler"), "training.schedule"),
    **dict.fromkeys(("gpu", "gpus", "n_gpus", "num_gpus", "device", "accelerator", "strategy", "num_devices"), HERE),
    "num_nodes": "start one process per GPU with torchrun or SLURM, as docs/scale.md shows",
    **dict.fromkeys(("random_seed", "random_state", "manual_seed"), "seed"),
    "seeds": "a run has one seed, and a chapter in conf/course.yaml a list of seeds: " + LOOP.format(
        key="seed", values="0 1 2"),
    **dict.fromkeys(("model", "network", "architecture"), "choose an architecture with arch=NAME"),
    **dict.fromkeys(("dataset", "corpus"), "choose a corpus with data=NAME"),
    **dict.fromkeys(("exp", "experiment_name", "run_name"), "choose an experiment with experiment=NAME"),
    **dict.fromkeys(("logger", "wandb", "mlflow"), "choose a tracker with tracking=mlflow or tracking=none"),
    **dict.fromkeys(("out_dir", "output_dir", "save_dir", "log_dir", "default_root_dir"), FOLDER),
    **dict.fromkeys(("resume", "ckpt", "ckpt_path", "checkpoint", "resume_from_checkpoint"), AGAIN),
    **dict.fromkeys(("num_workers", "pin_memory"), NEEDLESS),
    "n_trials": "the number of trials of a study is trials, as in unroll tune study=NAME trials=20",
    "timeout": "a study has no time limit; it ends after its trials, and can be stopped and resumed at any time",
    **dict.fromkeys(("n_jobs", "workers"), "trials train in parallel with unroll tune study=NAME --workers N"),
    "study_name": "choose a study with unroll tune study=NAME",
    "direction": "whether lower is better follows from the metric of the task",
    "n_startup_trials": "pruner.startup_trials",
    **dict.fromkeys(("trials", "sampler", "pruner", "space"), STUDY),
}  # fmt: skip
HYDRA = "Hydra's own settings have no effect; --out FOLDER names the folder of a run"
LISTS = {"seed": "seeds", "arch": "archs", "experiment": "experiments"}  # keys of a course, by that of a run
OPTIONS: Mapping[str, str] = {  # options of Hydra's command line
    **dict.fromkeys(("-m", "--multirun"), "several runs are a loop of the shell, a chapter in conf/course.yaml "
                    "(archs and seeds; unroll course), or a study (unroll tune): " + LOOP.format(
                        key="seed", values="0 1 2")),
    **dict.fromkeys(("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd"),
                    "settings are in conf/; choose an experiment with experiment=NAME"),
    **dict.fromkeys(("--cfg", "-c", "--info", "-i", "--resolve"),
                    "unroll config SETTING … shows the settings of a run, and unroll config --explain their meaning"),
    "--hydra-help": "unroll VERB --help describes a verb, and unroll config --explain the settings",
}  # fmt: skip


def meant(key: str, known: Sequence[str]) -> str | None:
    """The setting that an unknown key means, or a clause, with blanks, that helps; None if it is not a habit.

    Args:
        key: the key.
        known: settings; the only one with the same last part, in another section, is meant.
    """
    if re.split("[./]", key)[0] == "hydra":
        return HYDRA
    last = key.rpartition(".")[2]
    same = {name for name in known if name.rpartition(".")[2] == last}
    return HABITS.get(last) or (same.pop() if len(same) == 1 else None)


class InEpochs(BadInput):
    """A budget in epochs, which a command that knows the corpus converts to tokens."""


def is_in_epochs(key: str) -> bool:
    """Whether an unknown key is a budget in epochs."""
    return key.rpartition(".")[2] in EPOCHS


def several(key: str, text: str) -> str:
    """The message for several values of a key of which a run has one, such as its seed."""
    values = re.findall(r"[^\s,\[\]]+", text) if "(" not in text else ["0", "1", "2"] if key == "seed" else ["A", "B"]
    named, remedies = ", ".join(values), [f"give one at a time ({LOOP.format(key=key, values=' '.join(values))})"]
    if key in LISTS:
        remedies.append(f"list them in conf/course.yaml ({LISTS[key]}: [{named}]; unroll course)")
    if key == "arch":
        remedies.append(f"search them in a study (space: {{arch: [{named}]}})")
    return f"{key}={text} is several values, and a run has one; {', or '.join(remedies)}"


def option(word: str, following: Sequence[str], known: Sequence[str]) -> str | None:
    """The clause that helps with an unknown option of the command line; None if it is neither a habit nor a setting.

    Args:
        word: the option, perhaps with ``=value``.
        following: the words that follow it.
        known: all settings.
    """
    name, equals, value = word.partition("=")
    key = name.lstrip("-").replace("-", "_")
    if name in OPTIONS or not name.startswith("--"):
        return OPTIONS.get(name)
    found = key if key in known else meant(key, known)
    if found is None or " " in found:
        return found
    value = value if equals else next((word for word in following[:1] if not re.search("^-|=", word)), "…")
    return f"settings are written key=value: {found}={value}"
