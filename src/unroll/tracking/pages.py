"""Default layout of MLflow's pages: model training, with the columns that matter.

MLflow stores the layout in the browser only; the first page sets it unless the user has. It is served by
``mlflow server --app-name unroll`` and by ``unroll ui``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import Experiment

from unroll.tracking.store import HEADLINE

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import HTMLResponse

SCRIPT = """<script>
for (const [key, value] of Object.entries(%s)) {
  if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
}
</script>"""


def app() -> FastAPI:
    """MLflow's server with this first page, for ``mlflow server --app-name``."""
    from mlflow.server.fastapi_app import app as server
    from starlette.routing import Route

    pages: FastAPI = server
    pages.router.routes.insert(0, Route("/", _first_page))
    return pages


def _first_page(_: Request) -> HTMLResponse:
    from mlflow.server import app as files
    from mlflow.server.handlers import _get_tracking_store
    from starlette.responses import HTMLResponse

    page = (Path(str(files.static_folder)) / "index.html").read_text(encoding="utf-8")
    experiments = _get_tracking_store().search_experiments(max_results=1000)
    return HTMLResponse(
        page.replace("<head>", f"<head>{script(experiments)}", 1), headers={"Cache-Control": "no-store"}
    )


def script(experiments: Iterable[Experiment]) -> str:
    """HTML that sets the default layout of the pages of experiments.

    Args:
        experiments: experiments of the store.
    """
    looks: dict[str, object] = {
        "mlflow.workflowType_v1": "machine_learning",
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    }  # keeps the chat closed
    for experiment in experiments:
        key = f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment.experiment_id}"]-ReactComponentState'
        shown = columns(experiment.tags.get(HEADLINE))
        looks[key] = {"selectedColumns": list(shown), "columnOrder": list(shown), "columnWidths": shown}
    stored = {key: json.dumps(look) for key, look in looks.items()}
    return SCRIPT % json.dumps(stored).replace("<", "\\u003c")


def columns(headline: str | None) -> dict[str, int]:
    """Columns of the table of an experiment's runs, in order, and their widths in pixels.

    Args:
        headline: metric by which its runs are compared; None if unknown.
    """
    figures = {f"validation_{headline}": 148, f"test_{headline}": 115} if headline else {}
    metrics = {**figures, "parameters": 95, "tokens_per_second": 140, "seconds": 80}
    return {**{f"metrics.`{name}`": width for name, width in metrics.items()},
            "params.`arch`": 100, "params.`seed`": 60, "tags.`origin`": 75}  # fmt: skip
