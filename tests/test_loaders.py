"""Loaders: small files in the original formats, whole and broken; then the originals."""

import gzip
import json
import shutil

import numpy as np
import pytest
import scipy.io
import torch
from data_files import digest, idx_bytes, spoken, write_h5, write_tsv, write_wav

from spikern.__main__ import main
from spikern._utils.errors import DataError, InputError
from spikern.data import (
    DATASETS,
    fsdd,
    heidelberg,
    load,
    mnist,
    own,
    qtdb,
    splits,
    tinyshakespeare,
)
from spikern.data.dataset import UNLABELLED
from spikern.data.files import FOLDER
from spikern.data.formats import idx, spike_hdf5
from spikern.data.formats.sound import log_mel, mel_bands, read_wav
from spikern.data.formats.ucr import read_ts, read_tsv
from spikern.data.transforms import Transform, transformed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of originals that is empty, and no cache and no network."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return tmp_path


# HDF5 of the Heidelberg sets


def test_h5_is_read_event_by_event(tmp_path):
    times, units = write_h5(tmp_path / "toy.h5")
    recordings = spike_hdf5.read(tmp_path / "toy.h5", dt=4.0)
    expected = np.zeros((recordings.events.steps, 12, 700), dtype=np.float32)
    for n in range(12):
        expected[np.floor(times[n].astype(float) / 0.004).astype(int), n, units[n]] = 1
    assert torch.equal(recordings.events.to_dense(), torch.from_numpy(expected))
    assert recordings.class_names == ("null", "eins", "zwei")
    assert recordings.labels.tolist() == [0, 1, 2] * 4
    assert recordings.speakers.tolist() == [0, 1, 2, 3] * 3


def test_files_that_list_other_classes_are_refused(folder):
    write_h5(folder / "shd" / "shd_train.h5")
    keys = np.array([b"eins", b"null", b"zwei"])
    write_h5(folder / "shd" / "shd_test.h5", **{"extra/keys": keys})
    with pytest.raises(DataError, match=r"list different classes: .*'null', 'eins'"):
        load("shd")


def test_shd_holds_two_speakers_out(folder):
    write_h5(folder / "shd" / "shd_train.h5")
    write_h5(folder / "shd" / "shd_test.h5", count=5, seed=1)
    data = load("shd")
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 6, 5)
    held_out = set(splits.order(4, heidelberg.SEED)[:2].tolist())
    chosen = [n for n in range(12) if n % 4 in held_out]
    whole = spike_hdf5.read(folder / "shd" / "shd_train.h5", heidelberg.DT)
    assert torch.equal(data.validation.x.to_dense(), whole.events.select(chosen).to_dense())
    rest = [n for n in range(12) if n not in chosen]
    assert torch.equal(data.train.x.to_dense(), whole.events.select(rest).to_dense())
    assert torch.equal(data.validation.lengths, data.validation.x.lengths)


def test_packed_is_as_unpacked(folder):
    write_h5(folder / "ssc" / "ssc_valid.h5", speakers=False)
    for part in ("train", "test"):
        write_h5(folder / "ssc" / f"ssc_{part}.h5", speakers=False)
        path = folder / "ssc" / f"ssc_{part}.h5"
        with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        path.unlink()
    assert DATASETS["ssc"].missing() == []
    data = load("ssc")
    assert torch.equal(data.train.x.to_dense(), data.validation.x.to_dense())
    assert data.class_names == ("null", "eins", "zwei")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spikes/times": None}, "expected .*; missing: spikes/times"),
        ({"labels": None, "extra/keys": None}, "missing: labels, extra/keys"),
        ({"labels": np.zeros(11, np.uint16)}, r"got \[12, 12, 11, 12\]"),
        ({"labels": np.full(12, 3, np.uint16)}, r"expected labels in 0\.\.2, got 3\.\.3"),
        ({"spikes/units": [np.full(20, 700, np.uint16)] * 12}, r"0\.\.699, got 700\.\.700"),
        ({"spikes/units": [np.zeros(3, np.uint16)] * 12}, "got 20 times, 3 features"),
        ({"spikes/times": [np.full(20, np.nan, np.float16)] * 12}, "NaN"),
        ({"spikes/times": [np.full(20, -1, np.float16)] * 12}, "must lie in 0"),
    ],
)
def test_h5_of_another_content_is_an_error(tmp_path, changes, message):
    path = tmp_path / "toy.h5"
    write_h5(path, **changes)
    with pytest.raises(DataError, match=rf"toy\.h5: .*{message}"):
        spike_hdf5.read(path, 4.0)


