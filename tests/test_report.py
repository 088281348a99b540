"""The report and the schema of results.json, on made-up results."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from spikern import cost, load, plot
from spikern._utils.provenance import provenance
from spikern.cost.break_even import EnergyComparison, EnergyRatio, break_even
from spikern.plot.sample import answer, verdict
from spikern.report import html, sentences
from spikern.studies.comparison import Comparison, Sample, settings_of
from spikern.studies.results import compare_models, describe, summarise

FOLDER = Path(html.__file__).parent
SCHEMA = json.loads((FOLDER / "schema.json").read_text())
PRICES = {"45nm_fp32": 1.0, "45nm_int8": 0.05, "loihi1": 6.0}


def example_model(name: str, accuracy: float, work: float, seeds: int, layers: int = 1) -> Any:
    """A model's entry, from made-up jobs whose accuracies have exactly this mean."""
    spiking = name in ("LIF", "ALIF")
    noise = np.random.default_rng(int(1e6 * accuracy)).normal(0.0, 0.004, seeds)
    random = np.random.default_rng(len(name))
    operations = {
        "ac": 0.2 * work if spiking else 0.0,
        "mac": 0.02 * work if spiking else work,
        "updates": {"mul": 9e3, "add": 7e3, "compare": 2e3}
        if spiking
        else {"tanh": 4e3, "sigmoid": 6e3, "mul": 6e3, "add": 2e3},
        "dense": work,
    }
    pj = work * (0.3 if spiking else 4.6)
    jobs = [
        {
            "name": name,
            "seed": seed,
            "kind": "spiking" if spiking else "standard",
            "engine": "fused" if spiking else "torch",
            "hidden": 94 if spiking else 42,
            "parameters": 9_984,
            "test_accuracy": float(accuracy + noise[seed] - noise.mean()),
            "rates": [work / 2e6 / (k + 1) for k in range(layers)] if spiking else [],
            "inferences": 1,
            "ops": {"hidden 0": operations},
            "energy_pj": {
                table: None if table == "loihi1" and not spiking else pj * price
                for table, price in PRICES.items()
            },
            "best_epoch": 38,
            "epochs": [
                {
                    "epoch": e,
                    "loss": 2.0 * np.exp(-e / 8),
                    "validation_accuracy": accuracy * (1 - 0.8 * np.exp(-e / 6))
                    + 0.006 * random.uniform(-1, 1),
                    "rate": 0.05 if spiking else None,
                    "seconds": 1.9,
                }
                for e in range(1, 41)
            ],
        }
        for seed in range(seeds)
    ]
    return summarise(jobs) | {
        "inference_engine": "stream" if spiking else "torch",
        "milliseconds_per_inference": 0.42 if spiking else 0.31,
    }


def example_results(
    names: tuple[str, ...] = ("LIF", "ALIF", "RNN", "GRU", "LSTM"),
    seeds: int = 3,
    every_step: bool = False,
) -> Any:
    """The content of a results.json whose models were never trained."""
    accuracy = {"LIF": 0.951, "ALIF": 0.962, "RNN": 0.931, "GRU": 0.969, "LSTM": 0.972}
    work = {"LIF": 9e4, "ALIF": 1e5, "RNN": 8e4, "GRU": 8.5e4, "LSTM": 9e4}
    models = [example_model(n, accuracy[n], work[n], seeds) for n in names]
    if every_step:
        for model in models:
            model["test_accuracy_all_steps"] = model["test_accuracy"]
    results = {
        "schema": 1,
        "dataset": describe(load("digits")) | {"every_step": every_step, "events": every_step},
        "settings": settings_of(Comparison("digits", names, seeds=seeds)),
        "models": models,
        "comparisons": compare_models(models),
        "energy": example_energy(models),
        "energy_tables": {
            t.name: {"title": t.title, "source": t.source, "not_modelled": t.not_modelled}
            for t in cost.tables().values()
            if t.name in PRICES
        },
        "provenance": provenance(361.2, workers=2),
    }
    return json.loads(json.dumps(results))


def example_energy(models: list[Any]) -> dict[str, Any]:
    """Estimates that the schema accepts, and comparisons that follow from them."""
    views = {"operations": 1.0, "registers": 3.0, "read-modify-write": 5.0}
    parts = {"synapses": 0.5, "neuron updates": 0.1, "weights": 2.0, "states": 0.4}
    pj = {
        (model["name"], table, view): value and factor * value
        for model in models
        for table, value in model["energy_pj"].items()
        for view, factor in views.items()
        if (view, table) != ("registers", "loihi1")
    }
    estimates = [
        {
            "model": model["name"],
            "table": table,
            "view": view,
            "pj": (value := pj.get((model["name"], table, view))),
            "parts": {kind: value * share for kind, share in parts.items()} if value else {},
        }
        for model, table, view in product(models, PRICES, views)
    ]
    comparisons = [
        example_comparison(a["name"], b["name"], a["rate"], estimates)
        for a, b in product(models, models)
        if (a["kind"], b["kind"]) == ("spiking", "standard")
    ]
    return {"seed": 0, "estimates": estimates, "statements": comparisons}


