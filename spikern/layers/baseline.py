"""The standard recurrent networks of torch, called as the spiking layers are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from spikern._utils.choices import check_choice
from spikern._utils.display import module_html
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_whole
from spikern.layers.arguments import (
    Lengths,
    as_lengths,
    check_device,
    check_finite,
    check_input,
    check_lengths,
    check_weights,
    in_dtype,
)
from spikern.layers.banked import Banked, Hidden
from spikern.layers.routing import check_experts

BASELINES: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "RNN": nn.RNN,
    "GRU": nn.GRU,
    "LSTM": nn.LSTM,
}


class Baseline(nn.Module):
    """torch.nn.RNN, GRU or LSTM: `out, state = layer(x, state, lengths)`, x (T, B, F).

    The bias of the LSTM's forget gate starts at 1 (Jozefowicz et al. 2015): a gate that starts
    open makes the LSTM a stronger baseline on long sequences. All else is torch's own. With
    `experts` there are so many banks of recurrent weights, of which the input of a step chooses
    `awake`; see `Banked`.

    >>> out, _ = Baseline("GRU", 3, 8)(torch.randn(20, 4, 3))
    >>> out.shape
    torch.Size([20, 4, 8])
    """

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        experts: int = 1,
        awake: int = 1,
    ) -> None:
        super().__init__()
        check_choice("standard model", kind, BASELINES)
        check_whole(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_experts(experts, awake)
        self.kind = kind
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.engine = "torch"
        self.experts = experts
        self.awake = awake
        self.rnn: nn.RNNBase | Banked
        if experts > 1:
            self.rnn = Banked(kind, input_size, hidden_size, num_layers, experts, awake)
        else:
            self.rnn = BASELINES[kind](input_size, hidden_size, num_layers)
        if kind == "LSTM":
            for k in range(num_layers):
                with torch.no_grad():
                    getattr(self.rnn, f"bias_ih_l{k}")[hidden_size : 2 * hidden_size] = 1.0

    def remember(self, longest: int) -> None:
        """Draw the gates' biases for memories of up to `longest` steps (chrono initialisation).

            LSTM  b_forget = log t,  b_input = -b_forget;   GRU  b_update = log t
            t ~ U(1, longest - 1)

        Raises InputError for an RNN, which has no gates, and for fewer than 3 steps. Source: Tallec
        and Ollivier 2018, arXiv 1804.11188.

        >>> lstm = Baseline("LSTM", 3, 8)
        >>> lstm.remember(100)
        >>> bool((lstm.rnn.bias_ih_l0[8:16] == -lstm.rnn.bias_ih_l0[:8]).all())
        True
        """
        if self.kind == "RNN" or longest < 3:
            raise InputError(
                f"chrono initialisation needs gates and 3 steps or more, got {self.kind}, {longest}"
            )
        hidden = self.hidden_size
        for k in range(self.num_layers):
            inner, outer = (getattr(self.rnn, f"bias_{kind}_l{k}") for kind in ("ih", "hh"))
            kept = torch.empty(hidden).uniform_(1, longest - 1).log()
            with torch.no_grad():
                inner[: 2 * hidden] = 0.0
                outer[: 2 * hidden] = 0.0
                inner[hidden : 2 * hidden] = kept
                if self.kind == "LSTM":
                    inner[:hidden] = -kept

    def _repr_html_(self) -> str:
        return module_html(self)

    def forward(
        self,
        x: Tensor,
        state: Tensor | tuple[Tensor, Tensor] | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Return the last layer's output (T, B, H), zero past each length, and the final state."""
        weight = next(self.parameters())
        dtype = weight.dtype
        check_device(weight.device, {"the input": x})
        x = in_dtype(x, dtype)
        check_input(x, self.input_size, dtype)
        check_weights(self)
        parts = state if isinstance(state, tuple) else (state,)
        given = {f"part {k} of the state": p for k, p in enumerate(parts) if p is not None}
        check_device(weight.device, given)
        check_finite(given, "start from None or a finite state")
        if lengths is not None:
            lengths = as_lengths(lengths).cpu()  # as torch wants them
            check_lengths(lengths, x.shape[0], x.shape[1])
        if isinstance(self.rnn, Banked):
            banked: tuple[Tensor, Hidden] = self.rnn(x, state, lengths)
            return banked
        # Sequences are packed only if one is short: the backward pass of torch's RNN and GRU on
        # packed sequences takes time that grows with the square of the steps.
        if lengths is None or bool((lengths == x.shape[0]).all()):
            out, after = self.rnn(x, state)
            return out, after
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, after = self.rnn(packed, state)
        padded, _ = pad_packed_sequence(out, total_length=x.shape[0])
        return padded, after
