"""Damaged files of every format: their content, another that is valid, or one error of the file."""

import gzip
import random
import time
import warnings

import h5py
import numpy as np
import pytest
import scipy.io
from data_files import idx_bytes, write_h5, write_tsv, write_wav

from spikern._utils import foreign
from spikern._utils.errors import DataError, SpikernError
from spikern._utils.hdf5_trial import UNPACKED
from spikern.data import qtdb
from spikern.data.formats import idx, spike_hdf5
from spikern.data.formats.arrays import read_npz
from spikern.data.formats.sound import read_wav
from spikern.data.formats.table import read_csv
from spikern.data.formats.ucr import read_ts, read_tsv
from spikern.interop.nir import from_nir, read_nir, to_nir, write_nir
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.lif_hard import HardLIF

TS = b"@dimensions 2\n@classLabel true a b\n@data\n1,2,3:4,5,6:b\n-1.5:2e-1:a\n"
IMAGES = idx_bytes(np.arange(240).reshape(2, 10, 12))


def write_mat(path):
    y = np.eye(6, dtype=np.uint8)[np.arange(21).reshape(3, 7) % 6]
    x = np.arange(84, dtype=np.int16).reshape(3, 7, 4)
    scipy.io.savemat(path, {"x": x, "y": y}, do_compression=True)


def write_csv(path):
    path.write_text("sample,label,left,right\na,up,0.5,1.0\na,up,0.25,2.0\nb,down,-1.5,2e-1\n")


def write_npz(path):
    np.savez(path, x=np.arange(24.0).reshape(4, 3, 2), y=np.arange(4) % 2, lengths=[3, 3, 2, 1])


def write_packed(path):
    path.write_bytes(gzip.compress(IMAGES))


def write_graph(path):
    pytest.importorskip("nir")
    write_nir(path, to_nir(SpikingRNN(HardLIF, 2, 3)))


def read_h5(path):
    recordings = spike_hdf5.read(path, 4.0)
    return [recordings.events.values, recordings.labels]


FORMATS = {
    ".wav": (write_wav, lambda path: [read_wav(path, 8000)]),
    ".ts": (lambda path: path.write_bytes(TS), lambda path: read_ts(path).series),
    ".csv": (write_csv, lambda path: read_csv(path).series),
    ".npz": (write_npz, lambda path: read_npz(path).parts["all"].series),
    ".tsv": (write_tsv, lambda path: read_tsv(path).series),
    ".idx": (lambda path: path.write_bytes(IMAGES), lambda path: [idx.read(path, 3)]),
    ".gz": (write_packed, lambda path: [idx.read(path, 3)]),
    ".mat": (write_mat, qtdb.read),
    ".h5": (write_h5, read_h5),
    ".nir": (write_graph, lambda path: list(from_nir(read_nir(path))[0].state_dict().values())),
}
CHECKSUMS = (".gz", ".mat")
"""Formats with a checksum: what is read is the original."""
PROCESS = (".h5", ".nir")
"""Formats that a process of their own tries first, which takes half a second."""


def damaged(content, chance):
    """The content cut off, or with up to five bytes changed."""
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 5])):
        place = chance.randrange(len(content))
        changed[place] = chance.choice([0, 127, 255, changed[place] ^ 1 << chance.randrange(8)])
    return bytes(changed)


def outcome(path, content, read):
    """The arrays of a file with this content, or its one error."""
    path.write_bytes(content)
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            arrays = [np.asarray(array) for array in read(path)]
        except SpikernError as error:
            arrays = error
    assert not isinstance(arrays, DataError) or path.name in str(arrays)
    assert time.monotonic() - start < 20
    return arrays


def hold(suffix, folder, cases):
    """Read a small file of a format, and so many that are damaged by chance."""
    write, read = FORMATS[suffix]
    write(folder / f"whole{suffix}")
    content = (folder / f"whole{suffix}").read_bytes()
    original = outcome(folder / f"bad{suffix}", content, read)
    assert isinstance(original, list)
    for case in cases:
        arrays = outcome(folder / f"bad{suffix}", damaged(content, random.Random(case)), read)
        if isinstance(arrays, SpikernError):
            continue
        assert all(np.isfinite(array).all() for array in arrays), case
        assert sum(array.size for array in arrays) <= UNPACKED * len(content), case
        if suffix in CHECKSUMS:
            assert all(np.array_equal(a, b) for a, b in zip(arrays, original, strict=True)), case


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(foreign, "SECONDS", 4.0)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_file_is_read_or_one_error(tmp_path, suffix):
    hold(suffix, tmp_path, range(3 if suffix in PROCESS else 200))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_many_damaged_files_are_read_or_one_error(tmp_path, suffix):
    hold(suffix, tmp_path, range(1000, 1100 if suffix in PROCESS else 4000))


def empty_space(path):
    """Have the free space of a heap be of no bytes: HDF5 2.0 looks for its end for ever."""
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16
    while content[at] or content[at + 1]:
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)


def long_row(path):
    """Have the first row claim 2^32 - 1 times, for which HDF5 allocates before it looks."""
    with h5py.File(path) as file:
        at = file["spikes/times"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)


def tall_array(path):
    """Replace the labels by an array that claims 2^40 bytes and holds none."""
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file.create_dataset("labels", (2**40,), np.uint8, chunks=(2**20,))


@pytest.mark.parametrize("damage", [empty_space, long_row, tall_array])
def test_an_h5_that_does_not_end_or_claims_too_much(tmp_path, damage):
    write_h5(tmp_path / "a.h5")
    damage(tmp_path / "a.h5")
    arrays = outcome(tmp_path / "bad.h5", (tmp_path / "a.h5").read_bytes(), read_h5)
    assert isinstance(arrays, DataError)
    assert damage is not tall_array or "labels claims 1099511627776 bytes" in str(arrays)


@pytest.mark.parametrize("suffix", [".gz", ".h5.gz"])
def test_a_bomb_is_not_unpacked(tmp_path, suffix):
    read = read_h5 if suffix == ".h5.gz" else FORMATS[suffix][1]
    bomb = gzip.compress(bytes(10 << 20))
    assert "unpacks to more than" in str(outcome(tmp_path / f"bad{suffix}", bomb, read))
