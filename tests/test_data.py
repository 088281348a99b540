"""Data sets: splits and batches, names, original files and the cache."""

import functools
import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from data_files import digest, toy

from spikern._utils.errors import DataError, InputError
from spikern.data import DATASETS, load, splits
from spikern.data.dataset import UNLABELLED, Split
from spikern.data.files import FOLDER, cache_folder, locate, verified
from spikern.events import Events

CLOSED = "http://127.0.0.1:9/file.ts"
"""An address where nothing listens."""
CONTENT = b"the original\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def split(count=4, steps=5, every_step=False, lengths=None):
    lengths = torch.tensor(lengths or [steps] * count)
    valid = torch.arange(steps)[:, None] < lengths
    x = torch.arange(1.0, steps * count * 2 + 1).view(steps, count, 2) * valid.unsqueeze(2)
    y = torch.arange(count) % 2
    if every_step:
        y = torch.where(valid, y.expand(steps, count), UNLABELLED)
    return Split(x, y, lengths)


def dataset(**changes):
    return toy(split(every_step=changes.get("every_step", False)), **changes)


# Splits and datasets


def test_a_batch_is_cut_to_its_longest_sequence():
    whole = split(count=3, steps=6, every_step=True, lengths=[6, 2, 4])
    part = whole.batch([2, 1])
    assert len(part) == 2
    assert part.lengths.tolist() == [4, 2]
    assert part.x.shape == (4, 2, 2)
    assert torch.equal(part.x, whole.x[:4][:, [2, 1]])
    assert torch.equal(part.y, whole.y[:4][:, [2, 1]])


def test_a_batch_of_sequence_labels_follows_the_indices():
    whole = split()
    part = whole.batch(torch.tensor([3, 0]))
    assert part.y.tolist() == [1, 0]
    assert torch.equal(part.x, whole.x[:, [3, 0]])


@pytest.mark.parametrize("indices", [[], [4], [-1], [[0, 1]], [0.5]])
def test_a_batch_of_wrong_indices_is_an_error(indices):
    with pytest.raises(InputError, match=r"expected at least one|must lie in 0\.\.3"):
        split().batch(indices)


def test_sizes_and_majority():
    train = replace(split(), y=torch.tensor([1, 1, 1, 0]))
    data = dataset(train=train)
    assert (data.input_size, data.classes, data.majority_accuracy) == (2, 2, 0.5)


def test_majority_counts_labelled_steps_alone():
    part = split(count=2, steps=4, every_step=True)
    y = torch.tensor([[1, 0], [1, UNLABELLED], [1, UNLABELLED], [UNLABELLED, UNLABELLED]])
    data = toy(replace(part, y=y), every_step=True, validation=part)
    assert data.majority_accuracy == 0.75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x": torch.zeros(5, 4)},
            r"expected x as non-empty \(T, N, F\) torch.float32, got \(5, 4",
        ),
        ({"x": torch.zeros(5, 4, 2).double()}, "float64"),
        ({"x": torch.zeros(5, 0, 2)}, "non-empty"),
        ({"x": torch.full((5, 4, 2), torch.nan)}, "NaN"),
        ({"x": torch.ones(5, 4, 3)}, "expected 2 features as in train, got 3"),
        ({"y": torch.zeros(5, dtype=torch.int64)}, r"expected y as \(4,\) int64, got \(5,\)"),
        ({"y": torch.zeros(4)}, "torch.float32"),
        ({"y": torch.tensor([0, 1, 2, 0])}, r"labels must lie in 0\.\.1 or be -100, got 0\.\.2"),
        ({"y": torch.tensor([0, 1, UNLABELLED, 0])}, r"every sequence needs a label, got -100"),
        ({"lengths": torch.tensor([5, 5, 5])}, r"expected lengths as \(4,\)"),
        ({"lengths": torch.tensor([5, 5, 5, 6])}, r"lengths must lie in 1\.\.5, got 5\.\.6"),
        ({"lengths": torch.tensor([5, 5, 5, 0])}, r"got 0\.\.5"),
        ({"lengths": torch.tensor([5, 5, 5, 3])}, "x must be zero after"),
    ],
)
def test_a_wrong_split_is_an_error_that_names_it(changes, message):
    with pytest.raises(InputError, match=rf"^toy, validation: .*{message}"):
        dataset(validation=replace(split(), **changes))


