"""A brute-force simulator that counts: scalar numbers that tally every operation done on them.

Written from the papers' equations, one neuron, synapse and step at a time, and from nothing in
the package, so that the package's counts have something to be equal to.
"""

import math
import operator
from collections import Counter
from functools import partial


def tallied(kind, operation):
    """An operator of Number that tallies its use."""

    def method(self, other):
        self.tally[kind] += 1
        result = operation(self.value, other.value if isinstance(other, Number) else float(other))
        return result if isinstance(result, bool) else Number(result, self.tally)

    return method


class Number:
    """A float that tallies multiplications, additions, comparisons and gate functions."""

    def __init__(self, value, tally):
        self.value, self.tally = float(value), tally

    __mul__ = tallied("mul", operator.mul)
    __add__ = tallied("add", operator.add)
    __sub__ = tallied("add", operator.sub)
    __rsub__ = tallied("add", lambda own, other: other - own)
    __truediv__ = tallied("div", operator.truediv)
    __gt__ = tallied("compare", operator.gt)
    __ge__ = tallied("compare", operator.ge)

    def function(self, kind):
        self.tally[kind] += 1
        sigmoid = lambda v: 1 / (1 + math.exp(-v))  # noqa: E731
        f = {"tanh": math.tanh, "exp": math.exp, "sigmoid": sigmoid}[kind]
        return Number(f(self.value), self.tally)


def gather(start, pairs, tally, events, kind):
    """start + sum of weight x value: an accumulate an event, else a multiply-accumulate.

    Tallied by the kind of connection that the pairs belong to.
    """
    total = start
    for weight, value in pairs:
        if weight != 0 and (value != 0 or not events):
            tally[f"{'ac' if events else 'mac'} {kind}"] += 1
            total += weight * value
    return total


def awake_groups(weight, awake, learned, row, tally, events):
    """The groups that a row of inputs wakes and their gains; a table looks a single event up."""
    left, scores = list(range(len(weight))), []
    for own in weight:
        values = row if learned else [float(value != 0) for value in row]
        scores.append(Number(gather(0.0, zip(own, values), tally, events, "router"), tally))
    best = []
    single = not learned and events and sum(value != 0 for value in row) <= 1
    for _ in range(awake):
        first, *others = left
        for other in others:
            if (
                scores[other].value > scores[first].value
                if single
                else scores[other] > scores[first]
            ):
                first = other
        best.append(first)
        left.remove(first)
    if not learned:
        return {group: 1.0 for group in best if scores[group].value > 0}
    parts = [(scores[group] - scores[best[0]]).function("exp") for group in best]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return {group: (part / total * awake).value for group, part in zip(best, parts)}


