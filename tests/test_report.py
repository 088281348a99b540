"""The report and the schema of results.json, on a real run."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from matplotlib.figure import Figure

from spikern import plot
from spikern.plot.sample import answer, verdict
from spikern.plot.style import DARK
from spikern.report import html, sentences, terminal
from spikern.report.glossary import WORDS, anchor
from spikern.studies.results import compare_models
from spikern.studies.samples import Sample
from spikern.studies.statistics import summary

FOLDER = Path(html.__file__).parent
SCHEMA = json.loads((FOLDER / "schema.json").read_text())
REAL = json.loads(Path(__file__).parents[1].joinpath("experiments/digits/results.json").read_text())


def example_results(
    names: tuple[str, ...] = ("LIF", "ALIF", "RNN", "GRU", "LSTM"),
    seeds: int = 3,
    every_step: bool = False,
) -> Any:
    """The committed comparison on digits, as if it had had fewer models and seeds."""
    results = copy.deepcopy(REAL)
    models = [m for m in results["models"] if m["name"] in names]
    for model in models:
        reached = model["test_accuracy"]["per_seed"][:seeds]
        model["test_accuracy"] = {"per_seed": reached, **summary(reached)}
        model["seeds"], model["history"] = model["seeds"][:seeds], model["history"][:seeds]
        if every_step:
            model["test_accuracy_all_steps"] = model["test_accuracy"]
    results["dataset"] |= {"every_step": every_step, "events": every_step}
    energy = results["energy"]
    energy["estimates"] = [e for e in energy["estimates"] if e["model"] in names]
    energy["statements"] = [
        c for c in energy["statements"] if {c["spiking"], c["twin"]} <= set(names)
    ]
    results |= {"models": models, "comparisons": compare_models(models)}
    results["answers"]["model"] = names[-1]
    return json.loads(json.dumps(results))


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
        (("schema",), 3),
        (("logistic_regression", "test_accuracy"), 96.2),
        (("answers", "confusion", 0, 0), -1),
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
    samples = [example_sample(every_step)] * 2 if "LIF" in names else []
    html.write_html(example_results(names, seeds, every_step), samples, tmp_path / "report.html")
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
    text = html.render(results, [example_sample()])
    assert "<script" not in text
    assert "A<b>" not in text


def test_the_style_sheet_has_the_colours_of_the_figures() -> None:
    light, dark = (FOLDER / "style.css").read_text().split("@media", 1)
    for name, colour in plot.COLOURS.items():
        assert f"--{name}: {colour};" in light
        assert f"--{name}: {DARK[name]};" in dark


def of_numbers(results: Any) -> list[str]:
    """The headline without its caveats."""
    return sentences.headline(results)[len(list(sentences.caveats(results))) :]


def test_the_headline_says_what_the_numbers_say() -> None:
    accuracy, standard, energy, memory, time = of_numbers(example_results())
    assert accuracy.startswith("ALIF, the spiking network that is best on validation, classifies")
    assert "5.5 percentage points fewer than the LSTM (95% interval over 3 seeds: -" in accuracy
    assert standard.startswith("GRU, the standard network that is best on validation, classifies")
    assert standard.endswith("97.2% of the test samples correctly.")
    assert energy.startswith(
        "For operations alone its energy estimate, mean over seeds, is 13 – 19 times lower"
    )
    assert memory.startswith("With memory traffic")
    assert "of seed 0 is 2.5 – 9.4 times lower" in memory
    assert "in spikern stream for ALIF" in time
    assert "in ONNX Runtime fp32 for the LSTM" in time


def old(results: Any) -> Any:
    """As version 1 of the format has it."""
    del results["logistic_regression"], results["answers"]
    return results | {"schema": 1}


def test_times_of_an_old_file_are_left_out() -> None:
    """They were those of torch, which is not the fastest runtime."""
    results = old(example_results())
    jsonschema.validate(results, SCHEMA)
    assert len(of_numbers(results)) == 4
    assert "Runtime fp32" not in html.render(results, [])
    assert "time" not in terminal.table(results).splitlines()[0]


def test_the_best_is_chosen_on_validation() -> None:
    results = example_results()
    lif, alif = results["models"][:2]
    alif["test_accuracy"]["mean"], lif["test_accuracy"]["mean"] = 0.5, 0.99
    assert of_numbers(results)[0].startswith("ALIF, ")
    for run in lif["history"]:
        run["epochs"][run["best_epoch"] - 1]["validation_accuracy"] = 1.0
    assert of_numbers(results)[0].startswith("LIF, ")


def below_a_line(results: Any) -> None:
    results["logistic_regression"]["test_accuracy"] = 0.95
    for model in results["models"]:
        model["test_accuracy"]["mean"] = 0.94 if model["name"] in ("LIF", "GRU") else 0.96


def below_guessing(results: Any) -> None:
    results["dataset"]["majority_accuracy"] = 0.99
    results["logistic_regression"]["test_accuracy"] = 0.1


def of_equal_width(results: Any) -> None:
    results["settings"]["match_parameters"] = None
    results["models"][0]["parameters"] = 188


def short(results: Any) -> None:
    results["settings"]["spiking_epochs"] = 7


def stopped(results: Any) -> None:
    """One seed was stopped by its patience, and one earlier than it."""
    for run, epochs in zip(results["models"][1]["history"], (7, 5)):
        run["epochs"] = run["epochs"][:epochs]
        run["best_epoch"] = epochs


def unended(results: Any) -> None:
    for run in results["models"][2]["history"]:
        for epoch in run["epochs"]:
            epoch["validation_accuracy"] = epoch["epoch"] / 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (below_a_line, "logistic regression, which has no recurrence (95.0%): LIF, GRU."),
        (below_guessing, "majority class, which has no recurrence (99.0%): LIF, ALIF, RNN"),
        (of_equal_width, "equal width, not equal parameters: 188 (LIF) to 20,"),
        (short, "A quick look: 7 – 60 epochs of training instead of 40 – 60"),
        (unended, "Still rising when training stopped, so not judged fairly: RNN."),
    ],
)
def test_what_speaks_against_the_numbers_comes_first(change: Any, said: str) -> None:
    results = example_results()
    for model in results["models"]:
        model["test_accuracy"]["mean"] = 0.97
        for run in model["history"]:
            for epoch in run["epochs"]:
                epoch["validation_accuracy"] = 0.9
    assert list(sentences.caveats(results)) == []
    change(results)
    assert any(said in sentence for sentence in sentences.caveats(results))
    assert sentences.headline(results)[0] in list(sentences.caveats(results))
    text = " ".join(terminal.table(results).split())
    assert 0 <= text.index(said) < text.index("model accuracy")


def test_every_word_of_a_table_leads_to_the_glossary() -> None:
    text = html.render(example_results(), [])
    links = re.findall(r'class="word" href="#(.*?)"', text)
    assert {anchor(word) for word in WORDS} > set(links)
    assert len(set(links)) > 9
    assert len(WORDS) >= 12


def test_the_contents_name_every_section() -> None:
    text = html.render(example_results(), [example_sample()] * 2)
    (contents,) = re.findall(r"<nav.*?</nav>", text, flags=re.DOTALL)
    assert re.findall(r'href="#(.*?)"', contents) == re.findall(r'<section[^>]* id="(.*?)"', text)
    assert text.count("<section") == text.count("<section id") + text.count(
        '<section class="prose" id'
    )


def test_numbers_of_one_seed_are_told_from_means() -> None:
    text = html.render(example_results(), [example_sample()] * 2)
    assert "<h2>Energy estimates, networks of seed 0</h2>" in text
    assert "by table, mean over seeds</h3>" in text
    assert re.search(r"<h2>Right and wrong answers of LSTM, seed 0</h2>", text)
    assert "seed 0, on the fastest" in " ".join(terminal.table(example_results()).split())


@pytest.mark.parametrize(("names", "there"), [(("LIF", "GRU"), 0), (("LIF", "LSTM"), 2)])
def test_the_table_compares_with_an_lstm_that_is_there(names: tuple[str, str], there: int) -> None:
    text = " ".join(terminal.table(example_results(names)).split())
    assert text.count("vs LSTM") == there


def test_a_confusion_matrix_shows_every_count() -> None:
    axis = plot.confusion([[3, 1], [0, 7]], ["no", "yes"], axis=Figure().add_subplot())
    assert [text.get_text() for text in axis.texts] == ["3", "1", "7"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["no", "yes"]
    assert np.asarray(axis.images[0].get_array()).tolist() == [[0.75, 0.25], [0.0, 1.0]]


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
    accuracy, *_ = of_numbers(example_results(seeds=1))
    assert "one seed" in accuracy
    assert "±" not in html.render(example_results(seeds=1), []).split('id="glossary"')[0]


def test_nothing_priced_means_no_energy_figure() -> None:
    """Loihi's table has no price for the analog input."""
    results = example_results(("LIF",))
    for model in results["models"]:
        model["energy_pj"] = dict.fromkeys(model["energy_pj"])
    estimates = results["energy"]["estimates"]
    results["energy"]["estimates"] = [e for e in estimates if e["table"] == "loihi1"]
    assert "no energy estimate" in of_numbers(results)[0]
    text = html.render(results, [])
    assert "<h2>Accuracy against energy" not in text
    assert "<h2>Energy estimates" not in text


