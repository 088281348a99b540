"""RNN, GRU and LSTM networks as C, in float32 or in whole numbers.

In int8, weights have one scale per row and h is int8, 127 for 1. Everything between is fixed
point: inputs with 8 bits of fraction (held to -64..64), gates with 12, their sigmoids with 15 from
a table, the LSTM's c with 20. This follows the scheme of B. Jacob et al., arXiv 1712.05877, with
weights' zero point 0.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from spikern._utils.errors import UnsupportedError
from spikern.engines.cells import CELLS
from spikern.interop.c.arrays import (
    LEVELS,
    MOST_NEURONS,
    Array,
    Code,
    Member,
    function,
    over_input,
    rounded,
)
from spikern.layers.baseline import Baseline
from spikern.layers.network import Network

MOST_INPUTS = 1000
"""Of an int8 layer: more could overflow a sum in int32."""
FRACTION = 12
"""Bits of the fraction of a gate."""


def code(network: Network, int8: bool, name: str) -> Code:
    """The C of a network of RNN, GRU or LSTM layers."""
    body, readout = network.body, network.readout
    if not isinstance(body, Baseline) or body.experts > 1 or not isinstance(readout, nn.Linear):
        raise UnsupportedError(
            "only RNN, GRU and LSTM without experts and with a linear readout are gated networks"
        )
    if max(body.input_size, body.hidden_size) > MOST_NEURONS:
        raise UnsupportedError(
            f"C is written for at most {MOST_NEURONS} inputs and hidden units, got "
            f"{body.input_size} and {body.hidden_size}"
        )
    if int8 and max(body.input_size, body.hidden_size) > MOST_INPUTS:
        raise UnsupportedError(
            f"int8 is written for at most {MOST_INPUTS} inputs and hidden units, got "
            f"{body.input_size} and {body.hidden_size}; export float32"
        )
    hidden, rows = body.hidden_size, CELLS[body.kind].gates * body.hidden_size
    arrays: dict[str, Array] = {}
    state: list[Member] = []
    advance: list[str] = []
    for k in range(body.num_layers):
        arrays |= _arrays(body, k, int8)
        state += _state(body, k, int8)
        advance += [f"/* layer {k} */", *_layer(body, k, int8)]
    number = "int32_t" if int8 else "float"
    state.append(Member(number, "gates", rows, "the gates of the layer in work"))
    if body.kind == "GRU":
        state.append(Member(number, "hidden", hidden, "what reaches its candidate from h"))
    if int8:
        state.append(Member(number, "sum", rows, "the input in steps of its int8 scales"))
        arrays["sigmoids"] = _sigmoids()
    top, mean = f"h_{body.num_layers - 1}", network.answer == "mean"
    if mean:
        state.append(Member(number, "total", hidden, "the sum of h over all steps"))
        state.append(Member("uint32_t", "steps", None, "how many they are"))
        advance += [f"for (int j = 0; j < {hidden}; j++)", f"    s->total[j] += s->{top}[j];"]
        advance += ["s->steps++;"]
    weight = _array(readout.weight)
    if int8:
        weight, scale = rounded(weight)
        arrays["w_out_scale"] = scale / np.float32(LEVELS)
    bias = np.zeros(len(weight), np.float32) if readout.bias is None else _array(readout.bias)
    arrays |= {"w_out": weight, "bias_out": bias}
    answer = _answer(top, weight.shape, int8, mean)
    head = f"answer(const {name}_state *s, float *logits)"
    body_text = [function(f"advance({name}_state *s, input in)", advance), function(head, answer)]
    return Code(state, arrays, body_text)


def _array(x: Tensor) -> Array:
    return np.ascontiguousarray(x.detach().cpu().numpy(), np.float32)


def _sigmoids() -> Array:
    x = np.arange(-8, 8 + 1 / 16, 1 / 16)
    table: Array = np.minimum(np.rint(32768 / (1 + np.exp(-x))), 32767).astype(np.int32)
    return table


def _state(body: Baseline, k: int, int8: bool) -> list[Member]:
    """The members of a layer in the struct of the state."""
    n, title = body.hidden_size, f"layer {k}, {body.kind}"
    members = [Member("int8_t" if int8 else "float", f"h_{k}", n, title)]
    if body.kind == "LSTM":
        members.append(Member("int32_t" if int8 else "float", f"c_{k}", n, title))
    if body.kind == "GRU" and int8:
        members.append(Member("int16_t", f"fine_{k}", n, "h with 15 bits of fraction"))
    return members


def _arrays(body: Baseline, k: int, int8: bool) -> dict[str, Array]:
    """Weights and biases; the two biases of a gate are one where its equation adds them."""
    w_in, w_rec, b_in, b_rec = (
        _array(getattr(body.rnn, f"{title}_l{k}"))
        for title in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    bias = b_in + b_rec
    candidate = slice(2 * body.hidden_size, None) if body.kind == "GRU" else slice(0, 0)
    bias[candidate] = b_in[candidate]
    arrays = {f"bias_{k}": bias, f"bias_hidden_{k}": b_rec[candidate]}
    if int8:
        arrays = {key: _fixed(value) for key, value in arrays.items()}
        w_in, arrays[f"multiplier_in_{k}"] = _multiplied(w_in, LEVELS if k else 64 * 256)
        w_rec, arrays[f"multiplier_rec_{k}"] = _multiplied(w_rec, LEVELS)
    arrays |= {f"w_in_{k}": w_in if k else np.ascontiguousarray(w_in.T), f"w_rec_{k}": w_rec}
    return {key: value for key, value in arrays.items() if value.size}


def _fixed(values: Array) -> Array:
    """Numbers as int32 with `FRACTION` bits of fraction."""
    return _within(np.rint(values.astype(np.float64) * 2.0**FRACTION), 2.0**28).astype(np.int32)


def _multiplied(weight: Array, largest: int) -> tuple[Array, Array]:
    """Weights in int8, and what their products with states up to `largest` are multiplied by.

    A product of whole numbers times the multiplier is a gate with `FRACTION` bits of fraction and
    24 more. The states are `largest` for 1, or for 64 if they are inputs.
    """
    whole, scale = rounded(weight)
    unit = LEVELS if largest == LEVELS else 256
    multiplier = np.rint(scale.astype(np.float64) / unit * 2.0 ** (FRACTION + 24))
    sums = np.abs(whole.astype(np.float64)).sum(1) * largest
    _within(sums * multiplier / 2.0**24, 2.0**28)
    return whole, _within(multiplier, 2.0**31).astype(np.int32)


def _within(values: Array, limit: float) -> Array:
    """The values; raises UnsupportedError if one is as large as the limit."""
    if np.abs(values).max(initial=0.0) >= limit:
        raise UnsupportedError(
            "a weight or a bias is too large for the fixed point of int8; export float32"
        )
    return values


def _layer(body: Baseline, k: int, int8: bool) -> list[str]:
    """The statements of one step of a layer."""
    kind, n, w, h = body.kind.lower(), body.hidden_size, f"w_rec_{k}[0]", f"s->h_{k}"
    rows = CELLS[body.kind].gates * n
    lines = [f"memcpy(s->gates, bias_{k}, sizeof bias_{k});"]
    fixed = "_int8" if int8 else ""

    def products(to: str, start: int, count: int) -> str:
        multiplier = f", multiplier_rec_{k} + {start}" if int8 else ""
        return f"add_products{fixed}({to}, {w} + {start * n}{multiplier}, {h}, {count}, {n});"

    if k and int8:
        below = f"multiplier_in_{k}, s->h_{k - 1}, {rows}, {n}"
        lines.append(f"add_products_int8(s->gates, w_in_{k}[0], {below});")
    elif k:
        lines.append(f"add_products(s->gates, w_in_{k}[0], s->h_{k - 1}, {rows}, {n});")
    elif int8:
        lines.append("memset(s->sum, 0, sizeof s->sum);")
        action = f"add_row_fixed(s->sum, w_in_0[0], channel, {rows}, value);"
        dense = f"add_inputs_fixed(s->sum, w_in_0[0], in.dense, {body.input_size}, {rows});"
        lines += over_input(action, body.input_size, dense)
        lines.append(f"add_scaled_fixed(s->gates, s->sum, multiplier_in_0, {rows});")
    else:
        action = f"add_row(s->gates, w_in_0[0], channel, {rows}, value);"
        dense = f"add_inputs(s->gates, w_in_0[0], in.dense, {body.input_size}, {rows});"
        lines += over_input(action, body.input_size, dense)
    tail = f"s->c_{k}, " if body.kind == "LSTM" else ""
    if body.kind == "GRU":
        lines += [products("s->gates", 0, 2 * n)]
        lines += [f"memcpy(s->hidden, bias_hidden_{k}, sizeof bias_hidden_{k});"]
        lines += [products("s->hidden", 2 * n, n)]
        fine = f"s->fine_{k}, " if int8 else ""
        lines += [f"gru{'_fixed' if int8 else ''}(s->gates, s->hidden, {h}, {fine}{n});"]
    else:
        lines += [products("s->gates", 0, rows)]
        lines += [f"{kind}{'_fixed' if int8 else ''}(s->gates, {h}, {tail}{n});"]
    return lines


def _answer(h: str, shape: tuple[int, ...], int8: bool, mean: bool) -> list[str]:
    """The statements that read the answer out."""
    classes, n = shape
    if int8 and mean:
        sizes = f"s->total, s->steps, {classes}, {n}"
        return [f"read_out_mean(logits, w_out[0], w_out_scale, bias_out, {sizes});"]
    if int8:
        return [f"read_out_int8(logits, w_out[0], w_out_scale, bias_out, s->{h}, {classes}, {n});"]
    lines = ["memcpy(logits, bias_out, sizeof bias_out);"]
    if not mean:
        return [*lines, f"add_products(logits, w_out[0], s->{h}, {classes}, {n});"]
    return [
        f"float mean[{n}];",
        f"for (int j = 0; j < {n}; j++)",
        "    mean[j] = s->steps ? s->total[j] / (float)s->steps : 0.0f;",
        *lines,
        f"add_products(logits, w_out[0], mean, {classes}, {n});",
    ]
