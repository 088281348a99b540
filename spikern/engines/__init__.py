"""Engines: ways to run the same neuron; `reference` defines what all of them must give."""
