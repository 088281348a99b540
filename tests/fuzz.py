"""Random steps on which the reference, the fused and the stream engine must agree.

A seed gives a program: the text of a step made of the operations that are claimed to be supported,
with numbers and truth values, constants and fields of awkward names, captured values and branches.
Its outputs, states and gradients are compared.

    python tests/fuzz.py SECONDS [FIRST_SEED]

tries one seed after the other and prints those that fail; every 200th is compiled, the others run
as plain Python, which takes a fraction of a second.
"""

import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import namedtuple
from dataclasses import dataclass, field
from unittest import mock

import numpy as np
import torch
from numba import config

from spikern.engines import derivation, fused, reference
from spikern.engines.codegen import cache, trace
from spikern.engines.population import Population
from spikern.engines.stream import Stream, StreamPopulation
from spikern.neurons.constants import real
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import SURROGATES

NAMES = "i v x u d y h q b e t n T S P C out np f32 math truth steps rows acc p_v s_v lambda_ τ"
"""Fields are called as a generated kernel calls its own."""
BATCH, HIDDEN, FEATURES = 3, 4, 2
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-18, 1e18, float("inf"), -float("inf"), float("nan")]
NUMBERS = [-2, -1.5, -1, -0.5, 0.0, 0.25, 0.3, 0.5, 1, 1.0, 2, 3.0]
CAPTURED = {
    "A": torch.tensor(0.3),
    "B": torch.tensor(2),
    "C": torch.tensor(0.7, dtype=torch.float64),
    "D": torch.tensor([1.5]),
    "E": torch.tensor(True),
}

# Templates; {x} {y} are numbers, {b} {c} truth values, {k} {l} literals. Where an approximation
# such as exp differs in its last place, a decision could differ with it: decisions are about exact
# numbers only.
EXACT = (
    "-{x}; {x} + {y}; {x} - {y}; {x} * {y}; {x} * {k}; {k} - {x}; {x} + {k}; {x} / {y}"
    "; {x} / ({y} * {y} + 0.5); {k} / {x}; {x} / 0.3; torch.reciprocal({x}); {x} ** 2; {x} ** 1"
    "; {x}.detach(); ({x} + nothing).add_({y}); torch.where({b}, {x}, {y})"
    "; torch.where({b}, {x}, {k}); torch.where({b}, {k}, {x}); {x}.masked_fill({b}, {k})"
    "; {b} * {x}; {x} + {b}; A * {x}; {x} + B; C - {x}; {x} * D; {x} / D"
    "; torch.where({b}, {x}, A)"
)
OF_TRUTHS = (
    "{b}.float(); {b}.to({x}.dtype); torch.where({b}, 1.0, 0.0); torch.where({b}, {k}, 2.0) * {x}"
    "; {b} * 0.5; torch.where({b}, {c}, {x}); torch.ones_like({x}) * {b}"
    "; {x}.new_full((), 0.5) * {b}"
)
DECISIONS = (
    "{x}.abs(); torch.floor({x}); torch.ceil({x}); torch.trunc({x}); torch.round({x})"
    "; torch.sign({x}); torch.relu({x}); {x}.clamp({k}, {l}); {x}.clamp(min={k})"
    "; {x}.clamp(max={k}); torch.clamp({x} + nothing, {y}, {x} + 0.5)"
    "; torch.clamp({x} + nothing, -{y}, {y}); torch.clamp({x} + nothing, min={y})"
    "; torch.maximum({x}, {y}); torch.minimum({x}, {y}); torch.fmod({x}, {y})"
    "; torch.fmod({x}, {k}); torch.div({x}, {y}, rounding_mode='trunc')"
    "; torch.where({x} != 0, {y} / {x}, {k})"
    "; torch.where({x} != 0, {y} / {x}, torch.zeros_like({x}))"
)
APPROXIMATE = (
    "torch.exp({x}); torch.log({x} * {x} + 0.1); torch.log({x}); torch.sqrt({x} * {x} + 0.1)"
    "; {x} ** 3; torch.tanh({x}); torch.sigmoid({x}); torch.sin({x}); torch.cos({x})"
    "; torch.atan({x}); torch.erf({x}); torch.log1p({x} * {x}); torch.expm1({x})"
    "; torch.rsqrt({x} * {x} + 0.1); ({x} * {x}) ** 0.5; ({x} * {x} + 0.1) ** 1.5"
    "; ({x} * {x} + 0.1) ** {y}; 2.0 ** {x}; {x} ** -1; torch.sqrt({x}.abs()); {x}.abs() ** {y}"
    "; torch.where({x} != 0, torch.tanh({x}) / {x}, 1); torch.where({x} > 0, torch.log({x}), {y})"
    "; torch.where({x} > 0, {x} ** {y}, {k})"
)
TRUTHS = (
    "{x} > {y}; {x} >= {k}; {x} < {y}; {x} <= {k}; {x} == {y}; {x} != {k}; {b} & {c}; {b} | {c}"
    "; {b} ^ {c}; ~{b}; torch.logical_and({x}, {y}); torch.logical_or({b}, {x})"
    "; torch.logical_not({x}); torch.logical_xor({x}, {b}); {x}.bool(); {x}.to(torch.bool)"
    "; {b} * {c}; {b} + {c}; {b} == {c}; {b} != {c}; {b} > {x}; {b} == 1; {b} == True; {b} & True"
    "; torch.where({b}, {c}, {x} > 0); E & {b}; torch.maximum({b}, {c})"
    "; torch.zeros_like({b}) | {c}; torch.ones_like({x}, dtype=torch.bool) & {b}"
)
EXACT, OF_TRUTHS, DECISIONS, APPROXIMATE, TRUTHS = (
    templates.split("; ") for templates in (EXACT, OF_TRUTHS, DECISIONS, APPROXIMATE, TRUTHS)
)


