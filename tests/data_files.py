"""Small data sets, and files in the formats of the originals."""

import hashlib
import struct

import h5py
import numpy as np
import scipy.io.wavfile

from spikern.data.dataset import Dataset


def digest(array):
    """The content of an array in 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def toy(part, **changes):
    """A data set of two classes whose three parts are one."""
    parts = {"train": part, "validation": part, "test": part}
    about = {"name": "toy", "title": "Toy", "source": "made here", "licence": "none", "dt": 1.0}
    kind = {"class_names": ("a", "b"), "every_step": False, "events": False}
    return Dataset(**parts | about | kind | changes)


def write_h5(path, count=12, speakers=True, seed=0, spikes=20, **changes):
    """A file as the originals are: times in seconds as float16, units as uint16, both ragged."""
    generator = np.random.default_rng(seed)
    times = [np.sort(generator.uniform(0, 0.1, spikes)).astype(np.float16) for _ in range(count)]
    units = [generator.integers(0, 700, spikes).astype(np.uint16) for _ in range(count)]
    content = {
        "labels": (np.arange(count) % 3).astype(np.uint16),
        "extra/keys": np.array([b"null", b"eins", b"zwei"]),
        "extra/speaker": (np.arange(count) % 4).astype(np.uint16) if speakers else None,
        "spikes/times": times,
        "spikes/units": units,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in (content | changes).items():
            if isinstance(value, list):
                ragged = file.create_dataset(name, len(value), h5py.vlen_dtype(value[0].dtype))
                for n, row in enumerate(value):
                    ragged[n] = row
            elif value is not None:
                file[name] = value
    return times, units


def write_shd(folder):
    """The files of the Spiking Heidelberg Digits with noise in them, for a smoke run."""
    for part in ("train", "test"):
        write_h5(folder / "shd" / f"shd_{part}.h5", count=40, spikes=400)


def idx_bytes(array):
    array = np.asarray(array, dtype=np.uint8)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def write_wav(path, rate=8000, samples=None, dtype=np.int16):
    samples = np.arange(1200) % 100 * 50 if samples is None else samples
    scipy.io.wavfile.write(path, rate, np.asarray(samples).astype(dtype))
    return path


def spoken(folder, speakers=("ann", "ben", "cid", "dot")):
    """Recordings as the originals are named; the digits differ in pitch."""
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in speakers:
            for number in range(14):
                length = 1000 + 100 * number
                tone = 9000 * np.sin(np.arange(length) * (digit + 2) / 10)
                write_wav(folder / f"{digit}_{speaker}_{number}.wav", samples=tone)
    return folder


def write_tsv(path, count=10, classes=("1", "2"), steps=6, seed=0):
    generator = np.random.default_rng(seed)
    lines = []
    for n in range(count):
        values = generator.normal(n % len(classes), 1, steps - n % 3).round(3).tolist()
        row = [classes[n % len(classes)], *map(str, values), *["NaN"] * (n % 3)]
        lines.append("\t".join(row))
    path.write_text("\n".join(lines) + "\n")
    return path
