"""docs/telemetry.md, the dashboard and the alert rules name the metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from arvo_plpg import telemetry
from arvo_plpg.telemetry.prometheus import label

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = DOCS / "telemetry" / "dashboard.json"
ALERTS = DOCS / "telemetry" / "alerts.yml"


def series():
    """Every name that a query may use, with the labels that it has."""
    found = {}
    for metric in telemetry.METRICS.values():
        labels = set(map(label, metric.labels))
        found[metric.prometheus] = labels
        if metric.kind == "histogram":
            found |= {f"{metric.prometheus}{end}": labels | {"le"} for end in ("_sum", "_count")}
            found[f"{metric.prometheus}_bucket"] = labels | {"le"}
    return found


def check(query):
    named = re.findall(r"\b((?:arvo|messaging)_\w+)", query)
    labels = set().union(*series().values())
    metrics = [name for name in named if name not in labels]
    assert metrics, query
    assert set(metrics) <= series().keys(), query
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", query):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert used <= series()[name], query


def dashboard_queries():
    dashboard = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return found + [
        one["definition"] for one in dashboard["templating"]["list"] if "definition" in one
    ]


def alert_queries():
    return re.findall(r"^ +expr: (.+)$", ALERTS.read_text(), re.MULTILINE)


def test_the_dashboard_asks_for_what_there_is():
    queries = dashboard_queries()
    assert len(queries) > 20
    for query in queries:
        check(query)


def test_the_dashboard_shows_every_metric():
    text = " ".join(dashboard_queries())
    missing = {
        metric.prometheus for metric in telemetry.METRICS.values() if metric.prometheus not in text
    }
    assert missing == {"arvo_queues", "arvo_queue_registered", "arvo_schedules"}


def test_the_dashboard_is_one_that_grafana_takes():
    dashboard = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_alerts_ask_for_what_there_is():
    queries = alert_queries()
    assert len(queries) == ALERTS.read_text().count("- alert:") > 10
    for query in queries:
        check(query)


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not here"
)
def test_prometheus_takes_the_alerts():
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, capture_output=True)


def rows_of(heading):
    """Cells of the table under a heading of the page."""
    section = (DOCS / "telemetry.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_names_every_metric():
    told = {
        cells[0].strip("`"): (cells[1].strip("`"), cells[2], re.findall(r"`([\w.]+)`", cells[3]))
        for cells in rows_of("Metrics")
    }
    assert told == {
        metric.name: (metric.prometheus, metric.kind, list(metric.labels))
        for metric in telemetry.METRICS.values()
    }


def test_the_page_names_every_attribute_of_our_spans():
    """Those that the code writes, found in its text, but for the ones of upstream's handlers."""
    package = Path(telemetry.__file__).parent
    written = set()
    for name in ("spans.py", "dispatching.py"):
        written |= set(
            re.findall(r'"((?:messaging|arvo|error)\.[a-z_.]+)"', (package / name).read_text())
        )
    told = {
        attribute
        for row in rows_of("Attributes")
        for attribute in re.findall(r"`([\w.]+)`", row[0])
    }
    assert written <= told
    assert {name for name in told - written if name.startswith("messaging.")} == set()
