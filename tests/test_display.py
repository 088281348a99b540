"""What objects say of themselves: short, in a terminal and in a notebook."""

import re

import numpy as np
import pytest
import torch

from spikern import (
    NEURONS,
    SURROGATES,
    Events,
    InputError,
    Readout,
    SpikingRNN,
    Training,
    build,
    compile_stream,
    count,
    load,
    record,
    summary,
    tables,
)
from spikern.layers.baseline import Baseline
from spikern.report.numbers import count as number
from spikern.train import Epoch, Evaluation, History

DIGITS = load("digits").thinned(6)
X = DIGITS.train.x
NETWORK = build("ALIF", 1, 16, 10, num_layers=2, dt=4.0)
OBJECTS = {
    "Dataset": DIGITS,
    "Split": DIGITS.train,
    "Batch": DIGITS.train.batch([0, 1]),
    "Events": Events.from_dense((X > 0.5).to(torch.uint8)),
    "Counts": count(NETWORK, X),
    "Recording": record(NETWORK.body, X),
    "Stream": compile_stream(NETWORK),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_a_line_of_facts(name):
    text = repr(OBJECTS[name])
    assert text.startswith(f"{name}(")
    assert "\n" not in text
    assert len(text) < 200
    assert OBJECTS[name]._repr_html_().startswith(f"<table><caption>{name}</caption><tr>")


EPOCHS = [Epoch(k, 0.5, 0.25 * k, None, 1.0, 0.75) for k in (1, 2)]
RECORDS = [
    EPOCHS[0],
    History(EPOCHS, 2),
    Evaluation(0.5, 1.0, [0.05], torch.zeros(3)),
    DIGITS.task,
    DIGITS.task.prediction(np.zeros((3, 10))),
    Training(),
    tables()["45nm_fp32"],
    SURROGATES["triangular"](),
    NEURONS["ALIF"],
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_a_table_in_a_notebook(record):
    html = record._repr_html_()
    assert html.startswith(f"<table><caption>{type(record).__name__}</caption>")
    assert len(html) < 1500
    assert not re.search(r" at 0x|<function|tensor\(|array\(|nan", html)


def test_a_history_has_a_row_for_each_epoch():
    html = RECORDS[1]._repr_html_()
    assert "<tr><th>best_epoch</th><td>2</td></tr>" in html
    assert html.count("<tr>") == 2 + 1 + len(EPOCHS)
    assert (
        "<tr><th>1</th><td>0.5</td><td>0.25</td><td>None</td><td>1</td><td>0.75</td></tr>" in html
    )


def test_the_facts_are_right():
    assert repr(DIGITS) == (
        "Dataset(name digits; train 6; validation 6; test 6; steps up to 64 of 4 ms; features 1; "
        "label per sequence; classes 10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"
    )
    events = int((X > 0.5).sum())
    assert f"events {events}, {events / X.numel():.2%} of" in repr(OBJECTS["Events"])
    assert "neurons 16 ALIF, 16 ALIF, 10 LI; outputs 10" in repr(OBJECTS["Stream"])


@pytest.mark.parametrize("module", [NETWORK, NETWORK.body, Baseline("GRU", 2, 8)])
def test_a_module_is_a_table_of_its_parts(module):
    html = module._repr_html_()
    parameters = sum(p.numel() for p in module.parameters())
    found = [int(cell.split("</td>")[0].replace(",", "")) for cell in html.split("<td>")[2::2]]
    assert sum(found) == parameters


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("LIF", {}),
        ("ALIF", {"bidirectional": True, "num_layers": 2, "dropout": 0.5}),
        ("ALIF", {"delay": 3, "learn_delays": True, "num_layers": 2}),
        ("RNN", {"answer": "mean"}),
        ("LSTM", {"num_layers": 2, "answer": "every_step"}),
    ],
)
def test_a_summary_has_every_parameter_and_operation_once(model, settings):
    network = build(model, 1, 12, 10, **settings).train()
    table = summary(network, X)
    assert network.training
    cells = [dict(zip(table.head, row)) for row in table.rows]
    assert sum(int(row["parameters"].replace(",", "")) for row in cells) == network.parameter_count
    counts = count(network.eval(), X)
    assert [row["layer"] for row in cells] == [layer.name for layer in counts.layers]
    hidden = counts["hidden 0"].ops
    fires = counts["hidden 0"].spiking
    rate = f"{100 * hidden.spikes / hidden.neuron_updates:.1f} %" if fires else "-"
    assert cells[0]["rate"] == rate
    for row, layer in zip(cells, counts.layers):
        done = (layer.ops.ac, layer.ops.mac, sum(layer.ops.updates.values()))
        assert [row[name] for name in ("AC", "MAC", "updates")] == [number(n / 6) for n in done]
    assert summary(network).head == table.head[:5]
    assert summary(network).rows == tuple(row[:5] for row in table.rows)
    alone = summary(network.body, X).rows
    assert alone == table.rows[: len(alone)]


def test_a_summary_is_of_any_layer():
    readout = SpikingRNN("ALIF", 3, 8, dtype=torch.float64), Readout(4, [3, 2])
    assert [repr(summary(layer)).splitlines()[0] for layer in readout] == [
        "SpikingRNN of 112 parameters",
        "Readout of 28 parameters",
    ]
    assert [row[3] for row in summary(readout[1]).rows] == ["18", "10"]
    with pytest.raises(InputError, match=r"expected a Network, .* got Linear"):
        summary(torch.nn.Linear(2, 2))