@dataclass
class Program:
    """A step as text, and how it is run."""

    seed: int
    spikes: bool = True
    exact: bool = True
    special: bool = False
    params: list[str] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    surrogate: str = "triangular"

    @property
    def text(self) -> str:
        body = "\n    ".join(self.lines)
        return f"def step(p, s, i, fire):\n    {body}\n"


def write(seed: int) -> Program:
    """The program of a seed."""
    rng = np.random.default_rng(seed)
    program = Program(seed, rng.random() < 0.8, rng.random() < 0.5, rng.random() < 0.2)
    pick = lambda values: values[rng.integers(len(values))]  # noqa: E731
    names = list(rng.permutation(NAMES.split()))
    program.params = names[: rng.integers(1, 4)]
    program.state = names[5 : 5 + rng.integers(1, 4)] + (["z"] if program.spikes else [])
    program.surrogate = pick(list(SURROGATES))
    numbers = {"i": True} | {f"p.{f}": True for f in program.params}
    numbers |= {f"s.{f}": True for f in program.state}
    truths: list[str] = []

    def add(how_many: int) -> None:
        for _ in range(how_many):
            kinds = [(EXACT, 4), (DECISIONS, 3), (TRUTHS, 4), (OF_TRUTHS, 1)]
            kinds += [] if program.exact else [(APPROXIMATE, 4)]
            weights = np.array([w for _, w in kinds], float)
            templates = kinds[rng.choice(len(kinds), p=weights / weights.sum())][0]
            template = pick(templates)
            if not truths and ("{b}" in template or "{c}" in template):
                continue
            decides = templates is DECISIONS or templates is TRUTHS or " > " in template
            decides = decides or "abs" in template or "!=" in template
            known = [n for n, exact in numbers.items() if exact or not decides]
            recent = known[-6:] if rng.random() < 0.6 else known
            x, y = pick(recent), pick(known)
            text = template.format(
                x=x, y=y, k=pick(NUMBERS), l=pick(NUMBERS),
                b=pick(truths) if truths else "", c=pick(truths) if truths else "",
            )  # fmt: skip
            if templates is TRUTHS:
                truths.append(f"m{len(program.lines)}")
                program.lines.append(f"{truths[-1]} = {text}")
            else:
                name = f"x{len(program.lines)}"
                program.lines.append(f"{name} = {text}")
                used = [n for n, s in ((x, "{x}"), (y, "{y}")) if s in template]
                numbers[name] = templates is not APPROXIMATE and all(numbers[n] for n in used)

    program.lines.append("nothing = torch.zeros_like(i)")
    add(int(rng.integers(3, 12)))
    if program.spikes:
        program.lines += [
            f"u = {pick(list(numbers)[-5:])} - {pick(list(numbers))} + nothing",
            "z = fire(u)",
        ]
        numbers["z"] = numbers["s.z"]
        add(int(rng.integers(0, 6)))
    following = []
    for name in program.state[: -1 if program.spikes else None]:
        if not any(re.search(rf"s\.{name}\b", line) for line in program.lines):
            # torch has no gradient of a field that nothing reads; the kernels have a zero
            following.append(f"s.{name} + nothing")
            continue
        value = pick(list(numbers)[-6:])
        bounded = numbers[value] and rng.random() < 0.7
        following.append(
            f"{value}.clamp(-4.0, 4.0) + nothing" if bounded else f"0.5 * {value} + nothing"
        )
    following += ["z"] if program.spikes else []
    out = "z" if program.spikes else f"{pick(list(numbers)[-6:])} + nothing"
    program.lines.append(f"return State({', '.join(following)}), {out}")
    return program