def spiking_layer(name, p, w_in, w_rec, bias, x, events, kind="input", router=None):
    """LIF, ALIF or LI over x (T, F) for one sample: spikes or potentials (T, H), tallies (T,).

    `router` is weight (E, F), how many are awake, and whether it is learned; and whether those
    asleep decay, for which they make up when they wake.
    """
    size = len(w_in)
    v = [0.0] * size
    a = [0.0] * size
    z = [0.0] * size
    slept = [[] for _ in range(size)]
    out, tallies = [], []
    for row in x:
        tally = Counter()
        following = []
        if router is not None:
            gains = awake_groups(*router[:3], row, tally, events)
        for n in range(size):
            if router is not None and n * len(router[0]) // size not in gains:
                following.append(0.0)
                slept[n].append(z[n])
                continue
            if router is not None and router[3]:
                constants = {symbol: values[n] for symbol, values in p.items()}
                for fired in slept[n]:
                    v[n], a[n] = rested(name, constants, v[n], a[n], fired, tally)
                slept[n].clear()
            i = gather(bias[n], zip(w_in[n], row), tally, events, kind)
            if w_rec is not None:
                i = gather(i, zip(w_rec[n], z), tally, True, "recurrent")
            if router is not None and router[2]:
                i = (Number(i, tally) * gains[n * len(router[0]) // size]).value
            alpha = p["alpha_mem"][n]
            u = Number(v[n], tally) * alpha + Number(i, tally) * (1 - alpha)
            if name == "LI":
                v[n] = u.value
                following.append(v[n])
                continue
            u = u - Number(z[n], tally) * p["v_th"][n]
            v[n] = u.value
            threshold = p["v_th"][n]
            if name == "ALIF":
                alpha = p["alpha_adapt"][n]
                adaptation = Number(a[n], tally) * alpha + Number(z[n], tally) * (1 - alpha)
                a[n] = adaptation.value
                threshold = adaptation * p["adapt_scale"][n] + threshold
            # the distance to threshold, then its sign
            following.append(1.0 if u - threshold > 0 else 0.0)
        z = following
        out.append(following)
        tallies.append(tally)
    return out, tallies


def rested(name, p, v, a, fired, tally):
    """The potential and the adaptation after a step without a current; `fired`: with the reset."""
    u, adaptation = Number(v, tally) * p["alpha_mem"], Number(a, Counter())
    if fired:
        u = u - Number(fired, tally) * p["v_th"]
    if name == "ALIF":
        adaptation = Number(a, tally) * p["alpha_adapt"]
        if fired:
            adaptation = adaptation + Number(fired, tally) * (1 - p["alpha_adapt"])
    return u.value, adaptation.value


def standard_layer(kind, w_ih, w_hh, b, x, w_hr=None, backward=False, events=False, banks=None):
    """torch.nn.RNN, GRU or LSTM over x (T, F) for one sample: hidden (T, H) and tallies (T,).

    b is the sum of torch's two bias vectors; for the GRU a pair of them. w_hr projects the output
    of an LSTM. `backward` goes from the last step to the first; both come in the order of x.
    `events` lets x be accumulated where it is not zero. `banks` are those of w_hh, which has one
    after the other, that are summed at each step.
    """
    size = len(w_ih) // {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    bias = [sum(pair) for pair in zip(*b)] if kind == "GRU" else b
    h, c = [0.0] * len(w_hh[0]), [0.0] * size
    out, tallies = [], []
    for t, row in enumerate(x[::-1] if backward else x):
        tally = Counter()
        driven = partial(connect, w_ih, row, tally, events, "input")

        def recurrent(row, start, t=t, h=h, tally=tally):
            for bank in [0] if banks is None else banks[t]:
                start = connect(w_hh, h, tally, False, "recurrent", bank * len(w_ih) + row, start)
            return start

        following = []
        for n in range(size):
            gates = range(n, 2 * size if kind == "GRU" else len(w_ih), size)
            sums = [Number(recurrent(k, driven(k, bias[k])), tally) for k in gates]
            if kind == "RNN":
                following.append(sums[0].function("tanh").value)
            elif kind == "LSTM":
                i, f, o = (sums[gate].function("sigmoid") for gate in (0, 1, 3))
                cell = f * c[n] + i * sums[2].function("tanh")
                c[n] = cell.value
                following.append((o * cell.function("tanh")).value)
            else:
                k = 2 * size + n
                r, u = (total.function("sigmoid") for total in sums)
                from_input = Number(driven(k, b[0][k]), tally)
                new = (from_input + r * recurrent(k, b[1][k])).function("tanh")
                following.append(((1 - u) * new + u * h[n]).value)
        if w_hr is not None:
            following = [gather(0.0, zip(w, following), tally, False, "projection") for w in w_hr]
        h = following
        out.append(h)
        tallies.append(tally)
    return (out[::-1], tallies[::-1]) if backward else (out, tallies)


def connect(weights, values, tally, events, kind, row, start):
    """What one row of weights adds to start."""
    return gather(start, zip(weights[row], values), tally, events, kind)


def delta(signal, threshold):
    """Send-on-delta of one sample (T, F) as a switch would do it: events (T, F), tallies (T,)."""
    level = [0.0] * len(signal[0])
    out, tallies = [], []
    for row in signal:
        tally, events = Counter(), []
        for n, value in enumerate(row):
            distance = Number(value, tally) - level[n]
            fired = Number(abs(distance.value), tally) >= threshold
            events.append(math.copysign(1.0, distance.value) if fired else 0.0)
            if fired:
                level[n] = (Number(level[n], tally) + events[-1] * threshold).value
        out.append(events)
        tallies.append(tally)
    return out, tallies
