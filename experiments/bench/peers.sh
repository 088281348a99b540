#!/usr/bin/env bash
# Norse, SpikingJelly and Sinabs on work S, in an environment of their own. They are installed
# without what they depend on, then with what this needs: their own lists ask for torchvision or for
# drivers of chips.
#
#   experiments/bench/peers.sh [FOLDER]     FOLDER: where the environment goes, default build/peers
#
# Prints one line of JSON a peer: milliseconds of a training step and of an inference, medians of
# 7, two threads, input scaled to a rate of 5 %, T=250 B=64 F=140 events at 5 %, H=256.
set -euo pipefail
folder=${1:-build/peers}
if [ ! -x "$folder/bin/python" ]; then
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet "torch==2.13.0" numpy scipy matplotlib tqdm nir nirtorch pbr setuptools
  "$folder/bin/pip" install --quiet --no-deps norse==1.1.0 spikingjelly==0.0.0.0.14 sinabs==3.1.3
fi
"$folder/bin/python" - <<'PYTHON'
import json, statistics, time

import torch
from torch import nn

T, B, F, H, C = 250, 64, 140, 256, 20
torch.set_num_threads(2)
torch.manual_seed(1)
x = (torch.rand(T, B, F) < 0.05).float()
y = torch.randint(C, (B,))


class NorseNet(nn.Module):
    def __init__(self):
        super().__init__()
        from norse.torch.module.lsnn import LSNNRecurrent

        self.body, self.readout = LSNNRecurrent(F, H), nn.Linear(H, C)

    def forward(self, x):
        z, _ = self.body(x)
        return self.readout(z.mean(0)), z


class SpikingJellyNet(nn.Module):
    def __init__(self):
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        self.functional = functional
        self.project, self.readout = nn.Linear(F, H), nn.Linear(H, C)
        self.body = layer.LinearRecurrentContainer(
            neuron.LIFNode(tau=20.0, surrogate_function=surrogate.ATan()), H, H, step_mode="m"
        )

    def forward(self, x):
        self.functional.reset_net(self.body)
        z = self.body(self.project(x))
        return self.readout(z.mean(0)), z


class SinabsNet(nn.Module):
    def __init__(self):
        super().__init__()
        from sinabs.layers import ALIFRecurrent

        self.project, self.readout = nn.Linear(F, H), nn.Linear(H, C)
        self.body = ALIFRecurrent(tau_mem=20.0, tau_adapt=200.0, rec_connect=nn.Linear(H, H))

    def forward(self, x):
        self.body.reset_states()
        z = self.body(self.project(x).transpose(0, 1)).transpose(0, 1)
        return self.readout(z.mean(0)), z


def milliseconds(call):
    call()
    samples = []
    for _ in range(7):
        started = time.perf_counter()
        call()
        samples.append(1e3 * (time.perf_counter() - started))
    return statistics.median(samples)


def measure(name, make):
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    inputs = getattr(model, "project", None)
    inputs = model.body.input_weights if inputs is None else inputs.weight
    low, high, start = -8.0, 8.0, inputs.detach().clone()
    for _ in range(12):
        middle = (low + high) / 2
        with torch.no_grad():
            inputs.copy_(start * 2.0**middle)
            rate = model(x)[1].mean().item()
        low, high = (middle, high) if rate < 0.05 else (low, middle)

    def train():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x)[0], y).backward()
        optimizer.step()

    def infer():
        with torch.no_grad():
            model(x)

    print(json.dumps({"peer": name, "rate": rate, "train": milliseconds(train), "infer": milliseconds(infer)}))


for name, make in (("Norse", NorseNet), ("SpikingJelly", SpikingJellyNet), ("Sinabs", SinabsNet)):
    try:
        measure(name, make)
    except Exception as error:
        print(json.dumps({"peer": name, "not_measured": f"{type(error).__name__}: {error}"}))
PYTHON