def test_a_cut_off_h5_is_an_error(tmp_path):
    write_h5(tmp_path / "whole.h5")
    content = gzip.compress((tmp_path / "whole.h5").read_bytes())
    for rest in (content[: len(content) // 2], b"<html>not found</html>"):
        (tmp_path / "toy.h5.gz").write_bytes(rest)
        with pytest.raises(DataError, match=r"toy\.h5\.gz.*fetch it again"):
            spike_hdf5.read(tmp_path / "toy.h5.gz", 4.0)


def test_shd_needs_speakers(folder):
    write_h5(folder / "shd" / "shd_train.h5", speakers=False)
    with pytest.raises(DataError, match="expected extra/speaker"):
        load("shd")
    write_h5(folder / "shd" / "shd_train.h5", count=2)
    with pytest.raises(DataError, match="expected more than 2 speakers, got 2"):
        load("shd")


# idx of MNIST


def test_idx_is_read_packed_and_unpacked(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx_bytes(array)))
    assert np.array_equal(idx.read(tmp_path / "a", 3), array)
    assert np.array_equal(idx.read(tmp_path / "a.gz", 3), array)


def test_images_and_labels_must_fit():
    images = np.zeros((2, 28, 28), np.uint8)
    assert mnist.paired(images, np.array([0, 9], np.uint8))[0].shape == (2, 784)
    for wrong in (
        (images, np.zeros(3, np.uint8)),
        (images[:, 1:], np.zeros(2, np.uint8)),
        (images, np.array([0, 10], np.uint8)),
    ):
        with pytest.raises(DataError, match="expected images"):
            mnist.paired(*wrong)


def test_pixels_go_by_in_the_given_order():
    images = np.arange(2 * 784).reshape(2, 784).astype(np.uint8)
    order = splits.order(784, mnist.SEED)
    permuted = Transform("permute", {"order": order.tolist()})
    part = mnist.split(images, np.array([3, 4], np.uint8), (permuted, mnist.PIXEL))
    assert torch.equal(part.x[:, 1, 0], torch.from_numpy(images[1][order]).float() / 255)
    assert sorted(order.tolist()) == list(range(784))


# wav of the spoken digits


def test_wav_is_read_to_full_scale(tmp_path):
    sound = read_wav(write_wav(tmp_path / "a.wav", samples=[-32768, 16384, 0]), 8000)
    assert sound.tolist() == [-1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 16000}, "expected 8000 samples a second, got 16000"),
        ({"dtype": np.float32}, "expected one channel of 16 bits, got .* float32"),
        ({"samples": np.zeros((9, 2))}, r"expected one channel of 16 bits, got \(9, 2\)"),
        ({"samples": []}, r"got \(0,\)"),
    ],
)
def test_wav_of_another_kind_is_an_error(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        read_wav(write_wav(tmp_path / "a.wav", **settings), 8000)


def test_broken_wav_is_an_error(tmp_path):
    content = write_wav(tmp_path / "a.wav").read_bytes()
    no_align = content[:32] + bytes(2) + content[34:]  # SciPy divides by it
    for rest in (b"", b"not a wav file at all", content[:30], content[:-1], no_align):
        (tmp_path / "a.wav").write_bytes(rest)
        with pytest.raises(DataError, match=r"a\.wav: expected a wav file, whole"):
            read_wav(tmp_path / "a.wav", 8000)


def test_bands_cover_the_spectrum_once():
    """Between the first and the last centre the triangles add up to 1."""
    bands = mel_bands(8000, 4096, 20)
    first, last = bands[:, 0].argmax() + 1, bands[:, -1].argmax()
    assert np.allclose(bands[first:last].sum(1), 1, atol=1e-12)  # float64, sums of two


def test_a_tone_twice_as_loud_is_log_4_higher_in_power():
    tone = (0.25 * np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)).astype(np.float32)
    soft, loud = (log_mel(x, 8000, 10.0, 40)[5] for x in (tone, 2 * tone))
    band = loud.argmax()
    # the floor of 1e-6 beside a power of 1e-2 leaves an error of 1e-4
    assert loud[band] - soft[band] == pytest.approx(np.log(4), abs=2e-3)


