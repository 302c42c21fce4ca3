"""``unroll certify``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from unroll.cli.own_data import prepared_of
from unroll.cli.parser import Parser
from unroll.cli.tracking import add_tracking, tracking_words
from unroll.errors import NotCertified
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (default: the cache)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="certificate to write (default: outputs/adhoc/certificates/<experiment>-<arch>-<seed>-<fingerprint>.json)",
    )
    add_tracking(parser)


def run(options: Namespace) -> None:
    with doing(f"Certifying {options.run}"):
        from unroll.certificate import certify, place_of

        prepared = options.prepared or prepared_of(options.run)
        certificate = certify(options.run, prepared, options.out, tracking_words(options.settings))
    for found in certificate["checks"]:
        print(_line(found))
    print(f"{options.out or place_of(certificate)} written")
    failed = dict.fromkeys(found["check"] for found in certificate["checks"] if not found.get("passed", True))
    if failed:
        raise NotCertified(
            f"{options.run} is not certified: it fails {', '.join(failed)}; fix the code of its network, task or data."
        )


def _line(found: dict[str, Any]) -> str:
    """The result of a check as one line."""
    name = f"{found['check']:13} {found.get('dtype', ''):9}"
    if "not_applicable" in found:
        return f"{name} not applicable: {found['not_applicable']}"
    verdict = "passed" if found["passed"] else "FAILED"
    return f"{name} {verdict}  worst deviation {found['deviation']:.1e} ({found['of']}), allowed {found['tolerance']:g}"
