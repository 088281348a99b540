"""From a neuron's step to its kernels: trace it, print it, compile it, keep it."""
