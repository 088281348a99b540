"""Files that version 0.1.0 wrote still load, and say what they said."""

import json
import shutil
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from spikern import (
    DataError,
    InputError,
    build,
    compile_stream,
    load,
    load_network,
    load_stream,
)
from spikern.__main__ import main
from spikern._utils import tensor_file
from spikern.studies import Comparison, compare
from spikern.studies.finished import open_run
from spikern.train import recipe

OLD = Path(__file__).parent / "data" / "v0.1.0"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture
def batch():
    """The first three test digits."""
    return load("digits").test.batch(torch.arange(3))


@pytest.mark.parametrize("model", ["ALIF", "LSTM"])
def test_a_checkpoint_gives_its_network(model, batch):
    network = load_network(OLD, model)
    with torch.no_grad():
        logits = network(batch.x, lengths=batch.lengths)[0]
    # Another processor may sum in another order.
    assert logits.numpy() == pytest.approx(np.array(EXPECTED["logits"][model]), abs=1e-4)


def test_a_stream_file_gives_its_stream(batch):
    run = load_stream(OLD / "ALIF.stream").run(batch.x.numpy(), lengths=batch.lengths.numpy())
    assert run.out[-1] == pytest.approx(np.array(EXPECTED["ALIF.stream"]), abs=1e-4)


@pytest.mark.usefixtures("plain_python")
def test_a_stream_file_with_delays_gives_its_stream():
    x = 10 * np.random.default_rng(0).random((12, 2, 3), dtype=np.float32)
    run = load_stream(OLD / "delays.stream").run(x)
    assert run.out[-1] == pytest.approx(np.array(EXPECTED["delays.stream"]), abs=1e-4)


def test_a_list_of_synapses_under_its_old_name_is_read(tmp_path):
    network, path = build("LIF", 2, 40, 3, recurrent="diagonal"), tmp_path / "stream"
    compile_stream(network).save(path)
    arrays, header = tensor_file.read(path)
    assert "0.synapses" in arrays
    old = {name.replace(".synapses", ".links"): array for name, array in arrays.items()}
    tensor_file.write(path, old, header)
    x = np.ones((5, 1, 2), np.float32)
    assert np.array_equal(load_stream(path).run(x).out, compile_stream(network).run(x).out)
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    old = {f"best.{name.replace('.synapses', '.links')}": t for name, t in tensors.items()}
    assert "best.body.links_hh_l0" in old
    tensor_file.write(path, old, {"format": "1"})
    assert tensor_file.read(path)[0].keys() == {f"best.{name}" for name in tensors}


def test_results_follow_the_schema():
    schema = json.loads((resources.files("spikern") / "report" / "schema.json").read_text())
    jsonschema.validate(json.loads((OLD / "results.json").read_text()), schema)


def test_a_finished_run_is_counted(tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    main(["count", str(folder), "--json"])
    counted = json.loads(capsys.readouterr().out)
    results = json.loads((OLD / "results.json").read_text())
    for entry, model in zip(counted["models"], results["models"], strict=True):
        per_inference = entry["counts"]["total"]["ac"] / entry["counts"]["inferences"]
        assert per_inference == pytest.approx(model["ops_per_inference"]["ac"])


def test_a_run_of_today_is_the_run_of_then(tmp_path):
    """The same settings give the same network, whatever has moved since."""
    comparison = open_run(OLD).comparison
    results = compare(comparison, tmp_path / "run").results
    old = json.loads((OLD / "results.json").read_text())
    for new, then in zip(results["models"], old["models"], strict=True):
        assert new["test_accuracy"]["mean"] == pytest.approx(
            then["test_accuracy"]["mean"], abs=0.02
        )
        assert new["ops_by_layer"] is not None
        assert [e["loss"] for e in new["history"][0]["epochs"]] == pytest.approx(
            [e["loss"] for e in then["history"][0]["epochs"]], rel=1e-3
        )
    assert comparison == Comparison(
        "digits", ("ALIF", "LSTM"), recipe("digits").changed(epochs=2), hidden=6, seeds=1
    )


def test_what_is_no_trained_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="no model of the run 'LIF'"):
        load_network(OLD, "LIF")
    with pytest.raises(InputError, match="name one: ALIF, LSTM"):
        load_network(OLD)
    with pytest.raises(DataError, match="no trained network of seed 7"):
        load_network(OLD, "ALIF", seed=7)
    with pytest.raises(DataError, match="no checkpoint"):
        load_network(tmp_path / "ALIF-0.safetensors")
    alone = tmp_path / "ALIF-0.safetensors"
    shutil.copy(OLD / "jobs" / "ALIF-0.safetensors", alone)
    with pytest.raises(DataError, match="does not say how its network is built"):
        load_network(alone)
