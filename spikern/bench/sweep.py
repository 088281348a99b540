"""How cost grows: with the firing rate, and with the number of neurons; and its figure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from spikern import plot
from spikern.bench import measure, peers
from spikern.bench.works import Work

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
HIDDEN = (64, 128, 256, 512, 1024, 2048)
BASE = Work("sweep", "a shorter work S", 100, 32, 140, 256, whats=("train", "infer"))
DRAWN = {
    peers.FUSED: plot.Look(plot.COLOURS["blue"], "o", "-"),
    peers.STREAM: plot.Look(plot.COLOURS["blue"], "o", "-"),
    peers.SNNTORCH: plot.Look(plot.COLOURS["teal"], "o", "-"),
    "nn.RNN": plot.Look(plot.COLOURS["ochre"], "s", "--"),
    "nn.LSTM": plot.Look(plot.COLOURS["rust"], "s", "--"),
}
TITLES = {"train": "training step", "infer": "inference"}


def sweep(
    repeats: int, threads: int, say: Callable[[str], None] = print, base: Work = BASE
) -> list[dict[str, Any]]:
    """A record {axis, hidden, rate, measured_rate, what, name, ms} for every point."""
    records = []
    points = [("rate", base.hidden, rate) for rate in RATES]
    points += [("hidden", hidden, 0.05) for hidden in HIDDEN]
    with measure.threads(threads):
        for axis, hidden, rate in points:
            found = point(replace(base, hidden=hidden), rate, repeats, threads)
            records += [{"axis": axis, "hidden": hidden, "rate": rate, **one} for one in found]
            say(f"  {axis}: H = {hidden}, {rate:.0%}")
    return records


def point(work: Work, rate: float, repeats: int, threads: int) -> list[dict[str, Any]]:
    """All that is drawn, at one size and rate."""
    found = [p for p in peers.contestants(work, (rate,), threads) if p.name in DRAWN]
    records = []
    for what in work.whats:
        times = measure.interleaved(
            {p.name: p.calls[what] for p in found if what in p.calls}, repeats
        )
        for peer in found:
            if peer.name in times:
                records.append(
                    {
                        "what": what,
                        "name": peer.name,
                        "measured_rate": peer.rates[-1] if peer.rates else None,
                        "ms": statistics.median(times[peer.name]),
                    }
                )
    return records


def figure(records: Sequence[dict[str, Any]]) -> Figure:
    """Four axes: training and inference over the rate and over H."""
    whole = Figure(figsize=(8.5, 6.2), layout="constrained")
    axes = whole.subplots(2, 2, sharey="row")
    for row, what in zip(axes, TITLES):
        for axis, over in zip(row, ("rate", "hidden")):
            some = [r for r in records if r["axis"] == over and r["what"] == what]
            draw(axis, some, over, TITLES[what])
    axes[0][0].legend(frameon=False, fontsize="small")
    axes[1][0].legend(frameon=False, fontsize="small")
    return whole


def draw(axis: Any, records: Sequence[dict[str, Any]], over: str, title: str) -> None:
    """Milliseconds over the rate or H, a line each, both scales logarithmic."""
    for name, look in DRAWN.items():
        line = sorted((r[over], r["ms"]) for r in records if r["name"] == name)
        if line:
            x, y = zip(*line)
            axis.plot(
                x, y, look.line, color=look.colour, marker=look.marker, ms=4, lw=1.4, label=name
            )
    axis.set(xscale="log", yscale="log", ylabel=f"{title}, ms")
    if over == "rate":
        axis.set(xlabel="spikes per neuron and step (H = 256)", xticks=RATES)
        axis.xaxis.set_major_formatter(plot.PERCENT)
    else:
        axis.set(xlabel="neurons H (5 %)", xticks=HIDDEN, xticklabels=HIDDEN)
    axis.minorticks_off()
    plot.tidy(axis)