def test_the_energy_section_names_its_tables_and_both_sides() -> None:
    results = example_results()
    text = html.render(results, [])
    section = text.split("<h2>Energy estimates")[1].split("</section>")[0]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", section, flags=re.DOTALL)
    assert len(captions) == 3
    for caption in captions:
        assert "stimate" in caption
        assert "45nm" in caption or "45 nm" in caption
    assert "the spiking network needs less, left of it\nmore" in section
    # a row a table, a column a model; nothing is called zero
    table = section.split("<h3>Operations alone, by table")[1]
    energies = [pj for model in results["models"] for pj in model["energy_pj"].values()]
    assert len(re.findall(r"<tr>", table)) == 1 + len(energies) // 5
    assert table.count("<td>") == len(energies)
    assert table.count("no estimate") == energies.count(None) > 0


def test_the_page_says_so_where_memory_turns_the_ratio() -> None:
    """A ratio below 1x shows in the headline, the table and the break-even column."""
    results = example_results(("LIF", "LSTM"))
    (comparison,) = results["energy"]["statements"]
    for line in comparison["lines"]:
        if line["view"] == "read-modify-write" and line["ratio"] is not None:
            line["twin_pj"] = 0.8 * line["spiking_pj"]
            line["ratio"], line["cap"] = 0.8, 1.6
            line["break_even"] = {"rate": 0.03, "why": ""}
    _, _, memory, _ = of_numbers(results)
    assert "from 1.2 times higher to 11 times lower" in memory
    row = html.comparison_row(comparison)
    assert row["memory"] == "0.8× – 11×"
    assert row["lowest_break_even"] == "3.0%"
    priced = next(line for line in comparison["lines"] if line["ratio"] is not None)
    priced |= {"cap": 0.9, "break_even": {"rate": None, "why": "at no rate"}}
    assert html.comparison_row(comparison)["lowest_break_even"] == "none"


