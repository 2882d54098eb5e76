#!/usr/bin/env python3
"""Draws what paper_figures measured: paper_figures.py figures.json figures.png

Several JSON files are joined: paper_figures.py a.json b.json figures.png. Needs matplotlib.
"""
import json
import pathlib
import sys

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
except ImportError:
    sys.exit("paper_figures.py: no plots are drawn: matplotlib is missing (pip install matplotlib)")

COLOURS = {"transformer": "tab:red", "tlinformer": "tab:blue", "tconstformer": "tab:green"}
PANELS = [
    ("hit_seconds", "Cache hit: one more token", "ms", 1e3),
    ("miss_seconds", "Cache miss: the history is read again", "s", 1),
    ("cache_bytes", "Cache of one sequence", "MB", 1e-6),
]


def tokens_text(tokens, _):
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if tokens >= size:
            return f"{tokens / size:g}{unit}"
    return f"{tokens:g}"


def dress(axes, title, unit):
    axes.set_title(title)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("tokens")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(LogLocator(base=16, numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(tokens_text))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize=8)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    runs = [json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:-1]]
    all_points = [point for run in runs for point in run["points"]]

    def line(architecture, value):
        pairs = [(p["tokens"], value(p)) for p in all_points if p["architecture"] == architecture]
        return [pair for pair in pairs if pair[1] is not None]

    figure, panels = plt.subplots(2, 2, figsize=(11, 8))
    for axes, (name, title, unit, scale) in zip(panels.flat, PANELS):
        for architecture, colour in COLOURS.items():
            points = line(architecture, lambda p: p[name] * scale if name in p else None)
            if points:
                axes.plot(*zip(*points), "o-", color=colour, label=architecture, markersize=4)
        dress(axes, title, unit)
        if name == "hit_seconds":
            axes.set_ylim(bottom=0.5)
    ratios = panels[1][1]
    for architecture in ("tlinformer", "tconstformer"):
        for name, style in (("hit_seconds", "o-"), ("miss_seconds", "s--"), ("cache_bytes", "^:")):
            points = line(architecture, lambda p: p.get("transformer_ratio", {}).get(name))
            if points:
                label = f"{architecture}, {name.split('_')[0]}"
                ratios.plot(*zip(*points), style, color=COLOURS[architecture], label=label, markersize=4)
    ratios.axhline(1, color="grey", linewidth=0.8)
    dress(ratios, "Times better than the transformer", "ratio")
    first = runs[0]
    figure.suptitle(
        f"{first['parameters'] / 1e6:.0f}M parameters, {first['dtype']}, {first['processor']}, {first['threads']} threads"
    )
    figure.tight_layout()
    figure.savefig(sys.argv[-1], dpi=110)


if __name__ == "__main__":
    main()
