"""Draw the throughput of each server as bars on a logarithmic axis: draw.py RESULTS PICTURE."""

import json
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

TITLES = {
    "ridge": "ridge pipeline, mixed columns",
    "forest": "random forest, 100 trees",
    "boosting": "histogram gradient boosting",
    "bare": "ridge, bare arrays",
}


def throughput(result):
    rounds = [c["rounds"] for c in result["cells"] if (c["n_rows"], c["connections"]) == (1, 8)]
    return statistics.median(r["n_requests"] / r["duration_s"] for r in rounds[0])


measured = json.loads(Path(sys.argv[1]).read_text())
results = [r for r in measured["results"] if r["cells"]]
models = list(dict.fromkeys(r["model"] for r in results))
heights = [sum(r["model"] == model for r in results) for model in models]
figure, axes = plt.subplots(
    len(models),
    1,
    figsize=(8, 0.36 * sum(heights) + 1.1 * len(models)),
    gridspec_kw={"height_ratios": heights},
    squeeze=False,
    sharex=True,
)
for axis, model in zip(axes[:, 0], models, strict=True):
    bars = sorted((throughput(r), r["system"]) for r in results if r["model"] == model)
    colours = ["#1f6f54" if name == "Hotfit" else "#a9b4be" for _, name in bars]
    drawn = axis.barh([name for _, name in bars], [value for value, _ in bars], color=colours)
    axis.bar_label(drawn, [f"{value:,.0f}" for value, _ in bars], padding=4, fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(10, 100_000)
    axis.set_title(TITLES.get(model, model), loc="left", fontsize=10)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
axes[-1, 0].set_xlabel(
    "requests a second, one row a request, 8 connections (logarithmic)", fontsize=8
)
figure.tight_layout()
figure.savefig(sys.argv[2])