def neuron(program: Program) -> NeuronModel:
    """The program as a neuron."""
    params, state = namedtuple("Params", program.params), namedtuple("State", program.state)
    scope = CAPTURED | {"torch": torch, "State": state}
    exec(compile(program.text, f"<seed {program.seed}>", "exec"), scope)
    constants = {name: real(name, 0.5, trainable=True) for name in program.params}
    return NeuronModel(
        f"Seed{program.seed}", scope["step"], params, state, constants, "random", program.spikes
    )


def check(seed: int) -> None:
    """Raise an AssertionError if an engine differs from the reference."""
    program = write(seed)
    model, surrogate = neuron(program), SURROGATES[program.surrogate]()
    generator = torch.Generator().manual_seed(seed)
    steps = 3 if program.exact and not program.special else 1

    def dyadic(*shape: int) -> torch.Tensor:
        return torch.randint(-16, 17, shape, generator=generator) / 8

    params = [dyadic(HIDDEN) for _ in model.params._fields]
    state = [dyadic(BATCH, HIDDEN) for _ in model.state._fields]
    if program.special:
        for value in [*params, *state]:
            places = torch.rand(value.shape, generator=generator) < 0.3
            chosen = torch.randint(len(SPECIAL), value.shape, generator=generator)
            value[places] = torch.tensor(SPECIAL)[chosen][places]
    if program.spikes:
        state[model.state._fields.index("z")] = (dyadic(BATCH, HIDDEN) > 0).float()
    w_in, bias = dyadic(HIDDEN, FEATURES), dyadic(HIDDEN)
    recurrent = program.spikes and not program.special
    w_rec = dyadic(HIDDEN, HIDDEN) if recurrent else None
    x = torch.randint(0, 2, (steps, BATCH, FEATURES), generator=generator).float()
    weights = [dyadic(steps, BATCH, HIDDEN)] + [dyadic(BATCH, HIDDEN) for _ in state]

    def run(engine, dtype):
        inputs = [v.to(dtype, copy=True).requires_grad_() for v in [*params, *state, bias, x, w_in]]
        last = None if w_rec is None else w_rec.to(dtype, copy=True).requires_grad_()
        own = model.params(*inputs[: len(params)])
        before = model.state(*inputs[len(params) : -3])
        population = Population(model, surrogate, own, inputs[-1], inputs[-3], last)
        result = engine.run_stack([population], [before], inputs[-2])
        values = [result.out, *result.states[0]]
        loss = sum((v * w.to(dtype)).sum() for v, w in zip(values, weights)) + 0 * inputs[-3].sum()
        wanted = inputs if last is None else [*inputs, last]
        found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
        return [v.detach() for v in values], list(found)

    traced = trace.forward(model)
    with warnings.catch_warnings(), mock.patch.object(trace, "forward", return_value=traced):
        warnings.simplefilter("ignore")
        values, gradients = run(reference, torch.float32)
        double, double_gradients = run(reference, torch.float64)
        fast, fast_gradients = run(fused, torch.float32)
        arrays = [v.numpy() for v in (torch.stack(params), w_in)]
        recurrent = None if w_rec is None else w_rec.numpy()
        own = StreamPopulation(trace.step(model), *arrays, recurrent, bias.numpy())
        begin, engines = torch.cat(state, 1), [("fused", fast)]
        if begin.isfinite().all() and x.isfinite().all():  # a stream refuses all else
            result = Stream([own]).run(x.numpy(), begin.numpy())
            after = torch.from_numpy(result.state).split(HIDDEN, 1)
            engines.append(("stream", [torch.from_numpy(result.out), *after]))
    names = ["the output", *(f"n_{f}" for f in model.state._fields)]
    for engine, found in engines:
        for name, actual, expected, exact in zip(names, found, values, double):
            _compare(f"{engine}: {name}", actual, expected, exact, program.exact)
    if steps > 1 and not all(g.isfinite().all() for g in [*gradients, *fast_gradients]):
        return  # kernels pass over zeros, and infinities and what is no number do not spread
    sources = [*(f"p.{f}" for f in program.params), *(f"s.{f}" for f in program.state)]
    sources += ["bias", "x", "w_in", "w_rec"]
    for name, actual, expected, exact in zip(sources, fast_gradients, gradients, double_gradients):
        if name in ("w_in", "w_rec", "x") and not expected.isfinite().all():
            continue  # 0 times infinity is no number in a product of matrices; kernels pass over 0
        if name.startswith("p.") or name == "bias":  # a sum of infinities, in another order
            actual = torch.where(actual.isfinite() | expected.isfinite(), actual, expected)
        _compare(f"gradient of {name}", actual, expected, exact, False)