def example_comparison(spiking: str, twin: str, rate: float, estimates: list[Any]) -> Any:
    """One where half of the spiking network's estimate is there without any spike."""
    pj = {(e["model"], e["table"], e["view"]): e["pj"] for e in estimates}
    ratios = []
    for model, table, view in pj:
        if model == spiking:
            own, other = pj[spiking, table, view], pj[twin, table, view]
            even = break_even(rate, own, own and own / 2, other)
            ratio = other / own if own and other else None
            room, cap = even.rate and even.rate / rate, ratio and 2 * ratio
            ratios.append(EnergyRatio(table, view, own, other, ratio, even, room, cap))
    return EnergyComparison(spiking, twin, rate, 4.2, tuple(ratios)).as_dict()


def example_sample(every_step: bool = False, features: int = 4) -> Sample:
    random = np.random.default_rng(0)
    steps = 80
    readout = np.cumsum(random.normal(0, 0.1, (steps, 6)), 0)
    label: Any = np.repeat([0, 1, 2, 3, 4, 5, -100, 0], 10) if every_step else 2
    x = random.normal(size=(steps, features))
    return Sample(
        model="ALIF",
        x=np.sign(x) * (np.abs(x) > 1.5) if every_step else x,
        hidden=[(random.random((steps, 94)) < 0.05).astype(np.float32)],
        readout=readout,
        label=label,
        class_names=("P", "PQ", "QR", "RS", "ST", "TP"),
        steps=75,
    )


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_schema_takes_an_example(seeds: int) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(example_results(seeds=seeds), SCHEMA)
    jsonschema.validate(example_results(("LIF",), every_step=True), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 2),
        (("dataset", "train"), -1),
        (("dataset", "extra"), 1),
        (("models", 0, "kind"), "quantum"),
        (("models", 0, "test_accuracy", "mean"), 96.2),
        (("models", 0, "energy_pj", "45nm_fp32"), "cheap"),
        (("models", 0, "ops_per_inference", "ac"), -1),
        (("models", 0, "history", 0, "epochs"), []),
        (("comparisons", 0, "accuracy_difference", "ci95"), [0.1]),
        (("energy", "estimates", 0, "view"), "optimistic"),
        (("energy", "estimates", 0, "pj"), -1.0),
        (("energy", "statements", 0, "lines", 0, "break_even"), 0.3),
        (("provenance", "threads"), 0),
    ],
)
def test_the_schema_rejects_a_broken_one(path: tuple[Any, ...], value: object) -> None:
    broken = example_results()
    parent = broken
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError) as error:
        jsonschema.validate(broken, SCHEMA)
    place = tuple(error.value.absolute_path)
    assert place == (path[:-1] if path[-1] == "extra" else path)


def test_every_field_of_the_schema_is_described() -> None:
    def described(node: Any) -> bool:
        return "description" in node or "description" in SCHEMA["$defs"].get(
            node.get("$ref", "").rpartition("/")[2], {}
        )

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for name, field in node.get("properties", {}).items():
                assert described(field), name
            for child in node.values():
                walk(child)
        if isinstance(node, list):
            for child in node:
                walk(child)

    walk(SCHEMA)


