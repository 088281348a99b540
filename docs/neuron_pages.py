"""A page for every neuron of the table, made from its code by generated.py.

The words and equations are those of its module, the tables those of its constants and of its
traced step, and the figures are what the reference engine makes of its mean constants.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikern import plot
from spikern.engines.codegen.operations import update_ops
from spikern.neurons import NEURONS
from spikern.neurons.constants import UNITS, Constant
from spikern.neurons.model import NeuronModel, Params, zero_state

STEPS, ON, OFF = 240, 20, 200
"""Steps of the figure, and where its current goes on and off."""
SPIKES = 5
"""The current shown is the smallest, by tenths, that makes so many spikes."""
FIELDS = {
    "decay": "exp(-dt / {0})",
    "frequency": "{0} dt",
    "steps": "round({0} / dt)",
}


def module_of(model: NeuronModel) -> ModuleType:
    """The module that holds the neuron."""
    return sys.modules[model.step.__module__]


def is_equation(paragraph: str) -> bool:
    """Whether a paragraph of a docstring is set in columns, as equations are."""
    return bool(re.search(r"^ {4}|\S {2,}\S", paragraph, flags=re.MULTILINE))


def paragraphs(model: NeuronModel) -> list[str]:
    """Those of the module's docstring."""
    return inspect.cleandoc(module_of(model).__doc__ or "").split("\n\n")


def equations(model: NeuronModel) -> str:
    """The equation of a neuron, as its module has it."""
    equation = next(p for p in paragraphs(model) if is_equation(p))
    return inspect.cleandoc("\n" + equation)


def all_equations() -> str:
    """The equations of all neurons under their names."""
    width = max(map(len, NEURONS)) + 2
    parts = []
    for name, model in NEURONS.items():
        lines = equations(model).split("\n")
        heads = [name, *[""] * (len(lines) - 1)]
        parts.append("\n".join(f"{h:{width}}{line}".rstrip() for h, line in zip(heads, lines)))
    return "```text\n" + "\n\n".join(parts) + "\n```"


def cost(model: NeuronModel) -> str:
    """The operations of one update in words."""
    return ", ".join(f"{n} {kind}" for kind, n in update_ops(model).items())


def described(constant: Constant) -> str:
    """A constant's mean with its unit, its bounds and spread, and whether it is trained."""
    unit = UNITS.get(constant.kind, "")
    bounds = f" in {constant.low:g}..{constant.high:g}" if constant.kind == "between" else ""
    spread = f", spread {constant.spread:g}" if constant.spread else ""
    trained = "trained" if constant.trainable else "fixed"
    return f"{constant.mean:g} {unit}".rstrip() + f"{bounds}{spread}, {trained}"


def summary() -> str:
    """Every built-in neuron: what it is, its constants, its cost, its source."""
    rows = ["| neuron | constants | one update | source |", "| --- | --- | --- | --- |"]
    for name, model in NEURONS.items():
        constants = "; ".join(f"`{c.symbol}` {described(c)}" for c in model.constants.values())
        link = f"[{name}](neurons/{name}.md)"
        rows.append(f"| {link} | {constants} | {cost(model)} | {model.source} |")
    return "\n".join(rows)


def one_liners() -> str:
    """The first sentence of every neuron, with a link to its page."""
    return "\n".join(
        f"- [{name}](neurons/{name}.md): {' '.join(paragraphs(model)[0].split())}"
        for name, model in NEURONS.items()
    )


def page(model: NeuronModel) -> str:
    """The text of a neuron's page."""
    body = []
    for paragraph in paragraphs(model):
        text = inspect.cleandoc("\n" + paragraph)
        body.append(f"```text\n{text}\n```" if is_equation(paragraph) else text)
    rows = ["| set as | mean | read in the equation as |", "| --- | --- | --- |"]
    for field, c in model.constants.items():
        formula = FIELDS.get(c.kind, "{0}").format(c.symbol)
        reading = f"`{formula}`" if field == c.symbol else f"`{field} = {formula}`"
        rows.append(f"| `{c.symbol}` | {described(c)} | {reading} |")
    words, table = "\n\n".join(body), "\n".join(rows)
    state = ", ".join(f"`{f}`" for f in model.state._fields)
    file = Path(inspect.getfile(module_of(model))).name
    return f"""# {model.name}

{words}

## Constants

{table}

Means are set by symbol: `{model.name}.with_constants(...)`. See
[how constants are drawn and bounded](../new_neuron.md#constants).

## Response

To a current of {amplitude(model):.3g} from step {ON} to step {OFF}, all constants at their means,
dt 1 ms.

![Response of {model.name} to a step of current]({model.name}_step.svg)

{second_caption(model)}

![{second_caption(model)}]({model.name}_more.svg)

## Cost

One update is {cost(model)}. The state is {state}: {len(model.state._fields)} numbers per neuron.

## Code

`spikern/neurons/{file}`:

```python
{inspect.getsource(module_of(model).step).strip()}
```

Source: {model.source}.
"""


