"""`spikern count` and `spikern tables` on a small trained run, and every refusal."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from spikern.__main__ import main
from spikern._utils.errors import InputError
from spikern.cost.break_even import COMPARED, compare_energy
from spikern.cost.estimates import VIEWS, energy
from spikern.cost.prices import tables
from spikern.report import terminal
from spikern.report.numbers import aligned_count
from spikern.studies import finished
from spikern.studies.finished import count_run, open_run, times, trained
from spikern.timing.inference import measure
from spikern.train.trial import count_split

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ("--models", "LIF", "RNN", "LSTM", "--seeds", "1", "--epochs", "1", "--hidden", "6")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small comparison, run once."""
    out = tmp_path_factory.mktemp("count") / "digits"
    main(["compare", "digits", *QUICK, "--workers", "1", "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def counted(folder):
    """The content of its count.json, written once by the command."""
    main(["count", str(folder)])
    return json.loads((folder / "count.json").read_text())


@pytest.fixture(scope="module")
def run(folder):
    return open_run(folder)


@pytest.fixture
def models(run):
    """The trained networks of the run by name."""
    return {name: trained(run, name) for name in run.models}


def test_counts_are_those_of_the_trained_networks(counted, run, models):
    """Every total equals that of a network that is reloaded and counted here."""
    assert [m["name"] for m in counted["models"]] == ["LIF", "RNN", "LSTM"]
    for entry in counted["models"]:
        own = count_split(models[entry["name"]].network, run.dataset)
        ops, counts = own.ops, entry["counts"]
        assert counts["inferences"] == own.inferences == len(run.dataset.test)
        assert (counts["total"]["ac"], counts["total"]["mac"]) == (ops.ac, ops.mac)
        assert counts["total"]["updates"] == ops.updates
        assert sum(layer["dense"] for layer in counts["layers"]) == ops.dense
        connections = [c for layer in counts["layers"] for c in layer["connections"]]
        assert sum(c["ac"] for c in connections) == ops.ac
        assert sum(c["mac"] for c in connections) == ops.mac
        assert [c["kind"] for c in connections] == ["input", "recurrent", "readout"]
        assert counts["synaptic_events"] == own.synaptic_events()


def test_every_table_and_view_is_there_with_its_parts(counted, models):
    places = {(e["model"], e["table"], e["view"]) for e in counted["estimates"]}
    assert places == {(m, t, v) for m in models for t in tables() for v in VIEWS}
    for e in counted["estimates"]:
        own = energy(models[e["model"]].counts, tables()[e["table"]], e["view"])
        assert e["pj"] == (None if own is None else own.pj)
        # the parts are the whole, but for the order in which floats are added
        assert sum(e["parts"].values()) == pytest.approx(e["pj"] or 0.0, rel=1e-12)


def test_memory_is_under_both_bounds_and_the_second_moves_more(counted):
    spiking, *standards = counted["models"]
    rows = {(r["bound"], r["weight_bits"], r["state_bits"]): r for r in spiking["memory"]}
    assert {bound for bound, _, _ in rows} == {"registers", "read-modify-write"}
    assert len(rows) == 2 * 3
    least, most = rows["registers", 32, 32], rows["read-modify-write", 32, 32]
    assert most["bytes"]["states"] > least["bytes"]["states"]
    assert most["bytes"]["weights"] == least["bytes"]["weights"]
    for entry in standards:
        by_bound = [r["bytes"] for r in entry["memory"] if r["weight_bits"] == 32]
        assert by_bound[0] == by_bound[1]


def test_comparisons_are_those_of_the_trained_networks(counted, models):
    pairs = [("LIF", "RNN"), ("LIF", "LSTM")]
    own = [
        compare_energy(models[a].counts, models[b].counts, tables(), names=(a, b)).as_dict()
        for a, b in pairs
    ]
    assert counted["statements"] == json.loads(json.dumps(own))
    assert {line["view"] for line in counted["statements"][1]["lines"]} == set(COMPARED)


def test_int8_twins_are_measured_on_the_test_split(counted):
    measured = [(row["model"], row["scheme"].split(",")[0]) for row in counted["int8"]["measured"]]
    assert ("LIF", "weight-only int8") in measured
    assert ("LSTM", "dynamic int8") in measured
    assert ("RNN", "dynamic int8") not in measured
    assert "does not quantise RNN" in counted["int8"]["missing"]["RNN"]
    floats = {m["name"]: m["test_accuracy"] for m in counted["models"]}
    for row in counted["int8"]["measured"]:
        assert row["float_accuracy"] == floats[row["model"]]
    assert {e["table"] for e in counted["int8"]["estimates"]} == {"45nm_int8"}


def test_a_full_network_prunes_nothing_and_says_so(counted):
    assert [row["density"] for row in counted["pruned"]] == [1.0, 1.0]
    assert counted["pruned"][0]["why"] == "LIF is fully connected, so nothing is pruned"


def test_a_sparse_network_gets_a_twin_as_sparse(run, models):
    spiking, standard = models["LIF"], models["LSTM"]
    with torch.no_grad():
        spiking.network.body.weight_hh_l0[:, ::2] = 0.0
    sparse = spiking._replace(counts=count_split(spiking.network, run.dataset))
    row = finished.as_sparse(sparse, standard, run, tables())
    # 6 + 36 + 60 weights, 18 of them zero; the LSTM has 24 + 144 + 60
    assert row["density"] == (102 - 18) / 102
    assert 0.0 <= row["test_accuracy"] <= 1.0
    assert row["statement"]["twin"] == "LSTM, pruned"
    full = compare_energy(sparse.counts, standard.counts, tables()).ratios
    operations = [
        (a["twin_pj"], b.twin_pj)
        for a, b in zip(row["statement"]["lines"], full)
        if b.view == "operations" and b.twin_pj is not None
    ]
    assert operations
    assert all(a < b for a, b in operations)
    assert "82.4% of the weights kept" in terminal.pruned(row)


def test_equal_accuracy_names_who_is_as_good(models):
    spiking, *standards = [
        m._replace(result=m.result | {"test_accuracy": accuracy})
        for m, accuracy in zip(models.values(), (0.8, 0.79, 0.8))
    ]
    row = finished.as_accurate(spiking, standards)
    assert row["reached_by"] == ["LSTM"]


@pytest.mark.parametrize(("target", "reached"), [(0.0, 3), (1.0, None)])
def test_the_search_for_a_size(run, models, target, reached):
    spiking, standard = models["LIF"], models["LSTM"]
    spiking = spiking._replace(result=spiking.result | {"validation_accuracy": target})
    search = finished.search(spiking, standard, run)
    row = finished.as_small(spiking, standard, search, run, tables())
    assert [trial["hidden"] for trial in row["trials"]] == ([3] if reached else [3, 6])
    assert row["reached"] == reached
    assert (row["statement"] is None) == (reached is None)
    assert ("not reached" in terminal.smallest_twin(row)) == (reached is None)


def test_the_search_is_among_networks_of_as_many_layers(run, models, monkeypatch):
    asked = []
    monkeypatch.setattr(finished, "search_size", lambda job, *rest: asked.append(job))
    deep = run._replace(comparison=replace(run.comparison, layers=2))
    finished.search(models["LIF"], models["LSTM"], deep)
    assert asked[0].architecture.layers == 2


def test_the_text_has_every_part(counted, folder):
    text = (folder / "count.txt").read_text()
    for title in (
        "LIF: spiking", "Energy estimates of one inference", "LIF against LSTM", "Fair twins",
        "Energy tables", "lemaire 2022", "read-modify-write, 8/16",
        "hidden 0 to hidden 0", "total per step",
    ):  # fmt: skip
        assert title in text
    assert terminal.count_report(counted) == text
    for name, table in counted["tables"].items():
        assert f"{name}: {table['title']}" in text
        assert table["not_modelled"] in text


def test_ten_lines_are_printed_and_the_rest_on_request(folder, counted, capsys):
    main(["count", str(folder)])
    summary = capsys.readouterr().out
    assert summary == terminal.count_summary(counted)
    assert summary.count("\n") <= 10
    for model in counted["models"]:
        per_inference = model["counts"]["total"]["mac"] / model["counts"]["inferences"]
        assert re.search(rf"{model['name']} .*{aligned_count(per_inference)}", summary)
    assert f"LSTM over LIF, all tables and views: {ratio_of(counted)}" in summary
    main(["count", str(folder), "--full"])
    assert capsys.readouterr().out == (folder / "count.txt").read_text()


def ratio_of(counted):
    (lstm,) = (c for c in counted["statements"] if c["twin"] == "LSTM")
    return terminal.ratio_interval(lstm)


def test_one_checkpoint_against_one_model(folder, counted, capsys):
    before = (folder / "count.json").read_text()
    main(["count", str(folder / "jobs" / "LIF-0.safetensors"), "--against", "LSTM", "--json"])
    results = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in results["models"]] == ["LIF", "LSTM"]
    assert results == json.loads((folder / "count-LIF-0.json").read_text())
    assert (folder / "count.json").read_text() == before


def test_a_standard_checkpoint_alone_is_counted(folder, capsys):
    main(["count", str(folder / "jobs" / "LSTM-0.safetensors"), "--json"])
    results = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in results["models"]] == ["LSTM"]
    assert results["statements"] == []
    assert "Fair twins" in terminal.count_report(results)