@pytest.mark.parametrize(("rule", "expected"), [("last", 1), ("mean", 0)])
def test_the_sample_is_answered_as_the_network_answers(rule: str, expected: int) -> None:
    readout = np.array([[9.0, 0.0], [0.0, 1.0], [9.0, 0.0]])
    sample = Sample("LIF", np.zeros((3, 1)), [np.zeros((3, 2))], readout, 1, ("a", "b"), steps=2)
    assert answer(sample, rule) == expected
    assert ("correct" in verdict(sample, rule)) == (expected == 1)


@pytest.mark.parametrize("features", [1, 4])
def test_every_kind_of_input_is_drawn(features: int) -> None:
    text = html.render(example_results(), [example_sample(features=features)])
    assert "Input, spikes and readout of ALIF" in text


def test_a_tie_is_called_one() -> None:
    results = example_results()
    spiking, other = results["models"][1], results["models"][-1]
    for mean in (0.0, 0.0003, -0.0003):
        comparison = {"accuracy_difference": {"mean": mean, "ci95": None}}
        said = sentences.accuracy(spiking, other, comparison, results)
        assert "correctly, as many as the LSTM; with one seed" in said


def test_the_table_of_one_seed_has_no_interval() -> None:
    three, one = (terminal.table(example_results(seeds=n)) for n in (3, 1))
    assert "mean and 95 % interval over seeds" in " ".join(three.split())
    assert "Accuracy on 359 held-out test samples, of one seed" in " ".join(one.split())
    steps = " ".join(terminal.table(example_results(every_step=True)).split())
    assert "Accuracy on the labelled steps of 359 held-out test samples, mean" in steps


def test_a_training_that_stopped_early_is_drawn_and_no_quick_look() -> None:
    results = example_results()
    stopped(results)
    assert not any("A quick look" in sentence for sentence in sentences.caveats(results))
    middle = plot.learning_curves(results["models"]).lines[-1]
    html.render(results, [])
    lengths = [len(line.get_xdata()) for line in plot.learning_curves(results["models"][1:2]).lines]
    assert lengths[:2] == [7, 5]
    assert lengths[-1] == 5
    assert len(middle.get_xdata()) > 7
