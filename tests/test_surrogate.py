"""Every surrogate: its derivative is that of its primitive, and zero outside its support."""

import copy
import math
import pickle

import pytest
import torch

from spikern._utils.errors import InputError
from spikern.neurons.surrogate import SURROGATES, spike


@pytest.mark.parametrize("name", SURROGATES)
def test_derivative_is_that_of_the_primitive(name):
    surrogate = SURROGATES[name]()
    # an even number of points avoids the kinks at 0 and at the edges of the support
    u = torch.linspace(-3, 3, 1000, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(surrogate.primitive(u).sum(), u)
    # float64 rounding of the two formulas
    torch.testing.assert_close(slope, surrogate.derivative(u), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", SURROGATES)
def test_support_is_where_the_derivative_is_nonzero(name):
    surrogate = SURROGATES[name]()
    if math.isinf(surrogate.support):
        assert surrogate.derivative(torch.tensor([3.0])).item() != 0
    else:
        edge = torch.tensor([0.99, 1.01]) * surrogate.support
        inside, outside = surrogate.derivative(edge).tolist()
        assert inside > 0
        assert outside == 0


@pytest.mark.parametrize("name", SURROGATES)
def test_spike_has_the_derivative(name):
    surrogate = SURROGATES[name]()
    u = torch.linspace(-2, 2, 101, requires_grad=True)
    z = spike(surrogate)(u)
    z.sum().backward()
    assert torch.equal(z, (u > 0).float())
    assert torch.equal(u.grad, surrogate.derivative(u.detach()))


@pytest.mark.parametrize("name", SURROGATES)
def test_copies_and_pickles(name):
    surrogate = SURROGATES[name]()
    for twin in (copy.deepcopy(surrogate), pickle.loads(pickle.dumps(surrogate))):
        assert (twin.name, twin.settings) == (surrogate.name, surrogate.settings)


def test_bad_settings():
    with pytest.raises(InputError, match="width must be above 0"):
        SURROGATES["triangular"](width=0.0)