def test_measured_times_and_why_there_are_no_joules(run, models, monkeypatch, tmp_path):
    entered = []

    def quick(contestants, split, sizes):
        entered.extend(contestants)
        some = [c for c in contestants if c.name != "RNN"]
        return measure(some, split, sizes=(1,), repeats=1, root=tmp_path)

    monkeypatch.setattr("spikern.studies.finished.measure", quick)
    monkeypatch.setattr("spikern.timing.runtimes.COMPILERS", ())  # compiling takes half a minute
    results = times(run, [models["LIF"]], [models["RNN"], models["LSTM"]], [])
    assert [c.equal for c in entered] == ["", "width", "width"]
    text = "\n".join(terminal.measured_times(results))
    for part in ("spikern stream", "ONNX Runtime int8", "not measured on this machine"):
        assert part in text


@pytest.mark.parametrize(
    ("models", "wanted", "message"),
    [
        (("LSTM",), {"measured": True}, "times are measured beside a spiking network"),
        (("LSTM",), {"smallest": True}, "count the folder of a run that has both"),
        (("LIF",), {"smallest": True}, "count the folder of a run that has both"),
    ],
)
def test_what_needs_both_kinds_is_refused_before_anything_is_counted(run, models, wanted, message):
    with pytest.raises(InputError, match=message):
        count_run(run._replace(models=models), {}, **wanted)


