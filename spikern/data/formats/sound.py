"""Sound as bands of frequency: the log-mel spectrogram, and events as of a cochlea.

power    |FFT|^2 of Hann windows, one every hop ms
bands    triangles, evenly spaced on the mel scale  m(f) = 2595 log10(1 + f / 700)
output   log(band + FLOOR)
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikern._utils import foreign
from spikern._utils.errors import DataError

Sound = npt.NDArray[np.float32]
WINDOW = 25.0
"""Milliseconds of sound per step."""
FLOOR = 1e-6
"""Power below which a band is silent; full scale is 1."""


def read_wav(path: Path, sample_rate: int) -> Sound:
    """Read a mono recording of 16 bits as samples in -1..1. Raises DataError on any other."""
    rate, sound = read_sound(path)
    if rate != sample_rate:
        raise DataError(f"{path}: expected {sample_rate} samples a second, got {rate}; resample")
    return sound


def read_sound(path: Path) -> tuple[int, Sound]:
    """Read the sample rate and the samples of a mono recording of 16 bits; DataError on others."""
    from scipy.io import wavfile  # SciPy takes a second to import

    with foreign.parsed(path, "a wav file"):
        content = path.read_bytes()
        announced = 8 + int.from_bytes(content[4:8], "little")  # scipy accepts a truncated file
        if not content.startswith(b"RIFF") or len(content) < announced:
            raise ValueError(f"got {len(content)} bytes that begin with {content[:4]!r}")
        rate, samples = wavfile.read(io.BytesIO(content))
    if samples.ndim != 1 or samples.dtype != np.int16 or len(samples) == 0:
        raise DataError(
            f"{path}: expected one channel of 16 bits, got {samples.shape} {samples.dtype}"
        )
    sound: Sound = samples.astype(np.float32) / 32768
    return rate, sound


def log_mel(
    sound: Sound, sample_rate: int, hop: float, bands: int, window: float = WINDOW
) -> Sound:
    """Return the spectrogram (T, bands) of `window` ms every `hop` ms, at least one step.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    >>> spectrum = log_mel(tone, 8000, hop=10.0, bands=40)
    >>> spectrum.shape, int(spectrum.mean(0).argmax())  # 1000 mel of 2146, 40 bands
    ((98, 40), 18)
    """
    from scipy.signal import get_window

    length, step = round(window * sample_rate / 1000), round(hop * sample_rate / 1000)
    size = 1 << (length - 1).bit_length()
    padded = np.pad(sound, (0, max(0, length - len(sound))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::step]
    hann = get_window("hann", length).astype(np.float32)
    power = np.abs(np.fft.rfft(windows * hann, size)) ** 2 / hann.sum() ** 2
    spectrum: Sound = np.log(power @ mel_bands(sample_rate, size, bands) + FLOOR)
    return spectrum.astype(np.float32)


def cochlea(
    sound: Sound, sample_rate: int, hop: float, bands: int, highest_rate: float,
    window: float = WINDOW,
) -> Sound:  # fmt: skip
    """Return events (T, bands) in {0, 1}, from the log power of each band above silence.

    `highest_rate` is that of a band at full scale, in events per step.

    >>> bool(cochlea(np.zeros(800, dtype=np.float32), 8000, 4.0, 40, 0.5).any())
    False
    """
    import torch

    from spikern.events.encoders import integrate

    loudness = 1 - log_mel(sound, sample_rate, hop, bands, window) / np.log(FLOOR)
    drive = torch.from_numpy(np.clip(highest_rate * loudness, 0, 1)).unsqueeze(1)
    events: Sound = integrate(drive).squeeze(1).numpy()
    return events


def mel_bands(sample_rate: int, size: int, bands: int) -> npt.NDArray[np.float64]:
    """Return the weights (size / 2 + 1, bands) of the triangles, each 1 at its centre."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)
