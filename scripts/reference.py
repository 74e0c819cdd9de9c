#!/usr/bin/env python3
"""Makes the files that the tests of `model` and `weights` compare against, with PyTorch itself.

    pip install torch==2.13.0 numpy safetensors
    python3 scripts/reference.py

It writes into `tests/reference/` of the two crates:

- `arrays.safetensors`: logits, loss and gradients of SimpleCnn on nine images, and the weights after one step of Adam
  and of SGD and after three of Adam. Of tensors with more than 512 elements every 97th is kept, and the sums of all
  elements and of their squares.
- `expanded.pth`, `checkpoint.pth`, `double.pth`, `before-1.6.pth`: real files of `torch.save`. Their tensors are views
  that repeat a few numbers, so that they hold every shape of SimpleCnn in a few kilobytes.

Weights and images come from a formula that the tests know too, so that only results are stored.
"""

import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "verify/bench/python"))
from common import SimpleCNN  # noqa: E402  The network of the original project.

CRATES = ROOT / "crates"
MODEL, WEIGHTS = CRATES / "model/tests/reference", CRATES / "weights/tests/reference"
BATCH = 9
SAMPLE = 97


def noise(count, stream):
    """Integers below 2^16 that look random: a multiplicative hash of the index, in 32-bit arithmetic."""
    i = np.arange(count, dtype=np.uint64) + np.uint64(stream * 1_000_003)
    return ((i * np.uint64(2_654_435_761)) % np.uint64(2**32)) >> np.uint64(16)


def weights():
    """Every tensor uniform in ±1/sqrt(fan_in), exactly as the Rust side computes it."""
    state, fan_in = OrderedDict(), 1
    for stream, (name, tensor) in enumerate(SimpleCNN().state_dict().items()):
        if tensor.dim() > 1:
            fan_in = tensor[0].numel()
        bound = np.float32(1) / np.sqrt(np.float32(fan_in))
        unit = noise(tensor.numel(), stream).astype(np.float32) / np.float32(32768) - np.float32(1)
        state[name] = torch.from_numpy((unit * bound).reshape(tensor.shape))
    return state


def images():
    """A bright bar, at another height in each image, on a dark noisy ground: `[9, 784]`, u8; labels `[9]`."""
    pixels = (noise(BATCH * 784, 100) % np.uint64(64)).astype(np.uint8).reshape(BATCH, 28, 28)
    for n in range(BATCH):
        pixels[n, 2 * n + 4 : 2 * n + 8, 3 + n : 20 + n % 5] += np.uint8(180)
    return pixels, np.array([(3 * n) % 10 for n in range(BATCH)])


def model():
    cnn = SimpleCNN()
    cnn.load_state_dict(weights())
    return cnn


def loss_of(cnn, x, y):
    return nn.functional.cross_entropy(cnn(x), y)


def after(optimizer_of, steps, x, y):
    """The weights after some steps on one and the same minibatch."""
    cnn = model()
    optimizer = optimizer_of(cnn.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(cnn, x, y).backward()
        optimizer.step()
    return cnn.state_dict()


def keep(arrays, prefix, tensors):
    for name, tensor in tensors.items():
        flat = tensor.detach().numpy().ravel()
        wide = flat.astype(np.float64)
        arrays[f"{prefix}/{name}"] = flat[::SAMPLE].copy() if flat.size > 512 else flat.copy()
        arrays[f"{prefix}/{name}/sums"] = np.array([wide.sum(), (wide**2).sum()])


def write_arrays():
    pixels, labels = images()
    x = ((torch.from_numpy(pixels).float() / 255 - 0.1307) / 0.3081).unsqueeze(1)
    y = torch.from_numpy(labels)
    cnn = model()
    loss = loss_of(cnn, x, y)
    loss.backward()

    arrays = {"logits": cnn(x).detach().numpy(), "loss": loss.detach().numpy().reshape(1)}
    keep(arrays, "gradient", {name: p.grad for name, p in cnn.named_parameters()})
    keep(arrays, "adam1", after(lambda p: torch.optim.Adam(p, lr=1e-3), 1, x, y))
    keep(arrays, "adam3", after(lambda p: torch.optim.Adam(p, lr=1e-3), 3, x, y))
    keep(arrays, "sgd1", after(lambda p: torch.optim.SGD(p, lr=0.1), 1, x, y))
    save_file(arrays, MODEL / "arrays.safetensors")


def write_files():
    # Tensor i repeats the numbers i, i + 0.25, i + 0.5, … along its last axis.
    def expanded(dtype=torch.float32):
        state = OrderedDict()
        for i, (name, tensor) in enumerate(SimpleCNN().state_dict().items()):
            state[name] = (i + torch.arange(tensor.shape[-1], dtype=dtype) / 4).expand(tensor.shape)
        return state

    state = SimpleCNN().state_dict()
    state.update(expanded())
    torch.save(state, WEIGHTS / "expanded.pth")

    tiny = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(tiny.parameters())
    tiny(torch.ones(2)).sum().backward()
    optimizer.step()
    checkpoint = {"epoch": 3, "loss": 0.25, "done": False, "state_dict": state, "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, WEIGHTS / "checkpoint.pth")
    torch.save(expanded(torch.float64), WEIGHTS / "double.pth")
    # The older format, and beside the weights what only Python understands.
    beside = {"best": np.float64(0.25), "args": Namespace(lr=0.001), "kinds": {1, 2}}
    how = {"pickle_protocol": 4, "_use_new_zipfile_serialization": False}
    torch.save({**checkpoint, **beside}, WEIGHTS / "before-1.6.pth", **how)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_arrays()
    write_files()
    for path in sorted([*MODEL.iterdir(), *WEIGHTS.iterdir()]):
        print(f"{path.stat().st_size:8} {path.name}")