def test_the_future_of_a_sound_never_changes_its_past():
    sound = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    whole, part, soft = (
        transformed([fsdd.COCHLEA], x)[0] for x in (sound, sound[:2000], 0.1 * sound)
    )
    assert np.array_equal(part, whole[: len(part)])
    assert 0 < whole.mean() < fsdd.HIGHEST_RATE
    assert whole.sum() > soft.sum() > 0


def test_the_two_splits_of_the_spoken_digits(folder, monkeypatch):
    path = spoken(folder / "fsdd" / "recordings")
    recordings = fsdd.read(path)
    own, held_out = fsdd.official_split(recordings), fsdd.speaker_split(recordings)
    for parts in (own, held_out):
        assert sorted(np.concatenate(parts).tolist()) == list(range(560))
    assert {recordings.numbers[n] for n in own[2]} == set(range(5))
    assert [len(part) for part in own] == [320, 40, 200]
    voices = [{recordings.speakers[n] for n in part} for part in held_out]
    assert [len(names) for names in voices] == [2, 1, 1]
    assert not voices[0] & voices[1] | voices[0] & voices[2] | voices[1] & voices[2]
    with pytest.raises(DataError, match=r"incomplete or another version: .* got 560 with"):
        load("fsdd")
    monkeypatch.setattr(fsdd, "SHA256", fsdd.digest(path))
    mel = load("fsdd")
    assert (mel.input_size, mel.dt, mel.events) == (40, 10.0, False)
    events = load("fsdd_speakers_events")
    assert (events.input_size, events.dt, events.events) == (40, 4.0, True)
    longest = 1000 + 100 * 13
    assert mel.train.lengths.max() == (longest - 200) // 80 + 1
    assert events.train.lengths.max() == (longest - 200) // 32 + 1


def test_missing_recordings_say_where_to_put_them(folder):
    with pytest.raises(DataError, match=r"fsdd/recordings is missing: fetch https://github"):
        load("fsdd")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"named like 7_jackson_32\.wav, got none"):
        fsdd.read(folder / "empty")
    write_wav(folder / "empty" / "jackson_7.wav")
    with pytest.raises(DataError, match=r"jackson_7\.wav: expected a name like"):
        fsdd.read(folder / "empty")


# Text


def test_text_is_chunked_with_the_next_character():
    codes = torch.randint(0, 5, (300,), generator=torch.Generator().manual_seed(0))
    part = tinyshakespeare.split(codes, size=5)
    assert part.lengths.tolist() == [128, 128, 43]
    x = part.x.to_dense()
    shown = torch.cat([x[:length, n] for n, length in enumerate(part.lengths.tolist())])
    answers = torch.cat([part.y[:length, n] for n, length in enumerate(part.lengths.tolist())])
    assert torch.equal(shown, torch.nn.functional.one_hot(codes[:-1], 5).float())
    assert torch.equal(answers, codes[1:])
    assert (part.y[43:, 2] == UNLABELLED).all()


# The archive


def test_tsv_is_read_up_to_the_first_nan(tmp_path):
    (tmp_path / "a.tsv").write_text("-1\t0.5\t1\n\n1\t2\tNaN\n")
    names, series, labels = read_tsv(tmp_path / "a.tsv")
    assert names == ("-1", "1")
    assert labels == [0, 1]
    assert [s.tolist() for s in series] == [[[0.5], [1.0]], [[2.0]]]