def _compare(name, actual, expected, double, bitwise) -> None:
    """Equal, or as close as rounding lets the reference itself come to double precision."""
    where = f"{name}\n{actual}\nis not the reference's\n{expected}"
    if bitwise:
        assert torch.equal(actual.nan_to_num(12345.0), expected.nan_to_num(12345.0)), where
        return
    gap = (expected.double() - double).abs().nan_to_num(0.0, 0.0)
    settled = expected.isfinite() == double.isfinite()
    finite = expected.isfinite() & actual.isfinite()
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    scale = expected[expected.isfinite()].abs().amax() if expected.isfinite().any() else 1.0
    near = (actual.double() - expected.double()).abs() <= 100 * gap.max() + 1e-5 * scale + 1e-6
    assert (same | (finite & near) | ~settled).all(), where


def main(seconds: float, first: int = 0) -> int:
    """Try seeds for so long; returns how many failed."""
    torch.set_num_threads(1)
    began, seed, failed = time.monotonic(), first, 0
    while time.monotonic() - began < seconds:
        config.DISABLE_JIT = seed % 200 != 0
        try:
            check(seed)
        except Exception as error:
            failed += 1
            print(f"seed {seed}: {type(error).__name__}: {error}\n{write(seed).text}")
            if not isinstance(error, AssertionError):
                traceback.print_exc(limit=-3, file=sys.stdout)
        for known in (cache._modules, cache._texts, cache._ready, derivation._sources):
            known.clear()
        for name in [name for name in sys.modules if name.startswith(cache.PREFIX)]:
            del sys.modules[name]
        seed += 1
        if seed % 100 == 0:
            spent = time.monotonic() - began
            print(f"{seed - first} programs, {failed} failed, {spent:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPIKERN_CACHE"] = folder
        sys.exit(bool(main(float(sys.argv[1]), *map(int, sys.argv[2:]))))