BINARY = replace(split(), x=torch.ones(5, 4, 2))
STEPS = split(every_step=True)
CUT = split(every_step=True, lengths=[5, 5, 5, 3])


def test_what_is_declared_and_right_is_taken():
    assert dataset(every_step=True, test=CUT).every_step
    assert dataset(every_step=True, label_of_unlabelled=1).label_of_unlabelled == 1
    assert not toy(BINARY).events
    assert toy(BINARY, events=True).events


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"every_step": True, "test": replace(CUT, y=CUT.y.clamp(min=0))},
            "after a sequence's last must be -100",
        ),
        (
            {"every_step": True, "test": replace(STEPS, y=torch.full_like(STEPS.y, UNLABELLED))},
            "no step has a label",
        ),
        ({"train": BINARY, "validation": BINARY, "events": True}, "declared as events"),
        ({"label_of_unlabelled": 0}, "label_of_unlabelled"),
        ({"class_names": ("a", "a")}, "two classes have the name a"),
        ({"class_names": "ab"}, "class_names must be a tuple of texts, got 'ab'"),
        ({"class_names": (0, 1)}, r"class_names must be a tuple of texts, got \(0, 1\)"),
        ({"dt": "1"}, "dt must be a number, got '1'"),
        ({"train": replace(CUT, y=CUT.y.numpy())}, "expected y as a torch tensor, got ndarray"),
        ({"label_of_unlabelled": 2, "every_step": True}, "label_of_unlabelled"),
    ],
)
def test_what_is_declared_is_checked(changes, message):
    with pytest.raises(InputError, match=message):
        dataset(**changes)


def test_stratified_parts_are_disjoint_complete_and_balanced():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    parts = splits.stratified(labels, (0.6, 0.2, 0.2), seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    assert [np.bincount(labels[part]).tolist() for part in parts] == [
        [30, 18, 12],
        [10, 6, 4],
        [10, 6, 4],
    ]
    other = splits.stratified(labels, (0.6, 0.2, 0.2), seed=4)
    assert other[0].tolist() != parts[0].tolist()


def test_splits_are_the_same_for_ever():
    assert digest(splits.order(618, seed=0)) == "42d4aacb5c271a9d"
    labels = np.arange(1797) % 10
    digests = [digest(part) for part in splits.stratified(labels, (0.6, 0.2, 0.2), seed=0)]
    assert digests == ["bd16524fb50c59de", "98b87647f2539d38", "df466bf2b99c4ef7"]


# Names


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="no dataset 'QTBD'; did you mean 'qtdb'"):
        load("QTBD")


def test_copy_asks_for_the_symbols_that_were_shown():
    data = load("copy_20")
    for part in (data.train, data.validation, data.test):
        x, y = part.x, part.y
        assert ((x == 0) | (x == 1)).all()
        for k, due in ((0, 34), (1, 39)):
            shown = x[5 * k : 5 * k + 5]
            assert (shown.sum(2) == 1).all()
            assert (shown.argmax(2) == y[due]).all()
        assert not x[10:30].any()
        assert x[30:, :, 8].all()
        assert not x[30:, :, :8].any()
        assert ((y != UNLABELLED).sum(0) == 2).all()
        assert len(torch.unique(8 * y[34] + y[39])) == 64
    assert not torch.equal(data.train.y, data.test.y)
    assert load("copy_320").train.x.shape == (340, 1000, 9)


def test_the_table_names_what_is_loaded():
    assert load("digits").name == "digits"
    numbers_by_value = functools.partial(re.sub, r"\d+", lambda n: f"{int(n[0]):09}")
    assert list(DATASETS) == sorted(DATASETS, key=numbers_by_value)
    assert {"digits", "japanese_vowels", "qtdb", "shd", "smnist"} <= set(DATASETS)


# Files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no folder of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "spikern" / "data"


