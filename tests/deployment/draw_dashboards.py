#!/usr/bin/env python3
"""Draws what the dashboards show: PNGs of their panels, from a live Prometheus' answers to their
queries, over two daemons under some minutes of load. Needs matplotlib.

    TLIN_BIN=build/bin tests/deployment/draw_dashboards.py deploy/grafana/pictures [SECONDS]
"""
import datetime
import math
import sys
import time

import matplotlib
matplotlib.use("Agg")
import matplotlib.dates
import matplotlib.pyplot as plt

from live_prometheus import *

STEP = 5
BACK, FRONT, GRID = "#181b1f", "#ccccdc", "#34383e"
plt.rcParams.update({"figure.facecolor": "#111217", "axes.facecolor": BACK, "axes.edgecolor": GRID,
                     "text.color": FRONT, "axes.labelcolor": FRONT, "xtick.color": FRONT,
                     "ytick.color": FRONT, "grid.color": GRID, "font.size": 7, "legend.fontsize": 6,
                     "legend.frameon": False, "axes.titlesize": 8})


def human(value, unit):
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        for prefix in ("", "k", "M", "G"):
            if abs(value) < 1000:
                break
            value /= 1000
        return f"{value:.3g} {prefix}B"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value / 1000:.3g} k"


def name_of(legend, metric):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: metric.get(found.group(1), ""), legend)


def numbers(series):
    return ([datetime.datetime.fromtimestamp(at) for at, _ in series["values"]],
            [float(value) for _, value in series["values"]])


def draw_lines(axes, panel, answers, unit):
    stack = "custom" in panel["fieldConfig"]["defaults"]
    drawn = [(name_of(legend, series["metric"]), *numbers(series))
             for legend, answer in answers for series in answer]
    if stack:
        times = sorted({at for _, xs, _ in drawn for at in xs})
        rows = [[dict(zip(xs, ys)).get(at, 0) for at in times] for _, xs, ys in drawn]
        axes.stackplot(times, rows, labels=[label for label, _, _ in drawn], alpha=0.7)
    else:
        for label, xs, ys in drawn:
            axes.plot(xs, ys, label=label, linewidth=1)
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper left", ncols=2)
    axes.yaxis.set_major_formatter(lambda value, _: human(value, unit))


def draw_heatmap(axes, answers):
    """Observations in each bucket, from the cumulative ones."""
    series = sorted(answers[0][1], key=lambda each: float(each["metric"]["le"]))
    times = [at for at, _ in series[-1]["values"]]
    table = [[dict(each["values"]).get(at, "0") for at in times] for each in series]
    table = [[float(value) for value in row] for row in table]
    rows = [[max(0, a - b) for a, b in zip(row, before)]
            for before, row in zip([[0] * len(times)] + table, table)]
    used = [i for i, row in enumerate(rows) if sum(row) > 0]
    low, high = max(0, used[0] - 1), min(len(rows), used[-1] + 2)
    axes.imshow(rows[low:high], aspect="auto", origin="lower", cmap="Oranges", interpolation="nearest")
    axes.set_yticks(range(high - low), [human(float(each["metric"]["le"]), "s") for each in series[low:high]])
    axes.set_xticks([])


def draw_panel(axes, panel, prometheus, start, end):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    answers = [(legend, prometheus.ask("query_range", query=expression, start=start, end=end,
                                       step=STEP)["result"])
               for each, legend, expression in queries({"panels": [panel]}, "20s")]
    axes.set_title(panel["title"], loc="left")
    if panel["type"] == "timeseries":
        axes.grid(True, linewidth=0.4)
        axes.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%H:%M"))
        axes.xaxis.set_major_locator(matplotlib.dates.MinuteLocator())
        draw_lines(axes, panel, answers, unit)
        return
    if panel["type"] == "heatmap":
        draw_heatmap(axes, answers)
        return
    axes.set_xticks([])
    axes.set_yticks([])
    if panel["type"] == "stat":
        value = float(answers[0][1][-1]["values"][-1][1])
        axes.text(0.5, 0.45, human(value, unit), ha="center", va="center", fontsize=16, color="#73bf69")
        return
    columns = ("instance", "version", "architecture", "device", "dtype")
    cells = [[series["metric"].get(column, "") for column in columns] for series in answers[0][1]]
    table = axes.table(cells, colLabels=columns, loc="upper center", cellLoc="left")
    for cell in table.get_celld().values():
        cell.set(facecolor=BACK, edgecolor=GRID)
        cell.get_text().set_color(FRONT)


def draw(dashboard, prometheus, start, end, path):
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = plt.figure(figsize=(14, 0.32 * rows + 0.4))
    figure.suptitle(dashboard["title"], x=0.01, y=1 - 0.05 / (0.32 * rows + 0.4), ha="left", va="top", fontsize=11)
    top = 1 - 0.35 / (0.32 * rows + 0.4)
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        axes = figure.add_axes([(at["x"] + 0.9) / 24.2, top * (1 - (at["y"] + at["h"] - 1) / rows),
                                (at["w"] - 1.2) / 24.2, top * (at["h"] - 2) / rows])
        draw_panel(axes, panel, prometheus, start, end)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main():
    folder = pathlib.Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 240
    folder.mkdir(parents=True, exist_ok=True)
    with (Tlind(MODELS / "tconst-demo", f"--session_dir={scratch_path('a')}", "--log_requests=false") as one,
          Tlind(MODELS / "tconst-demo", f"--session_dir={scratch_path('b')}", "--log_requests=false") as two,
          Prometheus([one, two]) as prometheus):
        start = time.time()
        traffic = Traffic([one, two], rate=12)
        try:
            while time.time() < start + seconds:
                traffic.one_of_each()
                time.sleep(0.2)
        finally:
            traffic.stop()
        for name, dashboard in read_dashboards().items():
            draw(dashboard, prometheus, start + 20, time.time(), folder / name.replace(".json", ".png"))


if __name__ == "__main__":
    main()
