"""An independent simulation of every neuron: float64, one neuron and one step at a time.

Written from the papers' equations in their own form (complex numbers where they have them, resets
where they put them), and from nothing in the package. Each function gets a neuron's constants, its
memory, which starts at zero and which it changes, and its current; it returns what is observed.
"""

import math
from collections import defaultdict

DT_HIGUCHI = 0.01
"""The step of Higuchi et al.; the units of their b and I follow from it."""


def lif(p, m, i):
    v = p["alpha_mem"] * m["v"] + (1 - p["alpha_mem"]) * i
    if m["z"]:
        v -= p["v_th"]
    m["v"], m["z"] = v, float(v > p["v_th"])
    return dict(m)


def alif(p, m, i):
    m["a"] *= p["alpha_adapt"]
    if m["z"]:
        m["a"] += 1 - p["alpha_adapt"]
    v = p["alpha_mem"] * m["v"] + (1 - p["alpha_mem"]) * i - p["v_th"] * m["z"]
    m["v"], m["z"] = v, float(v - p["adapt_scale"] * m["a"] > p["v_th"])
    return dict(m)


def li(p, m, i):
    m["v"] = i + (m["v"] - i) * p["alpha_mem"]
    return dict(m)


def hard_lif(p, m, i):
    """The reset happens at once; what is observed is the peak before it."""
    peak = i + (m["v"] - i) * p["alpha_mem"]
    fired = peak > p["v_th"]
    m["v"] = p["v_reset"] if fired else peak
    return {"v": peak, "z": float(fired)}


def refractory_lif(p, m, i):
    """Told by the time of the last spike, not by a count."""
    m["t"] += 1
    since = m["t"] - m["last"] if m["last"] else math.inf
    if since <= p["n_ref"]:
        return {"v": 0.0, "r": p["n_ref"] - since + 1, "z": 0.0}
    start = 0.0 if since == p["n_ref"] + 1 else m["v"]
    m["v"] = i + (start - i) * p["alpha_mem"]
    fired = m["v"] > p["v_th"]
    if fired:
        m["last"] = m["t"]
    return {"v": m["v"], "r": 0.0, "z": float(fired)}


def cuba_lif(p, m, i):
    m["i_syn"] = p["alpha_syn"] * m["i_syn"] + (1 - p["alpha_syn"]) * i
    m["v"] = p["alpha_mem"] * m["v"] + (1 - p["alpha_mem"]) * m["i_syn"] - p["v_th"] * m["z"]
    m["z"] = float(m["v"] > p["v_th"])
    return dict(m)


def adlif(p, m, i):
    u, s = m["v"], m["z"]
    w = p["alpha_adapt"] * m["w"] + p["adapt_sub"] * u + p["adapt_spike"] * s
    u = p["alpha_mem"] * (u - p["v_th"] * s) + (1 - p["alpha_mem"]) * (i - w)
    m.update(v=u, w=w, z=float(u > p["v_th"]))
    return dict(m)


def se_adlif(p, m, i):
    q = 120
    a, b = p["adapt_sub"] / q, p["adapt_spike"] / q
    u = p["alpha_mem"] * m["v"] + (1 - p["alpha_mem"]) * (i - m["w"])
    s = float(u > p["v_th"])
    if s:
        u = 0.0
    w = p["alpha_adapt"] * m["w"] + (1 - p["alpha_adapt"]) * (a * u + b * s) * q
    m.update(v=u, w=w, z=s)
    return dict(m)


def rf(p, m, i):
    """The reset z = i happens at once; what is observed is the oscillator before it."""
    x, y = m["current"], m["voltage"]
    x = x * p["alpha_mem"] - p["omega"] * y + i
    y = y * p["alpha_mem"] + p["omega"] * x
    fired = y > p["v_th"]
    m["current"], m["voltage"] = (0.0, p["v_th"]) if fired else (x, y)
    return {"y": x, "v": y, "z": float(fired)}


def brf(p, m, i):
    dt = DT_HIGUCHI
    omega = p["omega"] / dt
    divergence = (-1 + math.sqrt(1 - (dt * omega) ** 2)) / dt
    offset = (1 - p["alpha_mem"]) / dt
    b = divergence - offset - m["q"] * p["q_damp"] / dt
    u = m["complex"] or 0j
    u = u + dt * (complex(b, omega) * u + i / dt)
    z = float(u.real > p["v_th"] + m["q"])
    seen = {"v": u.real, "y": u.imag, "q": m["q"], "z": z}
    m.update(complex=u, q=m["q"] * p["alpha_ref"] + z)
    return seen


def eif(p, m, i):
    runaway = p["v_sharp"] * math.exp((m["v"] - p["v_rh"]) / p["v_sharp"])
    v = p["alpha_mem"] * m["v"] + (1 - p["alpha_mem"]) * (i + runaway)
    fired = v > p["v_th"]
    m["v"] = 0.0 if fired else v
    return {"v": v, "z": float(fired)}


def tc_lif(p, m, i):
    """Both soft resets happen at once; what is observed is the neuron before them."""
    dendrite = m["dendrite"] - p["beta_soma"] * m["soma"] + i
    soma = m["soma"] + p["beta_dend"] * dendrite
    s = float(soma > p["v_th"])
    m.update(dendrite=dendrite - p["reset_dend"] * s, soma=soma - p["v_th"] * s)
    return {"v_dend": dendrite, "v": soma, "z": s}


GOLDEN = {
    **{"LIF": lif, "ALIF": alif, "LI": li, "HardLIF": hard_lif, "RefractoryLIF": refractory_lif},
    **{"CubaLIF": cuba_lif, "AdLIF": adlif, "SEAdLIF": se_adlif, "RF": rf, "BRF": brf},
    **{"EIF": eif, "TCLIF": tc_lif},
}


def run(name, params, x, w_rec):
    """x (T, H), w_rec (H, H) or None, params a list of H dictionaries; observations [t][h]."""
    size = len(params)
    memories = [defaultdict(float) for _ in range(size)]
    z = [0.0] * size
    seen = []
    for row in x:
        currents = [
            row[n] + (sum(w_rec[n][k] for k in range(size) if z[k]) if w_rec is not None else 0.0)
            for n in range(size)
        ]
        seen.append([GOLDEN[name](params[n], memories[n], currents[n]) for n in range(size)])
        z = [each.get("z", 0.0) for each in seen[-1]]
    return seen
