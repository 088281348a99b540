"""A spiking network as C: the arithmetic of its stream, in the stream's order.

With the numbers 'fixed', the weights are those of int8, and all else is whole numbers too: see
`spikern.engines.codegen.fixed`. Inputs have 8 bits of fraction and are held to -64..64.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from spikern._utils.errors import InputError, UnsupportedError
from spikern.engines.codegen import c, fixed
from spikern.engines.codegen.fixed import FRACTION, LARGEST, ONE, WORD, Range, cut
from spikern.engines.stream import Stream, StreamPopulation
from spikern.interop.c.arrays import (
    MOST_NEURONS,
    Array,
    Code,
    Member,
    Rows,
    function,
    is_identifier,
    over_input,
    rounded,
    rows,
)

INPUT = 8
"""Bits of the fraction of an input in fixed point."""
LARGEST_INPUT = 64


class Part(NamedTuple):
    """What reaches a population from one source.

    name      of its arrays
    source    0 the input of the network, k + 1 population k
    own       whether these are the population's own spikes, of earlier steps
    offset    the first neuron of the source that is passed on
    channels  how many are
    rows      the weights
    delays    (channels,) in steps; None if nothing is delayed
    """

    name: str
    source: int
    own: bool
    offset: int
    channels: int
    rows: Rows
    delays: Array | None


class Current(NamedTuple):
    """How sums of int8 weights become a current in fixed point: sum * multiplier / 2^shift.

    bounds  what the current can be, with its bias
    """

    multiplier: Array
    shift: int
    bounds: Range


class Plan(NamedTuple):
    """One population: its place, its neurons, what it receives, and its scales if it has int8.

    fixed  how its current is made in fixed point, instead of with the scales
    """

    k: int
    population: StreamPopulation
    constants: Array
    parts: list[Part]
    scale: Array | None
    fixed: Current | None

    @property
    def neurons(self) -> int:
        """How many neurons it has."""
        return len(self.population.bias)

    @property
    def takes_input(self) -> bool:
        """Whether the input of the network reaches it."""
        return any(part.source == 0 for part in self.parts)


def plans(stream: Stream, numbers: str) -> list[Plan]:
    """What each population of a stream receives, with weights in these numbers."""
    result: list[Plan] = []
    for k, (p, connected) in enumerate(zip(stream.populations, stream.connections, strict=True)):
        for source, below in enumerate(stream.populations, 1):
            if source in connected.inputs and not below.step.spikes:
                raise UnsupportedError(
                    f"population {k} reads the potentials of population {source - 1}, "
                    f"{below.step.name}; in C only spikes pass from one to the next"
                )
        result.append(_plan(k, p, stream, numbers))
    return result


def _plan(
    k: int,
    p: StreamPopulation,
    stream: Stream,
    numbers: str,
) -> Plan:
    neurons, connections = len(p.bias), stream.connections
    if p.router is not None:
        raise UnsupportedError(f"population {k} has experts, which are not written as C")
    if max(neurons, p.w_in.shape[1]) > MOST_NEURONS:
        raise UnsupportedError(
            f"population {k} has {neurons} neurons and {p.w_in.shape[1]} inputs; C is written for "
            f"at most {MOST_NEURONS}"
        )
    matrices = [p.w_in] if p.w_rec is None else [p.w_in, p.w_rec]
    weights: Array = np.concatenate(matrices, 1, dtype=np.float32)
    weights, scale = (weights, None) if numbers == "float32" else rounded(weights)
    own = connections[k]
    widths = [stream.input_size, *(c.outputs for c in connections)]
    parts: list[Part] = []
    inputs = np.zeros(weights.shape[1], bool)
    at = 0
    for n, source in enumerate(own.inputs):
        name = f"w_in_{k}" + (f"_{n}" if n else "")
        width, delays = widths[source], own.input_delays
        total = len(stream.populations[source - 1].bias) if source else width
        columns = slice(at, at + width)
        delays = delays[columns] if delays is not None and delays.any() else None
        part = Part(name, source, False, total - width, width, rows(weights[:, columns]), delays)
        parts.append(part)
        inputs[columns] = source == 0
        at += width
    if at < weights.shape[1]:
        recurrent, delays = rows(weights[:, at:]), own.recurrent_delays
        parts.append(Part(f"w_rec_{k}", k + 1, True, 0, neurons, recurrent, delays))
    parts = [part for part in parts if part.rows.sources]
    plan = Plan(k, p, stream.hoisted(k), parts, scale, None)
    if numbers != "fixed" or scale is None:
        return plan
    inputs &= plan.takes_input  # rows of zeros are no part
    return plan._replace(fixed=_current(k, p.bias, weights, scale, inputs))


def _current(k: int, bias: Array, weights: Array, scale: Array, inputs: Array) -> Current:
    """How the sums of population k become its current; `inputs` are the weights of the input."""
    bits = INPUT if inputs.any() else 0
    size = np.abs(weights.astype(np.float64))
    # A list of events may name one channel as often as there are inputs.
    most = size[:, ~inputs].sum(1)
    most += LARGEST_INPUT * inputs.sum() * size[:, inputs].max(1, initial=0.0)
    steps = scale.astype(np.float64) * 2.0 ** (FRACTION - bits)
    shift = min(30, 30 - int(np.ceil(np.log2(steps.max(initial=0.0) or 1.0))))
    if (most * 2.0**bits).max(initial=0.0) > LARGEST or shift < 1:
        raise UnsupportedError(
            f"population {k} has too many or too large synapses for the numbers 'fixed'; "
            f"export int8"
        )
    high = int(np.ceil((most * scale + np.abs(bias)).max(initial=0.0) * ONE)) + 1
    return Current(np.rint(steps * 2.0**shift).astype(np.int32), shift, Range(-high, high))


def whole(values: Array) -> Array:
    """Numbers with the fraction of fixed point.

    >>> whole(np.float32([0.5, -1.0])).tolist()
    [524288, -1048576]
    """
    steps = np.rint(values.astype(np.float64) * ONE)
    if not (np.abs(steps) <= LARGEST).all():  # a NaN neither
        raise UnsupportedError(
            f"a constant is {np.abs(values).max():g}, too large for the numbers 'fixed'; "
            f"export int8"
        )
    result: Array = steps.astype(np.int32)
    return result


def code(stream: Stream, numbers: str, mean: bool, name: str) -> Code:
    """The C of a stream whose answer is its last step, or the mean over all steps."""
    populations = plans(stream, numbers)
    fixed_point = numbers == "fixed"
    delays = [part.delays for plan in populations for part in plan.parts]
    depth = 1 + max((int(d.max()) for d in delays if d is not None), default=0)
    if depth > MOST_NEURONS:
        raise UnsupportedError(
            f"the longest delay is {depth - 1} steps; C is written for fewer than {MOST_NEURONS}"
        )
    state: list[Member] = []
    arrays: dict[str, Array] = {}
    body: list[str] = []
    advance: list[str] = []
    for plan in populations:
        last = plan.k == len(populations) - 1
        try:
            state += _state(plan, depth)
            arrays |= _arrays(plan)
            body.append(_update(plan, name, stream.output_size if last else 0))
        except UnsupportedError as error:
            neuron = plan.population.step.name
            raise UnsupportedError(f"population {plan.k} of {neuron}: {error}") from None
        advance += _advance(plan, depth)
    if not any(plan.takes_input for plan in populations):
        advance.append("(void)in; /* no input has a weight */")
    widest, outputs = max(plan.neurons for plan in populations), stream.output_size
    number = "int32_t" if fixed_point else "float"
    state.append(Member(number, "current", widest, "the input of the population in work"))
    if numbers != "float32":
        state.append(Member("int32_t", "sum", widest, "the same in steps of its int8 scales"))
    state.append(Member(number, "out", outputs, "the output of the last step"))
    if depth > 1:
        state.append(Member("uint16_t", "now", None, "the place of this step in the delay buffers"))
        advance.append(f"s->now = (uint16_t)((s->now + 1) % {depth});")
    answer = ["memcpy(logits, s->out, sizeof s->out);"]
    one = c.literal(ONE)
    if fixed_point:
        answer = [f"for (int h = 0; h < {outputs}; h++)"]
        answer += [f"    logits[h] = (float)s->out[h] / {one};"]
    if mean:
        total = "int64_t" if fixed_point else "float"
        state.append(Member(total, "total", outputs, "the sum of all outputs"))
        state.append(Member("uint32_t", "steps", None, "how many they are"))
        advance += [f"for (int h = 0; h < {outputs}; h++)", "    s->total[h] += s->out[h];"]
        advance += ["s->steps++;"]
        answer = [f"for (int h = 0; h < {outputs}; h++)"]
        sum_of = f"(float)s->total[h] / {one}" if fixed_point else "s->total[h]"
        answer += [f"    logits[h] = s->steps ? {sum_of} / (float)s->steps : 0.0f;"]
    body.append(function(f"advance({name}_state *s, input in)", advance))
    body.append(function(f"answer(const {name}_state *s, float *logits)", answer))
    return Code(state, arrays, body)


TAKEN = ("fired", "fired_count")
"""Names of members that each population has beside the fields of its neuron."""


def _state(plan: Plan, depth: int) -> list[Member]:
    """The members of a population in the struct of the state."""
    p, k = plan.population, plan.k
    for field in (*p.step.state, *p.step.params):
        if not is_identifier(field):
            raise InputError(
                f"{p.step.name} has a field {field}, which is not an identifier of C; rename it "
                "with ASCII letters, digits and underscores"
            )
        if field in TAKEN:
            raise InputError(
                f"{p.step.name} has a field {field}, as the state of every population in C has; "
                "rename it"
            )
    if re.search(r"\*/|/\*|[\n\r\\]", p.step.name):
        raise InputError(f"{p.step.name!r} cannot stand in a comment of C; rename the neuron")
    title = f"population {k}, {p.step.name}"
    members = []
    for field in c.kept(p.step):
        number = "float" if plan.fixed is None else "int32_t"
        kind = "uint8_t" if field == "z" and p.step.spikes else number
        members.append(Member(kind, f"{field}_{k}", plan.neurons, title))
    if p.step.spikes:
        comment = f"the neurons of population {k} that fired in the last step"
        members.append(Member("uint16_t", f"fired_{k}", plan.neurons, comment))
        members.append(Member("uint16_t", f"fired_count_{k}", None, "how many they are"))
    for part in plan.parts:
        if part.delays is not None:
            kind = "uint8_t" if part.source else "float"
            size, comment = depth * part.channels, f"{depth} steps of {part.channels} axons"
            members.append(Member(kind, f"buffer_{part.name}", size, comment))
    return members


def _arrays(plan: Plan) -> dict[str, Array]:
    """The constants and weights of a population; one that all share is one number."""
    p, k = plan.population, plan.k
    reads = c.update(p.step).reads
    values = {f"p_{f}": p.params[n] for n, f in enumerate(p.step.params)}
    values |= {f"c_{n}": row for n, row in enumerate(plan.constants)}
    arrays = {f"bias_{k}": p.bias}
    for name, row in values.items():
        if name in reads:
            arrays[f"{name}_{k}"] = row[0].reshape(()) if (row == row[0]).all() else row
    if plan.fixed is not None:
        arrays = {name: whole(row) for name, row in arrays.items()}
        arrays[f"multiplier_{k}"] = plan.fixed.multiplier
    elif plan.scale is not None:
        arrays[f"scale_{k}"] = plan.scale
    for part in plan.parts:
        arrays[part.name] = part.rows.values
        if part.rows.begin is not None and part.rows.target is not None:
            arrays[f"{part.name}_begin"] = part.rows.begin
            arrays[f"{part.name}_target"] = part.rows.target
        if part.delays is not None:
            arrays[f"{part.name}_delay"] = part.delays.astype(np.uint16)
    return arrays


def _update(plan: Plan, name: str, outputs: int) -> str:
    """The function that updates the neurons of a population, whose last `outputs` are read."""
    p, k = plan.population, plan.k
    arrays = _arrays(plan)
    if clash := {f"p_{field}" for field in p.step.params} & arrays.keys():
        raise InputError(
            f"{p.step.name} has a constant {min(clash)[2:]}, which in C is the name of another; "
            f"rename it"
        )
    if plan.fixed is None:
        step, number = c.update(p.step), "float"
        fired, as_number = "z != 0.0f", " ? 1.0f : 0.0f"
    else:
        step = fixed.update(p.step, _ranges(plan, plan.fixed, arrays))
        number, fired, as_number = "int32_t", "z", ""
    lines = ["uint16_t count = 0;"] if p.step.spikes else []
    lines += [f"for (int h = 0; h < {plan.neurons}; h++) {{"]
    inner = [f"const {number} i = {_total(plan)};"]
    for read in step.reads:
        if read == "s_z" and p.step.spikes:
            inner.append(f"const {number} s_z = s->z_{k}[h]{as_number};")
        elif read.startswith("s_"):
            inner.append(f"const {number} {read} = s->{read[2:]}_{k}[h];")
        else:
            place = "[h]" if arrays[f"{read}_{k}"].ndim else ""
            inner.append(f"const {number} {read} = {read}_{k}{place};")
    inner += step.lines
    for field in c.kept(p.step):
        value = fired if field == "z" and p.step.spikes else step.stores[field]
        inner.append(f"s->{field}_{k}[h] = {value};")
    if p.step.spikes:
        inner += [f"if ({fired})", f"    s->fired_{k}[count++] = (uint16_t)h;"]
    first = plan.neurons - outputs
    if outputs and first:
        inner += [f"if (h >= {first})", f"    s->out[h - {first}] = {step.out};"]
    elif outputs:
        inner.append(f"s->out[h] = {step.out};")
    lines += [f"    {line}" for line in inner] + ["}"]
    if p.step.spikes:
        lines.append(f"s->fired_count_{k} = count;")
    return function(f"update_{k}({name}_state *s)", lines)


def _ranges(plan: Plan, current: Current, arrays: dict[str, Array]) -> dict[str, Range]:
    """The ranges of the constants and of the current."""
    ranges = {"i": cut(current.bounds)}
    for name, row in arrays.items():
        if name.startswith(("p_", "c_")):
            ranges[name.removesuffix(f"_{plan.k}")] = Range(int(row.min()), int(row.max()))
    return ranges


def _total(plan: Plan) -> str:
    """The current of a neuron."""
    k = plan.k
    if plan.scale is None:
        return "s->current[h]"
    if plan.fixed is None:
        real = "s->current[h] + " if plan.takes_input else ""
        return f"bias_{k}[h] + scale_{k}[h] * ({real}(float)s->sum[h])"
    sums = f"(s->current[h] + {1 << INPUT} * s->sum[h])" if plan.takes_input else "s->sum[h]"
    half, shift = 1 << plan.fixed.shift - 1, plan.fixed.shift
    scaled = f"((int64_t){sums} * multiplier_{k}[h] + {half}) >> {shift}"
    if plan.fixed.bounds.within(WORD):
        return f"bias_{k}[h] + (int32_t)({scaled})"
    return f"held(bias_{k}[h] + ({scaled}))"


def _advance(plan: Plan, depth: int) -> list[str]:
    """The statements of one step of a population."""
    k = plan.k
    lines = [f"/* population {k} */"]
    if plan.scale is None:
        lines.append(f"memcpy(s->current, bias_{k}, sizeof bias_{k});")
    else:
        sums = ["sum", "current"] if plan.takes_input else ["sum"]
        lines.append(f"for (int h = 0; h < {plan.neurons}; h++)")
        lines.append(f"    {' = '.join(f's->{name}[h]' for name in sums)} = 0;")
    for part in plan.parts:
        lines += _receive(part, plan, depth)
    lines.append(f"update_{k}(s);")
    return lines + [line for part in plan.parts if part.own for line in _send(part)]


def _send(part: Part) -> Iterator[str]:
    """The statements that write this step's values to a delay buffer."""
    if part.delays is None:
        return
    now = f"s->buffer_{part.name} + s->now * {part.channels}"
    yield f"memset({now}, 0, {part.channels} * sizeof s->buffer_{part.name}[0]);"
    if part.source:
        k = part.source - 1
        yield (
            f"mark_spikes({now}, s->fired_{k}, s->fired_count_{k}, {part.offset}, {part.channels});"
        )
        return
    place = f"s->buffer_{part.name}[s->now * {part.channels} + channel]"
    yield from over_input(f"{place} += value;", part.channels)


