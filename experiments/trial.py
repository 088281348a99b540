"""One training by hand, judged on validation: what is tried beside the plans of the studies.

python experiments/trial.py --help
python experiments/trial.py --dataset digits --model BRF --seed 1000 --budget 20000 --answer last \\
    --layers 1 --sequences None --training.epochs 10 --training.learning-rate 0.03
"""

import tempfile
from pathlib import Path

import tyro

from spikern._utils.processes import one_thread
from spikern.studies.protocol import Run, validate

if __name__ == "__main__":
    run = tyro.cli(Run)
    with tempfile.TemporaryDirectory() as folder, one_thread():
        print(run, validate(run, Path(folder) / "trial.safetensors"))