def test_labels_are_text_and_no_two_become_one(tmp_path):
    labels = ("20230102", "20230101", "20230103", "1.0", "01", "left", "0.25")
    (tmp_path / "a.tsv").write_text("".join(f"{label}\t1\t2\n" for label in labels))
    names, _, classes = read_tsv(tmp_path / "a.tsv")
    assert names == ("0.25", "1", "20230101", "20230102", "20230103", "left")
    assert [names[k] for k in classes] == [
        "20230102", "20230101", "20230103", "1", "1", "left", "0.25",
    ]  # fmt: skip
    (tmp_path / "a.ts").write_text("@classLabel true a b a\n@data\n1,2:a\n")
    with pytest.raises(DataError, match="two classes of one name"):
        read_ts(tmp_path / "a.ts")


def test_large_values_keep_their_differences(tmp_path):
    """Seconds since 1970 differ in digits that single precision does not have."""
    for part in ("TRAIN", "TEST"):
        lines = [f"{k % 2}\t{1.7e9 + k:.0f}\t{1.7e9 + 2 * k:.0f}\n" for k in range(20)]
        (tmp_path / f"Time_{part}.tsv").write_text("".join(lines))
    x = load(f"ts:{tmp_path / 'Time'}").train.x
    assert len(x[0].unique()) == x.shape[1]
    assert float(x.mean()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("suffix", [".tsv", ".TSV"])
def test_a_pair_is_found_from_any_of_its_names(tmp_path, suffix):
    train = write_tsv(tmp_path / f"Toy_TRAIN{suffix}")
    test = write_tsv(tmp_path / f"Toy_TEST{suffix}", seed=1)
    for name in (f"Toy_TRAIN{suffix}", f"Toy_TEST{suffix}", "Toy", f"Toy{suffix}"):
        assert own.files_of(tmp_path / name) == {"train": train, "test": test}
    data = load(f"ts:{tmp_path / 'Toy'}")
    assert (data.name, data.input_size, data.class_names) == ("Toy", 1, ("1", "2"))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 2, 10]
    valid = torch.arange(len(data.train.x))[:, None] < data.train.lengths
    values = data.train.x[valid]
    # float32 values of standardised float64 ones
    assert torch.allclose(values.mean(0), torch.zeros(1), atol=1e-6)
    assert torch.allclose(values.std(0, correction=0), torch.ones(1), atol=1e-6)


def test_pairs_that_are_none_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"Toy: no such file or folder, nor .*Toy_TRAIN and _TEST"):
        load(f"ts:{tmp_path / 'Toy'}")
    write_tsv(tmp_path / "Toy_TRAIN.tsv")
    (tmp_path / "Toy_TRAIN.arff").touch()
    with pytest.raises(DataError, match=r"Toy_TRAIN\.arff: expected a file \.ts, \.tsv, \.csv"):
        load(f"ts:{tmp_path / 'Toy_TRAIN.arff'}")
    with pytest.raises(DataError, match=r"Toy_TRAIN\.tsv is there, but not its other half"):
        load(f"ts:{tmp_path / 'Toy_TRAIN.tsv'}")
    write_tsv(tmp_path / "Toy_TEST.tsv", classes=("1", "3"))
    with pytest.raises(DataError, match=r"test: expected the classes of train, got others: 3"):
        load(f"ts:{tmp_path / 'Toy'}")
    write_tsv(tmp_path / "Toy_TEST.tsv")
    write_tsv(tmp_path / "Toy_TRAIN.tsv", count=4)
    with pytest.raises(DataError, match="4 sequences of 2 classes are too few"):
        load(f"ts:{tmp_path / 'Toy'}")


def test_features_must_agree(tmp_path):
    text = "@dimensions {}\n@classLabel true a b\n@data\n"
    train = text.format(1) + "1,2:a\n2,3:b\n" * 4
    (tmp_path / "Toy_TRAIN.ts").write_text(train)
    (tmp_path / "Toy_TEST.ts").write_text(text.format(2) + "1,2:3,4:a\n")
    with pytest.raises(DataError, match="expected one number of features"):
        load(f"ts:{tmp_path / 'Toy'}")


