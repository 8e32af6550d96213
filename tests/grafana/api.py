"""The query API that Prometheus and VictoriaMetrics share, asked as Grafana asks it."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

Matrix = list[tuple[Mapping[str, str], dict[int, float]]]
"""Each series with its values by Unix time, in seconds."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Api:
    """One database's API."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)

    def range(self, query: str, start: int, end: int, step: int) -> Matrix:
        """A range query.

        Raises:
            ValueError: in the database's words.
        """
        fields = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        found = self._ask("POST", "/api/v1/query_range", fields)
        return [
            (series["metric"], {int(at): float(value) for at, value in series["values"]})
            for series in found["result"]
        ]

    def instant(self, query: str, at: int) -> Matrix:
        """A query at an instant.

        Raises:
            ValueError: in the database's words.
        """
        found = self._ask("POST", "/api/v1/query", {"query": query, "time": str(at)})
        return [
            (series["metric"], {int(series["value"][0]): float(series["value"][1])})
            for series in found["result"]
        ]

    def values(self, label: str, selector: str, start: int, end: int) -> list[str]:
        """The values of a label among the series of a selector, in their order.

        Raises:
            ValueError: in the database's words.
        """
        fields = {"match[]": selector, "start": str(start), "end": str(end)}
        return sorted(self._ask("GET", f"/api/v1/label/{label}/values", fields))

    def _ask(self, method: str, path: str, fields: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        words = urlencode(fields)
        if method == "GET":
            self._connection.request("GET", f"{path}?{words}")
        else:
            self._connection.request("POST", path, words, _FORM)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        told = [answer.get("error", ""), *answer.get("warnings", ()), *answer.get("infos", ())]
        if response.status >= 300 or any(told):
            raise ValueError(f"{fields}: {'; '.join(filter(None, told))}")
        return answer["data"]

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()