@pytest.mark.parametrize(
    ("names", "seeds", "every_step"),
    [
        (("LIF", "ALIF", "RNN", "GRU", "LSTM"), 3, False),
        (("LIF", "ALIF", "RNN", "GRU", "LSTM"), 3, True),
        (("LIF", "LSTM"), 1, False),
        (("LIF", "GRU"), 2, False),
        (("LIF",), 1, True),
        (("RNN", "LSTM"), 2, False),
    ],
)
def test_the_page_is_complete_and_self_contained(
    names: tuple[str, ...], seeds: int, every_step: bool, tmp_path: Path
) -> None:
    sample = example_sample(every_step) if "LIF" in names else None
    html.write_html(example_results(names, seeds, every_step), sample, tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    text = (tmp_path / "report.html").read_text()
    targets = re.findall(r"(?:src|href|srcset)\s*=\s*[\"']?([^\"'\s>]*)", text, flags=re.IGNORECASE)
    ids = re.findall(r"\sid\s*=\s*[\"']?([^\"'\s>]*)", text, flags=re.IGNORECASE)
    assert [t for t in targets if not t.startswith(("#", "data:image/png;base64,"))] == [
        "results.json"
    ]
    assert len(set(ids)) == len(ids)
    assert not re.search(r"<(script|link|iframe)\b", text, flags=re.IGNORECASE)
    assert not re.search(r"url\((?!#)|@import", text)
    assert {t[1:] for t in targets if t.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)
    assert "<?xml" not in text
    assert text.count('role="img"') == text.count("<svg ")
    for name in names:
        assert f">{name} <small>" in text
    assert "estimate" in text


def test_text_from_outside_is_escaped() -> None:
    results = example_results()
    results["dataset"]["title"] = "<script>alert(1)</script>"
    results["models"][0]["name"] = "A<b>&"
    results["comparisons"][0]["model"] = "A<b>&"
    text = html.render(results, example_sample())
    assert "<script" not in text
    assert "A<b>" not in text


def test_the_style_sheet_has_the_colours_of_the_figures() -> None:
    light, dark = (FOLDER / "style.css").read_text().split("@media", 1)
    for name, colour in plot.COLOURS.items():
        assert f"--{name}: {colour};" in light
        assert f"--{name}: " in dark


def test_the_headline_says_what_the_numbers_say() -> None:
    accuracy, energy, memory, _ = sentences.headline(example_results())
    assert accuracy.startswith("ALIF, the most accurate spiking network here, classifies 96.2%")
    assert "1.0 percentage points fewer than the LSTM (95% interval over 3 seeds: -" in accuracy
    assert energy.startswith("For operations alone its energy estimate is 14 times lower")
    assert memory.startswith("With memory traffic")
    assert "is 14 times lower" in memory


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((2.0, 8.0), "2 – 8 times lower"),
        ((0.5, 0.25), "2 – 4 times higher"),
        ((0.5, 4.0), "from 2 times higher to 4 times lower"),
        ((None, None), "No table prices both"),
    ],
)
def test_a_ratio_against_spiking_networks_is_said_as_plainly(ratios: Any, expected: str) -> None:
    tables = {"a": {"title": "A"}, "b": {"title": "B"}}
    assert expected in sentences.operations(dict(zip("ab", ratios)), "LSTM", tables)


def test_one_seed_has_no_interval() -> None:
    accuracy, *_ = sentences.headline(example_results(seeds=1))
    assert "one seed" in accuracy
    assert "±" not in html.render(example_results(seeds=1), None)


def test_nothing_priced_means_no_energy_figure() -> None:
    results = example_results(("LIF",))
    for model in results["models"]:
        model["energy_pj"] = dict.fromkeys(model["energy_pj"])
    results["energy"] = example_energy(results["models"])
    assert "no energy estimate" in sentences.headline(results)[0]
    text = html.render(results, None)
    assert "<h2>Accuracy against energy" not in text
    assert "<h2>Energy estimates" not in text


def test_the_energy_section_names_its_tables_and_both_sides() -> None:
    text = html.render(example_results(), None)
    section = text.split("<h2>Energy estimates")[1].split("</section>")[0]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", section, flags=re.DOTALL)
    assert len(captions) == 3
    for caption in captions:
        assert "stimate" in caption
        assert "45nm" in caption or "45 nm" in caption
    assert "the spiking network needs less, left of it\nmore" in section
    # a row a table, a column a model; nothing is called zero
    table = section.split("<h3>Operations alone, by table")[1]
    assert len(re.findall(r"<tr>", table)) == 1 + len(PRICES)
    assert table.count("<td>") == 5 * len(PRICES)
    assert table.count("no estimate") == 3


def test_the_page_says_so_where_memory_turns_the_ratio() -> None:
    """A ratio below 1x shows in the headline, the table and the break-even column."""
    results = example_results(("LIF", "LSTM"))
    (comparison,) = results["energy"]["statements"]
    for line in comparison["lines"]:
        if line["view"] == "read-modify-write" and line["ratio"] is not None:
            line["twin_pj"] = 0.8 * line["spiking_pj"]
            line["ratio"], line["cap"] = 0.8, 1.6
            line["break_even"] = {"rate": 0.03, "why": ""}
    _, _, memory, _ = sentences.headline(results)
    assert "from 1.2 times higher to 15 times lower" in memory
    row = html.comparison_row(comparison)
    assert row["memory"] == "0.8× – 15×"
    assert row["lowest_break_even"] == "3.0%"


@pytest.mark.parametrize(("rule", "expected"), [("last", 1), ("mean", 0)])
def test_the_sample_is_answered_as_the_network_answers(rule: str, expected: int) -> None:
    readout = np.array([[9.0, 0.0], [0.0, 1.0], [9.0, 0.0]])
    sample = Sample("LIF", np.zeros((3, 1)), [np.zeros((3, 2))], readout, 1, ("a", "b"), steps=2)
    assert answer(sample, rule) == expected
    assert ("correct" in verdict(sample, rule)) == (expected == 1)


@pytest.mark.parametrize("features", [1, 4])
def test_every_kind_of_input_is_drawn(features: int) -> None:
    assert "One test sample in ALIF" in html.render(
        example_results(), example_sample(features=features)
    )
