#!/usr/bin/env python3
"""Makes the numbers that the tests of the trainer's strategies compare against: each strategy over five rounds, in NumPy and
f64, from the formulas of its paper.

    pip install numpy
    python3 scripts/strategies-reference.py

It writes `crates/trainer/tests/reference/strategies.json`: the updates of seven clients in each round, and the global model
that each strategy makes of them. It shares no line with the trainer.
"""

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent.parent / "crates/trainer/tests/reference/strategies.json"
ROUNDS, CLIENTS, WEIGHTS = 5, 7, 24
SAMPLES = [600, 100, 350, 601, 1, 420, 77]


def float32(values):
    """What a client can send, as f64."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def updates():
    """Clients that agree on a direction, with noise; one that lies; weights that no client changes, and ties."""
    random = np.random.default_rng(42)
    start = float32(random.normal(0, 0.3, WEIGHTS))
    start[3] = 0.0
    rounds = []
    for number in range(ROUNDS):
        way = start + (number + 1) * random.normal(0, 0.05, WEIGHTS)
        clients = way + random.normal(0, 0.02, (CLIENTS, WEIGHTS))
        clients[4] = random.normal(0, 3, WEIGHTS)  # The liar.
        clients[:, 3] = 0.0
        clients[1:3, 5] = clients[0, 5]
        if number == 2:
            clients[:, 7] = start[7]
        rounds.append(float32(clients))
    return start, rounds


def shares(weighting, clients):
    n = np.array(SAMPLES[: len(clients)], dtype=np.float64) if weighting == "samples" else np.ones(len(clients))
    return n / n.sum()


def change(w, clients, weighting):
    """The sum of p_k (w_k - w)."""
    return (shares(weighting, clients)[:, None] * (clients - w)).sum(axis=0)


def fedavg(weighting):
    return lambda w, clients: w + change(w, clients, weighting)


def fedavgm(weighting, beta, eta):
    """Hsu et al. 2019, section 4.3: v <- beta v + change; w <- w + eta v. (There the change has the other sign, twice.)"""
    v = np.zeros(WEIGHTS)

    def step(w, clients):
        nonlocal v
        v = beta * v + change(w, clients, weighting)
        return w + eta * v

    return step


def adaptive(weighting, second, eta, beta1, tau):
    """Reddi et al. 2020, Algorithm 2."""
    m, v = np.zeros(WEIGHTS), np.full(WEIGHTS, tau**2)

    def step(w, clients):
        nonlocal m, v
        delta = change(w, clients, weighting)
        m = beta1 * m + (1 - beta1) * delta
        v = second(v, delta)
        return w + eta * m / (np.sqrt(v) + tau)

    return step


def adagrad(v, delta):
    return v + delta**2


def adam(beta2):
    return lambda v, delta: beta2 * v + (1 - beta2) * delta**2


def yogi(beta2):
    return lambda v, delta: v - (1 - beta2) * delta**2 * np.sign(v - delta**2)


def diloco(weighting, eta, mu):
    """Douillard et al. 2023, Algorithm 1, with torch.optim.SGD(lr=eta, momentum=mu, nesterov=True) as its outer optimizer."""
    buffer = None

    def step(w, clients):
        nonlocal buffer
        gradient = -change(w, clients, weighting)
        buffer = gradient if buffer is None else mu * buffer + gradient
        return w - eta * (gradient + mu * buffer)

    return step


def median(w, clients):
    return np.median(clients, axis=0)


def trimmed_mean(beta):
    def step(w, clients):
        left_out = int(beta * len(clients) + 1e-9)
        return np.sort(clients, axis=0)[left_out : len(clients) - left_out].mean(axis=0)

    return step


def scores(clients, f):
    """Blanchard et al. 2017, section 4: the sum of the squared distances to the n - f - 2 nearest others."""
    n = len(clients)
    distances = ((clients[:, None, :] - clients[None, :, :]) ** 2).sum(axis=2)
    others = [np.sort(np.delete(distances[i], i)) for i in range(n)]
    return np.array([near[: n - f - 2].sum() for near in others])


def krum(f):
    return lambda w, clients: clients[np.argmin(scores(clients, f))]


def multi_krum(f, m):
    return lambda w, clients: clients[np.argsort(scores(clients, f), kind="stable")[:m]].mean(axis=0)


# Strategy, weighting, the first so many clients, and the step.
CASES = [
    ("fedavg", "samples", CLIENTS, fedavg("samples")),
    ("fedavg", "uniform", CLIENTS, fedavg("uniform")),
    ("fedavgm", "samples", CLIENTS, fedavgm("samples", 0.9, 1.0)),
    ("fedavgm:beta=0.5,eta=0.25", "uniform", CLIENTS, fedavgm("uniform", 0.5, 0.25)),
    ("fedadagrad:eta=0.1", "samples", CLIENTS, adaptive("samples", adagrad, 0.1, 0.0, 1e-3)),
    ("fedadagrad:eta=0.1,beta1=0.5,tau=0.01", "uniform", CLIENTS, adaptive("uniform", adagrad, 0.1, 0.5, 0.01)),
    ("fedadam:eta=0.1", "samples", CLIENTS, adaptive("samples", adam(0.99), 0.1, 0.9, 1e-3)),
    ("fedadam:eta=0.03,beta1=0.5,beta2=0.9,tau=0.01", "uniform", CLIENTS, adaptive("uniform", adam(0.9), 0.03, 0.5, 0.01)),
    ("fedyogi:eta=0.1", "samples", CLIENTS, adaptive("samples", yogi(0.99), 0.1, 0.9, 1e-3)),
    ("fedyogi:eta=0.03,beta1=0.5,beta2=0.9,tau=0.01", "uniform", CLIENTS, adaptive("uniform", yogi(0.9), 0.03, 0.5, 0.01)),
    ("diloco", "samples", CLIENTS, diloco("samples", 0.7, 0.9)),
    ("diloco:eta=0.5,mu=0.5", "uniform", CLIENTS, diloco("uniform", 0.5, 0.5)),
    ("median", "samples", CLIENTS, median),
    ("median", "samples", 6, median),
    ("trimmed-mean", "samples", CLIENTS, trimmed_mean(0.2)),
    ("trimmed-mean", "samples", 5, trimmed_mean(0.2)),
    ("trimmed-mean:beta=0.4", "uniform", CLIENTS, trimmed_mean(0.4)),
    ("krum", "samples", CLIENTS, krum(1)),
    ("krum:f=2", "uniform", CLIENTS, krum(2)),
    ("krum", "samples", 5, krum(1)),
    ("krum", "samples", 6, krum(1)),
    ("multi-krum:f=2", "samples", CLIENTS, multi_krum(2, CLIENTS - 2)),
    ("multi-krum:f=1,m=3", "uniform", CLIENTS, multi_krum(1, 3)),
]


def main():
    start, rounds = updates()
    cases = []
    for strategy, weighting, clients, step in CASES:
        w, models = start, []
        for updates_of_round in rounds:
            w = step(w, updates_of_round[:clients])
            models.append(w.tolist())
        cases.append({"strategy": strategy, "weighting": weighting, "clients": clients, "models": models})
    numbers = {
        "start": start.tolist(),
        "samples": SAMPLES,
        "updates": [clients.tolist() for clients in rounds],
        "cases": cases,
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(numbers, separators=(",", ":")).replace('{"strategy"', '\n{"strategy"') + "\n")
    print(f"{FILE.name}: {len(cases)} cases")


main()
