"""The standard recurrent networks of torch, called as the spiking layers are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from spikern._utils.choices import check_choice
from spikern._utils.display import module_html
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_whole
from spikern.engines.cells import CELLS, run_cell
from spikern.engines.population import is_transformed
from spikern.events.trains import Input, dense, valid_steps
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
    open makes the LSTM a stronger baseline on long sequences. All else is torch's own, but that
    float32 runs on the CPU by fused kernels, which agree with torch's own to rounding: torch's GRU
    and RNN take several times longer to train there. With `experts` there are this many banks of
    recurrent weights, of which the input of a step chooses `awake`; see `Banked`.

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
        input_size, hidden_size, num_layers = map(int, (input_size, hidden_size, num_layers))
        self.kind = kind
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
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

    @property
    def engine(self) -> str:
        """What runs the network: "fused" kernels for float32 on the CPU, else "torch".

        Transforms of torch.func and forward-mode derivatives run in torch, which alone has them.
        """
        weight = next(self.parameters())
        on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
        return "fused" if on_cpu and not isinstance(self.rnn, Banked) else "torch"

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
        x: Input,
        state: Tensor | tuple[Tensor, Tensor] | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Return the last layer's output (T, B, H), zero past each length, and the final state."""
        weight = next(self.parameters())
        dtype = weight.dtype
        check_device(weight.device, {"the input": x})
        x = dense(in_dtype(x, dtype))
        check_input(x, self.input_size, dtype)
        check_weights(self)
        if state is not None:
            state = self._checked(state, x)
        if lengths is not None:
            lengths = as_lengths(lengths).cpu()  # as torch wants them
            check_lengths(lengths, x.shape[0], x.shape[1])
            if bool((lengths == x.shape[0]).all()):
                lengths = None  # torch's RNN and GRU on packed sequences take T^2 to train
        if isinstance(self.rnn, Banked):
            banked: tuple[Tensor, Hidden] = self.rnn(x, state, lengths)
            return banked
        if self.engine == "fused" and not is_transformed():
            return self._run_fused(x, state, lengths)
        if lengths is None:
            out, after = self.rnn(x, state)
            return out, after
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, after = self.rnn(packed, state)
        padded, _ = pad_packed_sequence(out, total_length=x.shape[0])
        return padded, after

    def _checked(
        self, state: Tensor | tuple[Tensor, Tensor], x: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return a state in the dtype of the input; InputError if it is not one of this network."""
        parts = state if isinstance(state, tuple) else (state,)
        names = CELLS[self.kind].state
        if len(parts) != len(names):
            raise InputError(
                f"the state of {self.kind} is {', '.join(names)}, got {len(parts)} parts"
            )
        shape = (self.num_layers, x.shape[1], self.hidden_size)
        checked = []
        for k, part in enumerate(parts):
            what = f"part {k} of the state"
            if not isinstance(part, Tensor):
                raise InputError(f"{what} must be a tensor, got {type(part).__name__}")
            check_device(x.device, {what: part})
            part = in_dtype(part, x.dtype)
            if part.dtype != x.dtype:
                raise InputError(f"{what} must be of {x.dtype}, got {part.dtype}")
            if part.shape != shape:
                raise InputError(
                    f"{what} must have the shape (layers, batch, units) = {shape}, got "
                    f"{tuple(part.shape)}"
                )
            check_finite({what: part}, "start from None or a finite state")
            checked.append(part)
        return (checked[0], checked[1]) if len(checked) == 2 else checked[0]

    def _run_fused(
        self, x: Tensor, state: Tensor | tuple[Tensor, Tensor] | None, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """The same by kernels: what comes after the end of a sequence is computed and left out."""
        steps, batch, _ = x.shape
        parts = len(CELLS[self.kind].state)
        if state is None:
            start = x.new_zeros(parts, self.num_layers, batch, self.hidden_size)
        else:
            start = torch.stack(state if isinstance(state, tuple) else (state,))
        last = (torch.tensor(steps, device=x.device) if lengths is None else lengths) - 1
        finals = []
        for k in range(self.num_layers):
            names = (f"weight_ih_l{k}", f"weight_hh_l{k}", f"bias_ih_l{k}", f"bias_hh_l{k}")
            weights = [getattr(self.rnn, name) for name in names]
            states = run_cell(self.kind, x, *weights, start[:, k])
            x = states[0]
            finals.append([s[last, torch.arange(batch, device=x.device)] for s in states])
        if lengths is not None:
            x = x * valid_steps(lengths, steps)[..., None]
        after = [torch.stack(part) for part in zip(*finals)]
        return x, after[0] if parts == 1 else (after[0], after[1])