def _receive(part: Part, plan: Plan, depth: int) -> Iterator[str]:
    """The statements that add what arrives from one source."""
    lists = part.rows.begin is not None
    int8 = plan.scale is not None
    kind = ("_listed" if lists else "") + ("_int8" if int8 else "")
    synapses = f"{part.name}_begin, {part.name}_target, {part.name}" if lists else f"{part.name}[0]"
    count, first = part.rows.sources, part.rows.first
    size = "" if lists else f", {plan.neurons}"
    add_row, sums = f"add_row{kind}", "s->current, s->sum" if int8 else "s->current"
    if plan.fixed is not None:
        add_row, sums = f"add_row{'_listed' if lists else ''}_fixed", "s->current"
    into = "s->sum" if int8 else "s->current"
    if part.delays is not None:
        if not part.own:
            yield from _send(part)
        yield f"for (int j = {first}; j < {first + count}; j++) {{"
        yield f"    const int then = (s->now + {depth} - {part.name}_delay[j]) % {depth};"
        yield f"    const float value = s->buffer_{part.name}[then * {part.channels} + j];"
        if plan.fixed is not None and part.source:
            yield "    const uint16_t axon = (uint16_t)j;"
            fired = f"&axon, value != 0.0f, {first}, {count}"
            yield f"    add_spikes{kind}({into}, {synapses}{size}, {fired});"
        else:
            yield "    if (value != 0.0f)"
            yield f"        {add_row}({sums}, {synapses}, j - {first}{size}, value);"
        yield "}"
    elif part.source == 0:
        inside = f"channel - {first}" if first else "channel"
        condition = [f"channel >= {first}"] if first else []
        condition += [f"channel < {first + count}"] if first + count < part.channels else []
        dense = None
        if not (condition or lists) and (plan.fixed is not None or not int8):
            end = "_fixed" if int8 else ""
            dense = f"add_inputs{end}({sums}, {synapses}, in.dense, {part.channels}{size});"
        action = f"{add_row}({sums}, {synapses}, {inside}{size}, value);"
        if condition:
            action = f"if ({' && '.join(condition)}) {action}"
        yield from over_input(action, part.channels, dense)
    else:
        k = part.source - 1
        fired = f"s->fired_{k}, s->fired_count_{k}, {part.offset + first}, {count}"
        yield f"add_spikes{kind}({into}, {synapses}{size}, {fired});"
