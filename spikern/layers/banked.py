"""RNN, GRU and LSTM with banks of recurrent weights over one shared state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern._utils.tensors import without_autocast
from spikern.engines.cells import CELLS
from spikern.engines.experts import Router, route
from spikern.events.trains import valid_steps
from spikern.layers.routing import draw_table

Hidden = Tensor | tuple[Tensor, Tensor]
"""h, or h and c of an LSTM, each (L, B, H)."""


class Banked(nn.Module):
    """torch.nn.RNN, GRU or LSTM whose recurrent matrix is the sum of the banks that x_t names.

        W_hh h_{t-1} = sum of W_hh^g h_{t-1} over the `awake` of E banks g

    All else is torch's, the names of the weights too: weight_hh_l<k> has the rows of one bank after
    the other. The buffer weight_rt (E, F), a balanced random table, says which banks an event of
    each feature of the network's input names, for all layers. Without any event there is no bank.

    >>> out, h = Banked("GRU", 3, 8, 1, experts=4, awake=2)(torch.ones(5, 2, 3))
    >>> out.shape, h.shape
    (torch.Size([5, 2, 8]), torch.Size([1, 2, 8]))
    """

    weight_rt: Tensor

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        experts: int,
        awake: int,
    ) -> None:
        super().__init__()
        self.mode, self.bias, self.bidirectional, self.proj_size = mode, True, False, 0
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.experts, self.awake = experts, awake
        rows, reach = CELLS[mode].gates * hidden_size, hidden_size**-0.5
        for k in range(num_layers):
            shapes = {
                "weight_ih": (rows, hidden_size if k else input_size),
                "weight_hh": (experts * rows, hidden_size),
                "bias_ih": (rows,),
                "bias_hh": (rows,),
            }
            for name, shape in shapes.items():
                most = reach * awake**-0.5 if name == "weight_hh" else reach
                values = torch.empty(shape).uniform_(-most, most)
                self.register_parameter(f"{name}_l{k}", nn.Parameter(values))
        self.register_buffer("weight_rt", draw_table(experts, input_size, awake))

    @property
    def router(self) -> Router:
        """What chooses the banks."""
        return Router(self.weight_rt, self.awake, False)

    def forward(
        self, x: Tensor, state: Hidden | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Hidden]:
        """Return the last layer's output (T, B, H), zero past each length, and the final state."""
        with without_autocast(x.device):
            return self._run(x, state, lengths)

    def _run(
        self, x: Tensor, state: Hidden | None, lengths: Tensor | None
    ) -> tuple[Tensor, Hidden]:
        steps, batch, _ = x.shape
        gain, _ = route(self.router, x)
        valid = x.new_ones(steps, batch, 1, dtype=torch.bool)
        if lengths is not None:
            valid = valid_steps(lengths.to(x.device), steps).unsqueeze(2)
        cell = CELLS[self.mode]
        zero = x.new_zeros(self.num_layers, batch, self.hidden_size)
        given = len(cell.state) * (zero,) if state is None else state
        fields = given if isinstance(given, tuple) else (given,)
        after = []
        for k in range(self.num_layers):
            own = tuple(field[k] for field in fields)
            weight, bias = getattr(self, f"weight_hh_l{k}"), getattr(self, f"bias_hh_l{k}")
            driven = functional.linear(
                x, getattr(self, f"weight_ih_l{k}"), getattr(self, f"bias_ih_l{k}")
            )
            outputs = []
            for i, awake, there in zip(driven, gain, valid):
                banks = functional.linear(own[0], weight).view(batch, self.experts, -1)
                r = (banks * awake.unsqueeze(2)).sum(1) + bias
                following = cell.step(own, i.chunk(cell.gates, 1), r.chunk(cell.gates, 1))
                own = tuple(torch.where(there, n, s) for n, s in zip(following, own))
                outputs.append(torch.where(there, own[0], 0.0))
            x = torch.stack(outputs)
            after.append(own)
        parts = [torch.stack(part) for part in zip(*after)]
        return x, (parts[0], parts[1]) if self.mode == "LSTM" else parts[0]
