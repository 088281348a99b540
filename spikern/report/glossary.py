"""The words of tables and figures, each explained once: for the HTML report and the docs."""

WORDS = {
    "accumulate (AC)": "The addition of one weight. A spike costs one at every synapse that it "
    "reaches.",
    "multiply-accumulate (MAC)": "The product of a weight and a number, added. An analog value "
    "costs one at every synapse, so standard networks and analog inputs cost them in every step.",
    "update": "All other arithmetic of a neuron in a step: leaks, thresholds, resets, gates, "
    "counted from its equations. Neurons that do not fire cost it too.",
    "rate": "The share of the neurons that fire in a step: spikes per neuron and step.",
    "energy estimate": "Counted operations times the prices of a published energy table. No chip "
    "was measured; compare two estimates only by the same table.",
    "energy table": "Prices of operations and memory accesses in pJ, from one publication for one "
    "technology; each says what it leaves out.",
    "memory bounds": "Two counts of memory traffic between which a real machine lies. Registers: "
    "sums are kept next to the arithmetic, the least traffic possible. Read-modify-write: every "
    "spike reads and writes back the state of every neuron that it reaches.",
    "twin": "A standard network that a spiking one is compared with: of equal parameters, in int8, "
    "pruned, or the smallest that is as accurate.",
    "break-even rate": "The rate at which the spiking network and its twin would need the same, "
    "everything else being equal.",
    "cap": "The ratio that a spiking network would reach if no neuron fired. Updates and the input "
    "remain, so sparsity cannot save more.",
    "parameters": "Trainable numbers, trained time constants included. Models are brought to one "
    "budget within 5 %, unless a width is asked for.",
    "seed": "The number from which a training draws its weights and batches. Accuracies, counts "
    "and energies of the table of models are means over seeds; ± is half of a 95 % interval of the "
    "mean. Quantities that take long to find are those of seed 0, and say so.",
    "majority class": "A classifier that always answers the most frequent class of the training "
    "split.",
    "logistic regression": "A linear classifier of the raw sequence without recurrence; of one "
    "step, where every step has a label. Sequences of more than 1,000 numbers are averaged over "
    "bins of steps, and at most 5,000 training answers are used. A network that is not above it "
    "has not shown that its recurrence is of use.",
    "time": "Measured time of one inference at batch 1 on one thread of this computer, by the "
    "fastest runtime of float32 that is installed. int8 may be faster still, with other answers: "
    "spikern count --measure. A processor is built for dense arithmetic, so time says little about "
    "a chip made for spikes.",
    "stream": "The event-driven engine of spikern: one step at a time, work only where spikes are.",
    "late gain": "The share of the gain in validation accuracy that came in the last tenth of the "
    "epochs. Above 2 % a training counts as not ended. The learning rate of a study falls to zero, "
    "so an ended training has used its schedule up; more epochs may still bring more.",
}


def anchor(word: str) -> str:
    """The fragment of an address that leads to a word, as Markdown viewers make it of a heading.

    >>> anchor("multiply-accumulate (MAC)"), anchor("break-even rate")
    ('multiply-accumulate-mac', 'break-even-rate')
    """
    return word.lower().replace(" ", "-").replace("(", "").replace(")", "")
