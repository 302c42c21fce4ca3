"""``unroll ui``."""

from __future__ import annotations

import contextlib
from argparse import Namespace

from unroll.cli.numbers import number
from unroll.cli.parser import Parser
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("--uri", default="sqlite:///mlruns/mlflow.db", help="URI of MLflow's store")
    parser.add_argument("--port", type=number(int, 1, 65535), default=5000)


def run(options: Namespace) -> None:
    with doing("Starting MLflow"):
        from unroll.tracking.mlflow import serve_ui

    with contextlib.suppress(KeyboardInterrupt):
        serve_ui(options.uri, options.port)
