"""Your own data: CSV, npz and folders of wav files, as data sets and as samples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import write_wav

from spikern import DataError, load
from spikern.data import Task, samples
from spikern.data.dataset import UNLABELLED
from spikern.data.formats.ucr import by_number
from spikern.data.transforms import standardising

ROWS = "".join(f"{'up' if n % 2 else 'down'},{n},{n + 1},\n" for n in range(20))
STEPS = "sample,label,a,b\n" + "".join(f"s{n},{n % 2},{n},{t}\n" for n in range(20) for t in (1, 2))


@pytest.mark.parametrize(
    ("text", "features", "names"),
    [
        (ROWS, 1, ("down", "up")),
        ("label,t0,t1,t2\n" + ROWS, 1, ("down", "up")),
        (STEPS, 2, ("0", "1")),
    ],
    ids=["rows", "header", "steps"],
)
def test_csv_is_cut_the_same_way_each_time(tmp_path, text, features, names):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    data = load(str(path))
    assert (data.name, data.input_size, data.class_names) == ("mine", features, names)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [14, 2, 4]
    assert data.train.lengths.tolist() == [2] * 14
    assert data.digest == load(f"ts:{path}").digest
    found = samples(path, data.task)
    assert [len(x) for x in found.readings] == [2] * 20
    assert set(found.labels) == set(names)


@pytest.mark.parametrize("classes", [("0", "1"), ("down", "up")])
def test_a_reading_is_not_taken_for_a_label(tmp_path, classes):
    path = tmp_path / "mine.csv"
    task = Task("mine", classes, 1.0, False, 1)
    path.write_text("1,0,0.5\n0,1,0.5\n")
    with pytest.raises(DataError, match=r"may be a label or a reading; put a line|are not classes"):
        samples(path, task)
    path.write_text("label,t0,t1,t2\n,1,0,0.5\n")
    found = samples(path, task)
    assert (found.labels, found.readings[0].ravel().tolist()) == ([""], [1.0, 0.0, 0.5])


def arrays(**changes):
    x = np.random.default_rng(0).normal(size=(20, 5, 3))
    return {"x": x, "y": np.arange(20) % 2} | changes


def test_npz_has_what_it_says(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.random.default_rng(0).integers(-1, 2, (20, 5, 3))
    about = {"class_names": ["up", "down"], "dt": 2.0, "events": True, "lengths": [4] * 20}
    np.savez(path, **arrays(x=x, **about))
    data = load(str(path))
    assert (data.dt, data.events, data.class_names) == (2.0, True, ("up", "down"))
    assert data.train.lengths.tolist() == [4] * 14
    assert set(data.train.x.unique().tolist()) == {-1.0, 0.0, 1.0}
    y = np.where(np.arange(5) < 2, UNLABELLED, np.arange(20)[:, None] % 2)
    np.savez(path, **arrays(y=y))
    data = load(str(path))
    assert data.every_step
    assert (data.test.y[:2] == UNLABELLED).all()
    parts = {f"{name}_{part}": a for part in ("train", "test") for name, a in arrays().items()}
    np.savez(path, **parts)
    assert [len(p) for p in (load(str(path)).train, load(str(path)).test)] == [16, 20]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"y": ["1_12", "11_2"] * 10}, ("11_2", "1_12")),
        ({"y": [b"up", b"down"] * 10}, ("down", "up")),
        ({"y": np.arange(20) % 2 + 0.0, "class_names": ["up", "down"]}, ("up", "down")),
        ({"y": ["up", "down"] * 10, "class_names": [b"up", b"down"]}, ("up", "down")),
        ({"lengths": [3.0] * 20}, ("0", "1")),
        ({"x": np.full((20, 5), 60_000, np.float16)}, ("0", "1")),
    ],
)
def test_npz_of_other_types_means_the_same(tmp_path, changes, names):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays(**changes))
    data = load(str(path))
    assert data.class_names == names
    assert data.train.lengths.tolist() == [3 if "lengths" in changes else 5] * 14


def test_steps_without_a_label_have_none_in_floats_too(tmp_path):
    y = np.where(np.arange(5) < 2, UNLABELLED, np.arange(20)[:, None] % 2)
    found = []
    for kind in (np.int64, np.float64):
        np.savez(tmp_path / "mine.npz", **arrays(y=y.astype(kind)))
        found.append(load(str(tmp_path / "mine.npz")))
    assert found[0].class_names == found[1].class_names == ("0", "1")
    assert found[0].digest == found[1].digest


def test_a_folder_of_sounds_is_a_data_set(tmp_path):
    for label in ("left", "right"):
        (tmp_path / label).mkdir()
        for n in range(10):
            write_wav(tmp_path / label / f"{n}.wav", samples=np.arange(900 + n) % (20 + n) * 90)
    data = load(str(tmp_path))
    assert (data.input_size, data.dt, data.class_names) == (40, 10.0, ("left", "right"))
    found = samples(tmp_path, data.task)
    assert found.labels == ["left"] * 10 + ["right"] * 10
    x = data.task.prepare(found.readings[0])[0]
    every = torch.cat([p.x for p in (data.train, data.validation, data.test)], 1)
    assert any(torch.equal(torch.tensor(x), own) for own in every.unbind(1))
    write_wav(tmp_path / "left" / "fast.wav", rate=16000)
    with pytest.raises(DataError, match=r"expected one sample rate, got 8000 in .*16000 in"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,1,2\n" * 9, "all sequences are of the class a"),
        ("a.csv", "a,1\nb,2\n" * 2, "are too few for a train, validation and test part"),
        ("a.csv", ",1,2\n" + ROWS, "sequence 0 has no label"),
        ("a.csv", "a,1,x\n", "line 1: could not convert"),
        ("a.csv", "sample,label,v\ns,a,1\ns,b,1\n", "line 3: sample s has the labels a and b"),
        ("a.csv", "sample,label,v\ns,a\n", "line 2: expected 3 cells, got 2"),
        ("a.csv", "sample,label,v\ns,a,1\nt,nan,1\n", "line 3: expected a label, got 'nan'"),
        ("a.npz", b"no arrays", r"a\.npz: expected arrays of numpy"),
        ("a.npz", arrays(y=np.zeros(3)), r"expected y \(20,\) or \(20, 5\)"),
        ("a.npz", arrays(x=np.full((20, 5), np.nan)), "sequence 0 holds NaN"),
        ("a.npz", {"x_train": arrays()["x"], "y_train": arrays()["y"]}, "a train and a test part"),
        ("a.npz", arrays(z=np.zeros(3)), "expected x and y, .* got z"),
        ("a.npz", arrays(x=1j * np.ones((20, 5))), "expected numbers x .* got complex128"),
        ("a.npz", arrays(dt="4 ms"), r"a\.npz: expected dt as one number, got <U4 \(\)"),
        ("a.npz", arrays(dt=[1.0, 2.0]), r"expected dt as one number, got float64 \(2,\)"),
        ("a.npz", arrays(events="False"), r"expected events as one number, got <U5 \(\)"),
        ("a.npz", arrays(lengths=[2.5] * 20), "expected lengths as whole numbers, got float64"),
        ("a.npz", arrays(lengths=[np.inf] * 20), "expected lengths as whole numbers, got float64"),
        ("a.npz", arrays(lengths=[True] * 20), "expected lengths as whole numbers, got bool"),
        ("a.npz", arrays(class_names=["up"]), r"y must lie in 0\.\.0, the number of class_names"),
        (
            "a.npz",
            arrays(y=["up", "left"] * 10, class_names=["up", "down"]),
            "expected y among class_names, up, down, got left",
        ),
        ("a.npz", arrays(y=[b"\xff", b"a"] * 10), "codec can't decode"),
        ("a.csv", "a,1_5\n", "line 1: could not convert string to float: '1_5'"),
    ],
)
def test_files_that_are_no_data_say_why(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, dict):
        np.savez(path, **content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        load(str(path))


def test_sounds_in_capitals_are_sounds(tmp_path):
    for label in ("left", "right", "up"):
        (tmp_path / label).mkdir()
        for n in range(9):
            name = f"{n}.WAV" if label == "up" or n % 2 else f"{n}.wav"
            write_wav(tmp_path / label / name, samples=np.arange(900 + n) % (20 + n) * 90)
    data = load(tmp_path)
    assert data.class_names == ("left", "right", "up")
    assert sum(map(len, (data.train, data.validation, data.test))) == 27
    assert len(samples(tmp_path, data.task).readings) == 27


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,a,b\nup,1,2\n", r"line 1: expected a label and numbers, .* a header that begins"),
        ("up;1;2\ndown;3;4\n", "line 1: expected a label and numbers, parted by commas"),
        ("".join(f"{0.37 * n:.2f},{n},{n + 1}\n" for n in range(30)), "are real numbers, nearly"),
        ('up,1,2\nup,"' + 140_000 * "1" + "\n", "a quote may not be closed"),
        ("dömn,1,2\n".encode("latin-1"), "save it as UTF-8"),
    ],
    ids=["header", "semicolons", "regression", "quote", "latin-1"],
)
def test_a_table_of_another_kind_is_refused_in_words(text, message, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": np.ones((4, 3)), "data": np.ones(4)}, "expected x and y, .* got X, data"),
        (
            arrays(x=np.array([np.ones(2), np.ones(3)] * 10, dtype=object)),
            "x is an array of objects; pad x with zeros",
        ),
    ],
    ids=["names", "objects"],
)
def test_arrays_of_another_kind_are_refused_in_words(content, message, tmp_path):
    np.savez(tmp_path / "mine.npz", **content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "mine.npz")


def test_labels_past_the_end_are_no_class(tmp_path):
    y = np.full((20, 5), 9)
    y[:, :2] = np.arange(20)[:, None] % 2 + 1
    np.savez(tmp_path / "mine.npz", **arrays(y=y, lengths=[2] * 20))
    data = load(str(tmp_path / "mine.npz"))
    assert data.class_names == ("1", "2")
    assert set(data.train.y.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("y", "names", "classes"),
    [
        (np.array([0.0, -0.0, 1.0, 1.0] * 5), None, ("0", "1")),
        (np.arange(20) % 2 == 1, ["no", "yes"], ("no", "yes")),
    ],
)
def test_a_number_and_a_truth_value_have_one_class(y, names, classes, tmp_path):
    named = {} if names is None else {"class_names": names}
    np.savez(tmp_path / "mine.npz", **arrays(y=y, **named))
    data = load(str(tmp_path / "mine.npz"))
    assert data.class_names == classes
    assert data.train.y.bincount().tolist() == [7, 7]


def test_a_quote_that_is_not_closed_is_named(tmp_path):
    (tmp_path / "mine.csv").write_text('label,"' + "0," * 70_000 + "\nup,1,2\n")
    with pytest.raises(DataError, match=r"mine\.csv, line 1: field larger"):
        load(str(tmp_path / "mine.csv"))


def test_numbered_columns_are_no_sequence(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("class,0,1,2\n" + ROWS)
    with pytest.raises(DataError, match="line 1: expected a label and numbers"):
        load(path)
    path.write_text("up,0,1,2\n" + ROWS)
    assert load(path).class_names == ("down", "up")


def test_a_path_is_never_the_name_of_a_data_set(tmp_path, monkeypatch):
    (tmp_path / "digits.csv").write_text(ROWS)
    (tmp_path / "digits.csv").rename(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert load("digits").input_size == 1
    with pytest.raises(DataError):
        load(Path("digits"))


def test_a_quote_that_is_not_closed_is_seen(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(ROWS + 'up,"0.5,1,\n')
    with pytest.raises(DataError, match="a quote may not be closed"):
        load(path)


def test_a_label_and_a_sample_are_the_same_however_they_are_written(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(STEPS + "s0 ,00,7,3\n s0, 0 ,7,4\n")
    data = load(path)
    assert sum(map(len, (data.train, data.validation, data.test))) == 20
    assert data.longest == 4


@pytest.mark.parametrize("value", [0.1, 36.6, 1.7, -3.3e7])
def test_a_feature_that_does_not_change_is_zero_and_a_later_reading_near(value, tmp_path):
    for count in (700, 1000, 1234):
        found = standardising(np.full((count, 1), value))
        assert found.parameters == {"mean": [value], "deviation": [1.0]}
    drifting = standardising(np.array([[1e9], [1e9 + 1]]))
    assert drifting.parameters["deviation"] == [0.5]


def test_sounds_of_a_class_that_is_not_known_are_not_left_out(tmp_path):
    for label in ("up", "down"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for n in range(10):
            write_wav(tmp_path / "mine" / label / f"{n}.wav", samples=np.arange(900 + n) % 20 * 90)
    task = load(tmp_path / "mine").task
    (tmp_path / "mine" / "up").rename(tmp_path / "mine" / "Up")
    with pytest.raises(DataError, match="the labels Up are not classes of the network"):
        samples(tmp_path / "mine", task)
    (tmp_path / "mine" / "down").rename(tmp_path / "mine" / "Down")
    assert set(samples(tmp_path / "mine", task).labels) == {""}


@pytest.mark.parametrize("names", [["nan", "b", "1", "0"], ["1", "nan", "0", "b"]])
def test_classes_have_one_order(names):
    assert sorted(names, key=by_number) == ["0", "1", "b", "nan"]