def test_a_file_of_the_archive_is_compared(tmp_path, capsys):
    write_tsv(tmp_path / "Toy_TRAIN.tsv")
    write_tsv(tmp_path / "Toy_TEST.tsv", seed=1)
    settings = ["--models", "LIF", "--seeds", "1", "--epochs", "1", "--hidden", "4"]
    asked = ["compare", f"ts:{tmp_path / 'Toy_TEST.tsv'}", *settings, "--workers", "1"]
    main([*asked, "--out", str(tmp_path / "out")])
    assert "LIF" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "results.json").read_text())["dataset"]["name"] == "Toy"
    assert (tmp_path / "out" / "report.html").exists()


# The .ts format

TS = """# a comment
@problemName toy
@timeStamps false
@missing false
@dimensions 2
@classLabel true a b
@data
1,2,3:4,5,6:b
-1.5:2e-1:a
"""


def test_ts_reads_series_of_different_lengths(tmp_path):
    (tmp_path / "toy.ts").write_text(TS)
    names, series, labels = read_ts(tmp_path / "toy.ts")
    assert names == ("a", "b")
    assert labels == [1, 0]
    assert series[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert series[1].tolist() == [[-1.5, 0.2]]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("@dimensions 2\n", ""),
        lambda text: text.replace("# a", "% a").replace("@data\n", "@data\n% another\n# third\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("@missing false", "@missing true").replace("@data", "\n @DATA "),
        lambda text: text.replace(":", " : ").replace(
            "@classLabel", "@targetlabel false\n@CLASSLABEL"
        ),
    ],
    ids=["no dimensions", "comments", "BOM", "CRLF", "no value missing", "spaces and cases"],
)
def test_ts_as_others_write_it(tmp_path, change):
    (tmp_path / "toy.ts").write_text(TS)
    (tmp_path / "other.ts").write_bytes(change(TS).encode())
    expected, other = read_ts(tmp_path / "toy.ts"), read_ts(tmp_path / "other.ts")
    assert other[::2] == expected[::2]
    assert all(np.array_equal(a, b) for a, b in zip(other.series, expected.series, strict=True))


@pytest.mark.parametrize("read", [read_ts, read_tsv, lambda path: read_wav(path, 8000), qtdb.read])
def test_a_file_that_is_missing_is_an_error(tmp_path, read):
    with pytest.raises(DataError, match="none: no such file; give the path of"):
        read(tmp_path / "none")


# The QTDB format


def test_qtdb_reads_events_and_labels(tmp_path):
    x = np.array([[[0, 1], [1, 0], [-1, 0]]], dtype=np.int16)
    y = np.array([[[1, 0], [0, 1], [0, 0]]], dtype=np.uint8)
    scipy.io.savemat(tmp_path / "toy.mat", {"x": x, "y": y}, do_compression=True)
    events, labels = qtdb.read(tmp_path / "toy.mat")
    assert events.dtype == torch.float32
    assert events[:, 0].tolist() == [[0, 1], [1, 0], [-1, 0]]
    assert labels.tolist() == [[0], [1], [UNLABELLED]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": np.zeros((1, 3, 2))}, "expected a MATLAB 5 file with x and y, whole: 'y'"),
        ({"z": np.zeros(2)}, "expected packed variables, got kind 14 at byte 128"),
        ({"x": np.zeros((1, 3, 2)), "y": np.zeros((1, 4, 2))}, r"got \(1, 3, 2\) and \(1, 4, 2\)"),
        ({"x": np.zeros((1, 3, 2)), "y": np.ones((1, 3, 2))}, "expected y one-hot or all zero"),
    ],
)
def test_qtdb_of_another_content_is_an_error(tmp_path, content, message):
    scipy.io.savemat(tmp_path / "toy.mat", content, do_compression="x" in content)
    with pytest.raises(DataError, match=message):
        qtdb.read(tmp_path / "toy.mat")


# Broken files


