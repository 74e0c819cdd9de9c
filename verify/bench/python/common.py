"""What the scripts share: the original's SimpleCNN, MNIST, and the clock of a training loop."""

import argparse
import gzip
import os
import pathlib
import threading
import time

import torch
from torch import nn
from torch.nn import functional as F


class SimpleCNN(nn.Module):
    """The network of the original project."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def idx(directory, name, header):
    """The bytes of an IDX file, raw or packed, after its header."""
    path = pathlib.Path(directory, name)
    data = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(name + ".gz").read_bytes())
    return bytearray(data[header:])


def mnist(directory):
    """MNIST's training set: images [60000, 1, 28, 28], u8, and labels [60000]."""
    images = torch.frombuffer(idx(directory, "train-images-idx3-ubyte", 16), dtype=torch.uint8)
    labels = torch.frombuffer(idx(directory, "train-labels-idx1-ubyte", 8), dtype=torch.uint8)
    return images.view(-1, 1, 28, 28), labels.long()


def normalized(images):
    """Pixels as the network wants them."""
    return (images.float() / 255 - 0.1307) / 0.3081


def train(model, optimizer, images, labels, args, first, steps):
    """So many steps from minibatch `first` on, as a plain training loop has it."""
    for step in range(first, first + steps):
        batch = slice(step * args.batch, (step + 1) * args.batch)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(normalized(images[batch])), labels[batch])
        loss.backward()
        optimizer.step()


def timed(model, images, labels, args, meet=lambda: None):
    """Seconds of the steps that count. All processes `meet` before and after."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    train(model, optimizer, images, labels, args, 0, args.warm_up)
    meet()
    start = time.perf_counter()
    train(model, optimizer, images, labels, args, args.warm_up, args.steps)
    meet()
    return time.perf_counter() - start


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=10)
    return parser.parse_args()


def end_with_parent():
    """Ends this process when whoever started it is gone, and with it the other end of stdin."""

    def wait():
        while os.read(0, 1):  # Not `sys.stdin`, whose lock this thread would hold when the process ends.
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
