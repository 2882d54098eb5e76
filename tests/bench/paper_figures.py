#!/usr/bin/env python3
"""Draws what paper_figures measured: paper_figures.py figures.json OUTPUT_FOLDER

Writes hit.png, miss.png, cache.png and speedup.png. Needs matplotlib.
"""
import json
import pathlib
import sys

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    sys.exit("paper_figures.py: no plots are drawn: matplotlib is missing (pip install matplotlib)")

COLOURS = {"transformer": "tab:red", "tlinformer": "tab:blue", "tconstformer": "tab:green"}
PANELS = [
    ("hit_seconds", "hit.png", "cache hit: one more token", "ms", 1e3),
    ("miss_seconds", "miss.png", "cache miss: the history is read again", "s", 1),
    ("cache_bytes", "cache.png", "cache of one sequence", "MB", 1e-6),
]


def draw(figures, title, unit, lines, path):
    for architecture, style, label, points in lines:
        if points:
            plt.plot(*zip(*points), style, color=COLOURS[architecture], label=label)
    plt.xscale("log", base=2)
    plt.yscale("log")
    plt.xlabel("tokens")
    plt.ylabel(unit)
    plt.title(f"{title}\n{figures['processor']}, {figures['threads']} threads, {figures['dtype']}", fontsize=9)
    plt.grid(True, which="both", alpha=0.2)
    plt.legend()
    plt.savefig(path, dpi=120, bbox_inches="tight")
    plt.close()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    figures = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)

    def points(architecture, value):
        pairs = [(p["tokens"], value(p)) for p in figures["points"] if p["architecture"] == architecture]
        return [pair for pair in pairs if pair[1] is not None]

    for figure, name, title, unit, scale in PANELS:
        lines = [
            (a, "o-", a, points(a, lambda p: p[figure] * scale if figure in p else None)) for a in COLOURS
        ]
        draw(figures, title, unit, lines, folder / name)
    lines = []
    for architecture in ("tlinformer", "tconstformer"):
        for figure, style in (("hit_seconds", "o-"), ("miss_seconds", "s--"), ("cache_bytes", "^:")):
            ratio = points(architecture, lambda p: p.get("transformer_ratio", {}).get(figure))
            lines.append((architecture, style, f"{architecture}, {figure.split('_')[0]}", ratio))
    draw(figures, "times better than the transformer", "ratio", lines, folder / "speedup.png")


if __name__ == "__main__":
    main()
