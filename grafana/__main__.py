"""Writes the dashboards' JSON: `python -m grafana`."""

from pathlib import Path

from grafana import board, customers, exporter, overview, servers, usage
from grafana.page import page

FOLDER = Path(__file__).parent / "dashboards"

DASHBOARDS = (
    overview.made(),
    servers.made(),
    usage.made(),
    customers.made(),
    exporter.made(),
)


def rendered() -> dict[str, str]:
    """The content of each file in `grafana/dashboards`, by its name."""
    return {f"{each.uid}.json": board.to_json(each) for each in DASHBOARDS}


def reference() -> str:
    """The page about them in the documentation."""
    return page(DASHBOARDS)


if __name__ == "__main__":
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)
