"""The folder of an exported network: header, source, an example, and how to build it."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from spikern._utils import atomic
from spikern._utils.choices import check_choice, check_type
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern.data.catalogue import DATASETS
from spikern.interop.c import gated, spiking
from spikern.interop.c.arrays import Code, Member, declaration, is_identifier
from spikern.layers.arguments import check_weights
from spikern.layers.baseline import Baseline
from spikern.layers.network import Network
from spikern.layers.rnn import SpikingRNN
from spikern.layers.streaming import compile_stream

Numbers = Literal["float32", "int8", "fixed"]
DSP = """\
#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#endif
"""

TARGETS = ("Makefile", "clean", "main")
"""What the folder has already, and make would take for something else than the program."""


def export_c(
    trained: Network | SpikingRNN,
    folder: str | Path,
    numbers: Numbers = "float32",
    name: str | None = None,
) -> Path:
    """Write a trained network as C99 to a new folder, and return it.

    The folder has NAME.h, NAME.c, an example main.c, a Makefile and a README.md that says how to
    call it. The code allocates nothing and has no globals; the caller keeps the state. NAME is
    that of the folder by default.

    numbers  float32: spikes and outputs are those of `compile_stream`.
             int8: each row of weights (the synapses onto one neuron) is whole numbers and a scale.
             Spikes then add whole numbers, and each neuron scales the sum once. Gated networks
             are fixed point throughout.
             fixed: the weights of int8, and the neurons' own equations in int32 with 20 bits of
             fraction, for processors without floating point. States are held to -512..512,
             inputs to -64..64. For neurons whose equations have sums, products, comparisons and
             choices alone.

    Raises InputError for a name that C does not allow, weights that are not finite, or an unknown
    `numbers`; DataError if the folder exists; UnsupportedError for what cannot be written.

    >>> import tempfile
    >>> from spikern import build
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder = export_c(build("LIF", 1, 8, 2), f"{place}/tiny")
    ...     sorted(path.name for path in folder.iterdir())
    ['Makefile', 'README.md', 'main.c', 'tiny.c', 'tiny.h']
    """
    folder = Path(folder)
    name = folder.name if name is None else name
    check_choice("numbers", numbers, get_args(Numbers))
    if not is_identifier(name):
        raise InputError(
            f"{name!r} is not an identifier of C; choose one of ASCII letters and digits, which is "
            f"that of the folder by default"
        )
    if name in TARGETS:
        raise InputError(f"the folder has another {name}; choose another name")
    if folder.exists():
        raise DataError(f"{folder} exists; choose a new folder")
    check_type("what is exported", trained, Network, SpikingRNN)
    check_weights(trained)
    if isinstance(trained, Network) and isinstance(trained.body, Baseline):
        body = trained.body
        if numbers == "fixed":
            raise UnsupportedError(f"a {body.kind} is in fixed point with numbers 'int8'; use that")
        code = gated.code(trained, numbers == "int8", name)
        inputs, outputs = body.input_size, trained.readout.out_features
        title = f"{body.kind} network of {body.num_layers} x {body.hidden_size} units"
    else:
        stream = compile_stream(trained)
        mean = isinstance(trained, Network) and trained.answer == "mean"
        code = spiking.code(stream, numbers, mean, name)
        inputs, outputs = stream.input_size, stream.output_size
        sizes = ", ".join(f"{len(p.bias)} {p.step.name}" for p in stream.populations)
        title = f"spiking network of {sizes} neurons"
    constants = "\n".join(declaration(*item) for item in code.arrays.items())
    functions = _functions(code)
    facts = {
        "name": name,
        "NAME": name.upper(),
        "title": f"{title}, {inputs} inputs, {outputs} outputs, {numbers}",
        "inputs": str(inputs),
        "taken": "one number" if inputs == 1 else f"{inputs} numbers",
        "outputs": str(outputs),
        "flash": f"{code.flash:,}",
        "ram": f"{code.ram:,}",
        "version": version("spikern"),
        "members": "\n".join(f"    {m.text}" for m in _by_width(code)),
        "constants": constants,
        "functions": functions,
        "includes": _includes(constants + functions),
        "answer": _meaning(trained),
        "task": _task(trained),
        "sequence": _sequence(trained),
    }
    for file in ("network.h", "network.c", "main.c", "Makefile", "README.md"):
        text = (files("spikern.interop.c") / "template" / file).read_text(encoding="utf-8")
        target = file.replace("network", name)
        atomic.write(folder / target, re.sub(r"@(\w+)@", lambda found: facts[found[1]], text))
    return folder


def _by_width(code: Code) -> list[Member]:
    """The members of the state, the widest first, so that no byte is lost between them."""
    return sorted(code.state, key=lambda member: -member.width)


def _meaning(trained: Network | SpikingRNN) -> str:
    form = trained.answer if isinstance(trained, Network) else "last"
    return "the mean over all steps" if form == "mean" else "that of the last step"


def _task(trained: Network | SpikingRNN) -> str:
    """What an input must have gone through, and what the answers stand for."""
    task = getattr(trained, "task", None)
    if task is None:
        return "It takes what it was trained on; the network does not say what that was."
    steps = "; ".join(
        f"{t.name}({', '.join(f'{key} = {value}' for key, value in t.parameters.items())})"
        for t in task.transforms
    )
    taken = (
        f"It does not take raw readings of {task.dataset}: these must go first, in this order, "
        f"through {steps} (see spikern.data.transforms)."
        if steps
        else f"It takes readings of {task.dataset} as they are."
    )
    names = ", ".join(f"{k} is {name!r}" for k, name in enumerate(task.class_names))
    return f"{taken} A step lasts {task.dt:g} ms. Of the answers, {names}."


def _sequence(trained: Network | SpikingRNN) -> str:
    """How to get a sequence for the example, if the data set is one of the package."""
    task = getattr(trained, "task", None)
    if task is None or task.dataset not in DATASETS:
        return ""
    code = f"np.savetxt('sequence.txt', load('{task.dataset}').test[0][0])"
    return (
        "The first of the test sequences, as it goes in:\n\n```sh\n"
        f'python -c "import numpy as np; from spikern.data import load; {code}"\n```\n\n'
    )


def _functions(code: Code) -> str:
    """The network's functions, after those of the runtime that they call."""
    body = "\n".join(code.body)
    runtime = (files("spikern.interop.c") / "runtime.c").read_text(encoding="utf-8")
    called: list[str] = []
    for text in reversed(runtime.split("\n\n")[1:]):
        (name,) = re.findall(r"^static \w+ (\w+)\(", text, re.MULTILINE)
        if re.search(rf"\b{name}\(", body + "".join(called)):
            called.insert(0, text.strip("\n") + "\n")
    return "\n".join([*called, body])


def _includes(source: str) -> str:
    """The lines that include what constants and functions need."""
    math = "#include <math.h>\n" if re.search(r"\b[a-z0-9]+f\(|INFINITY|NAN", source) else ""
    return (
        math
        + "#include <stddef.h>\n#include <string.h>\n"
        + (DSP if "__ARM_FEATURE_DSP" in source else "")
    )