def second_caption(model: NeuronModel) -> str:
    """What the second figure shows."""
    other = partner(model)
    if other:
        return f"The same in the plane of `{other}` and `v`; spikes are dots."
    return "Its firing rate under constant currents." if model.spikes else "To one step of current."


def partner(model: NeuronModel) -> str:
    """The state beside v that moves continuously; empty if there is none."""
    rest = [f for f in model.state._fields if f not in ("v", "z", "r")]
    return rest[0] if rest else ""


def mean_params(model: NeuronModel) -> Params:
    """One neuron's constants at their means, dt 1 ms."""
    means = {f: replace(c, spread=0.0) for f, c in model.constants.items()}
    return model.params(**{f: c.field(c.draw(1).double(), 1.0) for f, c in means.items()})


def run(model: NeuronModel, current: np.ndarray) -> Mapping[str, np.ndarray]:
    """Every state of one neuron under currents (T, N), N of them side by side, each (T, N)."""
    params = mean_params(model)
    state = zero_state(model, (current.shape[1], 1), params[0])
    x = torch.from_numpy(current).double().unsqueeze(2)
    kept = []
    for i in x:
        state, _ = model.step(params, state, i, lambda u: (u > 0).to(u.dtype))
        kept.append(torch.stack([*state])[:, :, 0])
    return dict(zip(model.state._fields, torch.stack(kept, 1).numpy()))


def step_current(size: float | np.ndarray) -> np.ndarray:
    """A current that is on for a while, of each size, (T, N)."""
    t = np.arange(STEPS)[:, None]
    return np.atleast_1d(size) * ((t >= ON) & (t < OFF))


def amplitude(model: NeuronModel) -> float:
    """The smallest current of the series that makes the neuron fire a few times."""
    if not model.spikes:
        return 1.0
    sizes = 0.02 * 1.1 ** np.arange(100)
    spikes = run(model, step_current(sizes))["z"].sum(0)
    return float(sizes[np.argmax(spikes >= SPIKES)])


def step_figure(model: NeuronModel) -> Figure:
    """Current, states and spikes over the steps."""
    current = step_current(amplitude(model))
    states = run(model, current)
    names = [f for f in states if f != "z"]
    ratios = [1] + [2] * len(names) + ([0.6] if model.spikes else [])
    figure = Figure(figsize=(7.0, 1.1 * sum(ratios) + 0.4), layout="constrained")
    axes = figure.subplots(len(ratios), sharex=True, height_ratios=ratios)
    plot.traces(current, ["i"], axis=axes[0])
    for axis, name in zip(axes[1:], names):
        plot.traces(states[name], [name], axis=axis)
    if model.spikes:
        plot.raster(states["z"], plot.SPIKING[0], axis=axes[-1])
        axes[-1].set(yticks=[])
        axes[-1].set_ylabel("z", rotation=0)
    for axis in axes[:-1]:
        axis.set_xlabel("")
    return figure


def second_figure(model: NeuronModel) -> Figure:
    """The plane of two states, the rate under constant currents, or the answer to one step."""
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axis = figure.subplots()
    other = partner(model)
    if other:
        states = run(model, step_current(amplitude(model)))
        axis.plot(states[other], states["v"], color=plot.SPIKING[0], lw=0.9)
        fired = states["z"] > 0
        axis.plot(states[other][fired], states["v"][fired], "o", color=plot.CLASSES[1], ms=4)
        axis.set(xlabel=other, ylabel="v")
    elif model.spikes:
        rates(axis, model)
    else:
        plot.traces(run(model, np.eye(STEPS, 1))["v"], ["v"], axis=axis)
    plot.tidy(axis)
    return figure


def rates(axis: Axes, model: NeuronModel) -> None:
    """Spikes a step against constant current, of 400 steps the last 300."""
    currents = np.linspace(0.0, 4.0 * amplitude(model), 41)
    rate = run(model, np.tile(currents, (400, 1)))["z"][100:].mean(0)
    axis.plot(currents, rate, color=plot.SPIKING[0], lw=1.6)
    axis.set(xlabel="i", ylabel="spikes per step")
    axis.set_ylim(bottom=0.0)


def write(folder: Path) -> None:
    """All pages and figures, into a folder of their own."""
    folder.mkdir(exist_ok=True)
    for name, model in NEURONS.items():
        (folder / f"{name}.md").write_text(page(model), encoding="utf-8")
        for suffix, make in (("step", step_figure), ("more", second_figure)):
            plot.save(make(model), folder / f"{name}_{suffix}.svg")
