"""The kernels compiled to machine code of an H100, which needs no GPU: registers, spills, FMAs."""

import re
import subprocess
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from spikern.engines.codegen import cache, trace, triton_kernels
from spikern.engines.triton import GANGS, NARROW, TILE, WIDEST, depth, row_warps, tile_warps
from spikern.neurons import NEURONS
from spikern.neurons.surrogate import triangular

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
INTEGERS = {"first", "last", "origin", "every", "steps", "B", "H"}
POINTERS = {"lengths": "*i64", "listed": "*i32", "counts": "*i32", "done": "*i32"}


def compiled(name, kernel, width, warps, tmp_path, ones=(), together=False, **options):
    """Registers, accesses to spilled registers and fused multiply-adds of a kernel."""
    model = NEURONS[name]
    gradient = trace.gradient(model, triangular())
    module = cache.load(triton_kernels.source(trace.step(model), gradient))
    function = getattr(module, kernel)
    constants = {"HP": width, "RECURRENT": model.spikes, "TAPE": True}
    constants |= {"KP": depth(width), "TOGETHER": together}
    constants |= dict.fromkeys(ones, 1)  # Triton takes a 1 for a part of the program
    constants = {k: v for k, v in constants.items() if k in function.arg_names}
    signature = {
        argument: "constexpr" if argument in constants
        else "i32" if argument in INTEGERS
        else POINTERS.get(argument, "*fp32")
        for argument in function.arg_names
    }  # fmt: skip
    aligned = {  # as torch allocates, and where sizes are multiples of 16
        (k,): [["tt.divisibility", 16]]
        for k, argument in enumerate(function.arg_names)
        if not ones and (argument in ("B", "H") or signature[argument].startswith("*"))
    }
    done = triton.compile(
        ASTSource(function, signature, constexprs=constants, attrs=aligned),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps} | options,
    )
    path = tmp_path / "kernel.cubin"
    path.write_bytes(done.asm["cubin"])

    def dumped(flag):
        return subprocess.run(
            [CUOBJDUMP, flag, path], capture_output=True, text=True, check=True
        ).stdout

    code = dumped("-sass")
    registers = int(re.search(r"REG:(\d+)", dumped("-res-usage"))[1])
    return registers, len(re.findall(r"\b(LDL|STL)\b", code)), len(re.findall(r"\bFFMA", code))


EXACT = ("LIF", "ALIF", "CubaLIF")


def every_neuron(*quick):
    marks = {name: () if name in quick else (pytest.mark.slow,) for name in NEURONS}
    return pytest.mark.parametrize("name", [pytest.param(n, marks=m) for n, m in marks.items()])


@pytest.mark.parametrize("width", [256, WIDEST])
@every_neuron("ALIF")
def test_the_forward_kernel_stays_in_registers_and_contracts_nothing(name, width, tmp_path):
    registers, spills, contracted = compiled(
        name, "forward", width, row_warps(width), tmp_path, enable_fp_fusion=False
    )
    assert registers <= 64  # so that 1,024 threads fit on a multiprocessor
    assert spills <= 24  # of constants of the loop over time
    if name in EXACT:  # an exact division is made of multiply-adds
        assert contracted == 0


@every_neuron("ALIF")
def test_the_sums_of_gradients_stay_in_registers(name, tmp_path):
    assert compiled(name, "sums", NARROW, tile_warps(NARROW), tmp_path)[1] == 0


@every_neuron("ALIF")
def test_the_backward_kernel_spills_little(name, tmp_path):
    """Two tiles of a product fill the registers; beside them some thirty are moved once a step."""
    _, spills, multiplied = compiled(name, "backward", TILE, tile_warps(TILE), tmp_path)
    assert spills <= (32 if name in EXACT else 128)
    if NEURONS[name].spikes:
        assert multiplied >= 256  # 16 samples by 16 rows, for each of a thread's neurons


@pytest.mark.parametrize("width", GANGS[:2])
@every_neuron("ALIF")
def test_the_backward_kernel_that_waits_for_others_stays_in_registers(name, width, tmp_path):
    warps = tile_warps(width)
    assert compiled(name, "backward", width, warps, tmp_path, together=True)[1] <= 16


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["forward", "backward", "sums"])
def test_one_sample_and_one_neuron_compile(kernel, tmp_path):
    assert compiled("ALIF", kernel, 16, 4, tmp_path, ones=("B", "H"))[0]