def test_tables_are_listed_with_those_of_a_folder(tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(OWN)
    main(["tables", "--folder", str(tmp_path)])
    text = capsys.readouterr().out
    for table in tables(tmp_path).values():
        assert f"{table.name}: {table.title}" in text
        assert f"{table.node}, {table.precision}" in text
        assert table.source in text
        assert table.not_modelled in text


OWN = """title = "mine"
source = "a guess"
node = "none"
precision = "none"
not_modelled = "everything"
updates = "by operation"
[pj]
ac = 1.0
"""


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("spikern: ")]) == 1
    return lines[-1]


def test_what_is_no_finished_run_is_refused(folder, tmp_path, capsys):
    stray = tmp_path / "LIF-0.safetensors"
    assert f"no comparison in {tmp_path}; give" in refused(capsys, "count", tmp_path)
    assert "no checkpoint" in refused(capsys, "count", stray)
    shutil.copy(folder / "jobs" / stray.name, stray)
    assert "is not a checkpoint of a comparison" in refused(capsys, "count", stray)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("jobs/LSTM-0.json", None, "LSTM-0.json is missing"),
        ("jobs/LIF-0.safetensors", "nothing", "cannot read the checkpoint"),
        ("settings.json", '{"models": ["LIF"]}', "is not that of a comparison"),
        ("settings.json", "{", "settings.json: Expecting"),
    ],
)
def test_a_damaged_run_is_refused(folder, tmp_path, file, content, message, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("count*"))
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_text(content)
    assert message in refused(capsys, "count", copy)
    assert not list(copy.glob("count*"))


def test_a_network_of_another_job_is_not_counted(folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("count*"))
    shutil.copy(copy / "jobs" / "LSTM-0.safetensors", copy / "jobs" / "LIF-0.safetensors")
    said = refused(capsys, "count", copy)
    assert "LIF-0.safetensors is not the network of the result beside it: expected LIF of" in said


@pytest.mark.parametrize(
    ("path", "option", "value", "message"),
    [
        (".", "--against", "GRU", "no model of the run 'GRU'"),
        (".", "--against", "LIF", "name a standard one"),
        (".", "--seed", "3", "has the seeds 0 to 0"),
        (".", "--tables", "/nowhere", "no folder /nowhere"),
        ("jobs/LIF-0.safetensors", "--seed", "1", "is of seed 0, got seed 1; leave it out"),
    ],
)
def test_what_does_not_exist_is_refused(folder, path, option, value, message, capsys):
    assert message in refused(capsys, "count", folder / path, option, value)


def test_a_bad_table_is_refused_with_its_line(folder, tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(OWN.replace("ac = 1.0", "ac = -1.0"))
    for command in (("count", folder, "--tables"), ("tables", "--folder")):
        assert "mine.toml, line 8: ac must be" in refused(capsys, *command, tmp_path)