def test_the_users_folder_comes_before_the_cache(cache, tmp_path, monkeypatch):
    (cache / "a").mkdir(parents=True)
    (cache / "a" / "file.ts").write_bytes(CONTENT)
    assert locate("a/file.ts", CLOSED, SHA256, "") == cache / "a" / "file.ts"
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert locate("a/file.ts", CLOSED, SHA256, "") == cache / "a" / "file.ts"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file.ts").write_bytes(CONTENT)
    assert locate("a/file.ts", CLOSED, SHA256, "") == tmp_path / "a" / "file.ts"


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "spikern" / "data"


def test_a_missing_file_says_where_to_put_it(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError) as caught:
        locate("a/file.ts", CLOSED, SHA256, "from the archive")
    message = str(caught.value)
    assert message.startswith(f"a/file.ts is missing and did not come from {CLOSED}: ")
    assert caught.value.__suppress_context__  # not the five errors of a failed download
    assert f"put the file at {tmp_path / 'a' / 'file.ts'} or set {FOLDER}" in message
    assert message.endswith("(from the archive)")
    assert "\n" not in message
    assert not (cache / "a" / "file.ts").exists()


def test_a_folder_that_is_none_is_an_error(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"SPIKERN_DATA must name a folder, got '.*nowhere'"):
        locate("a/file.ts", CLOSED, SHA256, "")


def test_a_corrupt_file_is_named_with_both_hashes(cache):
    path = cache / "file.ts"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    got = hashlib.sha256(CONTENT[:-1]).hexdigest()
    with pytest.raises(DataError, match=f"{path} .*expected sha256 {SHA256}, got {got}; delete"):
        locate("file.ts", CLOSED, SHA256, "")
    path.write_bytes(CONTENT)
    assert verified(path, SHA256, CLOSED) == path


def serve(monkeypatch, content):
    """Have downloads write `content` instead of asking the network."""

    def fetch(url, output_file, pooch):
        with open(output_file, "wb") as file:
            file.write(content)

    monkeypatch.setattr("pooch.core.choose_downloader", lambda url, progressbar: fetch)


def test_a_download_is_quiet_and_kept(cache, monkeypatch, capfd):
    serve(monkeypatch, CONTENT)
    path = locate("a/file.ts", CLOSED, SHA256, "")
    assert path == cache / "a" / "file.ts"
    assert path.read_bytes() == CONTENT
    assert capfd.readouterr() == ("", "")
    monkeypatch.undo()
    assert verified(path, SHA256, CLOSED) == path


def test_a_wrong_download_is_an_error_and_not_kept(cache, monkeypatch):
    serve(monkeypatch, b"<html>not found</html>")
    with pytest.raises(DataError, match=f"file.ts is missing and did not come.*{SHA256}"):
        locate("a/file.ts", CLOSED, SHA256, "")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_sequence_is_chosen_by_one_index():
    split = load("digits").test
    assert torch.equal(split[torch.tensor(1)][0], split[1][0])
    with pytest.raises(InputError, match=r"index of one sequence, got slice\(0, 3, None\)"):
        split[0:3]


def test_a_part_of_the_data_has_all_classes_whatever_their_order():
    y = torch.arange(1000) % 10
    whole = Split(torch.randn(3, 1000, 2), y, torch.full((1000,), 3))
    part = toy(whole, class_names=tuple("abcdefghij")).thinned(200)
    assert part.train.y.bincount().tolist() == [20] * 10
    in_order = toy(
        Split(whole.x, y.sort().values, whole.lengths), class_names=tuple("abcdefghij")
    ).thinned(200)
    assert torch.equal(in_order.train.x, whole.x[:, ::5])


def test_a_class_has_a_name():
    with pytest.raises(InputError, match="a class has no name"):
        dataset(class_names=("a", ""))


def test_indices_of_any_whole_type_choose_sequences():
    wanted = split().batch([2, 0]).x
    assert torch.equal(split().batch(np.array([2, 0], np.int32)).x, wanted)
    chosen = Events.from_dense(wanted).select(np.array([1], np.uint8))
    assert torch.equal(chosen.to_dense(), wanted[:, 1:])
