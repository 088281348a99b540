"""One training by hand, judged on validation: a trial beside the plans of the studies.

python experiments/trial.py --help
python experiments/trial.py --dataset digits --model BRF --seed 1000 --budget 20000 \\
    --training.epochs 10 --training.learning-rate 0.03
"""

import tempfile
from pathlib import Path

import tyro

from spikern._utils.processes import one_thread
from spikern._utils.program import errors_in_one_line
from spikern.studies.trainings import TrainingJob, validate

if __name__ == "__main__":
    with errors_in_one_line(), tempfile.TemporaryDirectory() as folder, one_thread():
        job = tyro.cli(TrainingJob)
        print(job, validate(job, Path(folder) / "trial.safetensors"))