CUBE = idx_bytes(np.zeros((2, 3, 4)))
READERS = {
    ".ts": read_ts,
    ".tsv": read_tsv,
    ".mat": qtdb.read,
    ".txt": tinyshakespeare.read,
    ".idx": lambda path: idx.read(path, 3),
    ".gz": lambda path: idx.read(path, 3),
}
BROKEN_IDX = [
    (idx_bytes([1, 2]), "in 3 dimensions, magic 00000803, got 00000801"),
    (b"\x00\x00\x0d\x03", "got 00000d03"),
    (b"", "got nothing"),
    (CUBE[:9], "cut off in its header"),
    (CUBE[:-1], "expected 2 x 3 x 4 bytes .* got 23"),
    (CUBE + b"\x00", "got 25"),
]
BROKEN_TS = [
    (":4,5,6:b", ":4,5,6", "line 8: expected 2 dimensions and a label, got 1"),
    (":4,5,6:b", ":4,5:b", r"line 8: expected dimensions of one length, got \[2, 3\]"),
    (":4,5,6:b", ":4,5,x:b", "line 8: could not convert string to float: 'x'"),
    (":4,5,6:b", ":4,?,6:b", r"line 8: a missing value '\?'; fill it in, or leave the series out"),
    (":4,5,6:b", ":4,5,1e39:b", r"line 8: expected finite values up to 3\.4e\+38, got 1e\+39"),
    ("1,2,3:", "(0,1),(1,2):", r"line 8: could not convert string to float: '\(0'"),
    (":4,5,6:b", ":4,5,nan:b", "line 8: expected finite values"),
    (":4,5,6:b", ":4,5,6:c", "line 8: expected a label of a, b, got 'c'"),
    ("2e-1:a", "2e-", "line 9: expected 2 dimensions and a label, got 1"),
    ("@data\n", "", r"line 7: expected '@\.\.\.' before '@data', got '1,2,3:4,5,6:b'"),
    (TS[TS.index("@data") :], "", "no '@data' line"),
    (TS[TS.index("1,2,3") :], "", "no series after '@data'"),
    ("true a b", "false", "line 6: expected '@classLabel true <names>', got '@classLabel false'"),
    ("@classLabel true a b\n", "", "expected '@classLabel true <names>' before line 6"),
    ("@dimensions 2", "@dimensions two", "line 5: expected '@dimensions <number>', got 'two'"),
    ("@dimensions 2", "@dimensions 1", "line 8: expected 1 dimensions and a label, got 2"),
    (
        "@timeStamps false",
        "@timeStamps true",
        "line 3: expected '@timeStamps false', got 'true'; wri",
    ),
    ("@classLabel true a b", "@targetLabel true", "line 6: '@targetLabel' is of regression"),
]
BROKEN_TSV = [
    ("", "no series; the file is empty or cut off"),
    ("1\t0.5\n1\tx\n", "line 2: could not convert string to float: 'x'"),
    ("1\n", "line 1: expected a label and at least one finite value"),
    ("1\tNaN\n", "line 1: expected a label and at least one"),
    ("nan\t1\n", "line 1: expected a label, got"),
    ("1\tNaN\t2\n", "line 1: expected finite values up to .*, got nan"),
    ("1\t2\n1\t1e39\n", r"line 2: expected finite values up to 3\.4e\+38, got 1e\+39"),
    ("1\t?\t2\n", r"line 1: a missing value '\?'"),
    ("1,0.5,0.5\n", "line 1: expected a label and at least one"),
]


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        *[(".idx", content, message) for content, message in BROKEN_IDX],
        *[(".gz", gzip.compress(content), message) for content, message in BROKEN_IDX],
        (".gz", b"not packed", "expected an idx file, whole: Not a gzipped file"),
        (".txt", b"", "at least 40 characters, got 0"),
        (".txt", b"\xff\xfe", "expected text"),
        *[(".ts", TS.replace(old, new).encode(), message) for old, new, message in BROKEN_TS],
        *[(".tsv", content.encode(), message) for content, message in BROKEN_TSV],
        (".ts", b"\xff\xfe\x00", "expected text"),
        (".mat", b"not a mat file" * 20, r"toy\.mat: expected a MATLAB 5 file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_a_file_of_another_content_is_an_error(tmp_path, suffix, content, message):
    path = tmp_path / f"toy{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        READERS[suffix](path)


# The list


def test_the_list_loads_nothing(folder, monkeypatch, capsys):
    monkeypatch.setattr("spikern.data.loaders.load", lambda name: pytest.fail(f"loads {name}"))
    (folder / "fsdd" / "recordings").mkdir(parents=True)
    main(["datasets"])
    output = capsys.readouterr().out.splitlines()
    assert len(output) == len(DATASETS) + 1
    lines = {line.split()[0]: line for line in output}
    assert lines["digits"].endswith("(available)")
    assert lines["fsdd"].endswith("(available)")
    assert "missing: shd/shd_train.h5 and 1 more" in lines["shd"]


def test_named_data_sets_are_described(capsys):
    main(["datasets", "digits"])
    assert "1258/180/359 train/validation/test, up to 64 steps" in capsys.readouterr().out


# The originals


def parts(data):
    return data.train, data.validation, data.test


def rows(part):
    """Every sequence as bytes, with its length: equal sequences are equal here."""
    return {
        part.x[:length, n].contiguous().numpy().tobytes()
        for n, length in enumerate(part.lengths.tolist())
    }


@pytest.mark.parametrize(
    ("name", "shape", "sizes", "field", "digests"),
    [
        (
            "digits", (64, 1), [1258, 180, 359], "y",
            ["876045207a07cbb4", "f1c73d61faa6c5f5", "d4923adcc7c3b534"],
        ),
        pytest.param(
            "japanese_vowels", None, [216, 54, 370], "lengths",
            ["fb4fe0371e6add23", "9c2cb95502e4f7a0", "b3b90bb51a7c73e4"],
            marks=pytest.mark.data,
        ),
        pytest.param(
            "qtdb", (1301, 4), [525, 93, 141], "y",
            ["c1522894f0a97f0b", "d2e2b5c4a674acf8", "ab320525d3a9505d"],
            marks=pytest.mark.data,
        ),
    ],
)  # fmt: skip
def test_the_parts_of_an_original(name, shape, sizes, field, digests):
    """Sizes, that no sequence is in it twice, and that the parts are the same for ever."""
    data = load(name)
    assert [len(part) for part in parts(data)] == sizes
    for part in parts(data):
        assert shape is None or (part.x.shape[0], part.x.shape[2]) == shape
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == sum(sizes)
    assert [digest(getattr(part, field)) for part in parts(data)] == digests


@pytest.mark.data
def test_the_list_says_what_is_loaded():
    for name in ("digits", "fsdd", "fsdd_events", "tinyshakespeare"):
        data = load(name)
        assert (DATASETS[name].title, name) == (data.title, data.name)


@pytest.mark.data
def test_mnist():
    data, mixed = load("smnist"), load("psmnist")
    assert [tuple(p.x.shape) for p in parts(data)] == [(784, n, 1) for n in (54999, 5001, 10000)]
    assert torch.bincount(data.test.y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    order = torch.from_numpy(splits.order(784, 0))
    assert torch.equal(mixed.test.x, data.test.x[order])
    assert not torch.equal(mixed.test.x, data.test.x)
    # the mean over all train images is the well-known 0.1307, rounded to four digits
    total = data.train.x.double().sum() + data.validation.x.double().sum()
    assert float(total) / (60000 * 784) == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.data
def test_spoken_digits():
    data = load("fsdd")
    assert [len(part) for part in parts(data)] == [2400, 300, 300]
    assert all(torch.bincount(part.y).unique().numel() == 1 for part in parts(data))
    unknown = load("fsdd_speakers")
    assert [len(part) for part in parts(unknown)] == [2000, 500, 500]


def test_in_six_turns_every_speaker_is_tested_once():
    speakers = [name for name in "abcdef" for _ in range(3)]
    recordings = fsdd.Recordings([], torch.zeros(18), speakers, [0, 1, 2] * 6)
    turns = [fsdd.speaker_split(recordings, turn) for turn in range(6)]
    assert sorted(n for turn in turns for n in turn[2].tolist()) == [*range(18)]
    for train, validation, test in turns:
        assert sorted([*train, *validation, *test]) == [*range(18)]
        heard = [{speakers[n] for n in part} for part in (train, validation, test)]
        assert [len(names) for names in heard] == [4, 1, 1]
    first = fsdd.speaker_split(recordings)
    assert all((a == b).all() for a, b in zip(first, turns[0]))


@pytest.mark.data
def test_tinyshakespeare():
    data = load("tinyshakespeare")
    assert (data.classes, data.input_size) == (65, 65)
    assert [int(part.lengths.sum()) for part in parts(data)] == [1003853, 55769, 55769]
    first = "".join(data.class_names[code] for code in data.train.y[:13, 0].tolist())
    assert first == "irstspaceCitizen:"


def test_digits():
    data = load("digits")
    assert data.classes == 10
    assert not data.events
    assert not data.every_step
    x = torch.cat([part.x for part in parts(data)], dim=1)
    assert (x.min(), x.max()) == (0, 1)
    for part in parts(data):
        counts = torch.bincount(part.y)
        assert counts.max() - counts.min() <= 0.06 * len(part)
    assert data.majority_accuracy == pytest.approx(37 / 359)


@pytest.mark.data
def test_japanese_vowels():
    data = load("japanese_vowels")
    assert (data.input_size, data.classes) == (12, 9)
    lengths = torch.cat([part.lengths for part in parts(data)])
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert torch.bincount(data.train.y).tolist() == [24] * 9
    assert torch.bincount(data.validation.y).tolist() == [6] * 9
    assert torch.bincount(data.test.y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert data.majority_accuracy == pytest.approx(31 / 370)
    valid = torch.arange(len(data.train.x))[:, None] < data.train.lengths
    steps = data.train.x[valid]
    assert torch.allclose(steps.mean(0), torch.zeros(12), atol=1e-5)
    assert torch.allclose(steps.std(0, correction=0), torch.ones(12), atol=1e-5)


@pytest.mark.data
def test_qtdb():
    data = load("qtdb")
    assert (data.classes, data.every_step, data.events) == (6, True, True)
    assert data.label_of_unlabelled == 0
    y = torch.cat([data.train.y, data.validation.y], dim=1)
    assert (y == UNLABELLED).double().mean() == pytest.approx(0.0818, abs=5e-5)
    assert (data.test.y == UNLABELLED).double().mean() == pytest.approx(0.1039, abs=5e-5)
    for part in parts(data):
        markers = (part.x == -1).nonzero()
        assert len(markers) == len(part)
        assert (markers[:, 0] == 1300).all()
        assert (markers[:, 2] == 0).all()
        after = (part.y[:-1] + 1) % 6 == part.y[1:]
        labelled = (part.y[:-1] != UNLABELLED) & (part.y[1:] != UNLABELLED)
        assert ((part.y[:-1] == part.y[1:]) | after)[labelled].all()
    assert data.majority_accuracy == pytest.approx(0.3364, abs=5e-5)


@pytest.mark.data
def test_qtdb_of_all_steps_differs_where_there_was_no_label():
    data, every = load("qtdb"), load("qtdb_all_steps")
    assert (every.name, every.label_of_unlabelled) == ("qtdb_all_steps", None)
    for part, labelled in zip(parts(data), parts(every)):
        without = part.y == UNLABELLED
        assert without.any()
        assert (labelled.y[without] == 0).all()
        assert torch.equal(labelled.y[~without], part.y[~without])
        assert torch.equal(labelled.x, part.x)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("japanese_vowels", "japanese_vowels/JapaneseVowels_TRAIN.ts"),
        ("qtdb", "qtdb/QTDB_train.mat"),
        ("smnist", "mnist/train-images-idx3-ubyte.gz"),
        ("tinyshakespeare", "tinyshakespeare/input.txt"),
    ],
)
def test_an_original_that_is_cut_off_is_refused(name, original, folder):
    path = folder / original
    path.parent.mkdir()
    path.write_bytes(b"cut off")
    with pytest.raises(DataError, match=f"{path} is corrupt or another version"):
        load(name)


def test_parameters_of_a_transform_can_be_written_as_json():
    with pytest.raises(InputError, match=r"standardise: .*ndarray.*; give numbers"):
        Transform("standardise", {"mean": np.zeros(1), "deviation": np.ones(1)})
