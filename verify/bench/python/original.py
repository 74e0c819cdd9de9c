"""The original's algorithm on PySpark, written anew: 12 partitions of a directory of chunks; in each round every partition
takes one full-batch step of a fresh Adam from the global weights, the driver averages the state_dicts, and Spark counts
what the average recognises of the training data. Prints the seconds of all, of training, and of evaluating.

Where there is a choice, it is the faster one: samples are cached, and tasks compute with one thread on each core.
"""

import time

BEGIN = time.perf_counter()  # Before the imports, which are part of a run.

import argparse
import json
import pathlib
import tempfile

import numpy
import torch
from pyspark.sql import SparkSession
from torch.nn import functional as F

import common
from common import SimpleCNN, end_with_parent, mnist, normalized

PARTITIONS = 12
CHUNK = 1000  # Samples in a chunk.
LEARNING_RATE = 1e-3


def write_chunks(directory, data, samples):
    """The chunk files that the receiver would have written."""
    images, labels = mnist(data)
    paths = []
    for first in range(0, samples, CHUNK):
        rows = slice(first, min(first + CHUNK, samples))
        paths.append(f"{directory}/chunk-{first // CHUNK:08}.npz")
        numpy.savez(paths[-1], images=images[rows].numpy(), labels=labels[rows].numpy())
    return paths


def samples_of(path):
    """The samples of a chunk file."""
    with numpy.load(path) as chunk:
        return list(zip(chunk["images"], chunk["labels"].tolist()))


def partition_of(rows, state):
    """A partition's images and labels, and the model with these weights; or nothing."""
    torch.set_num_threads(1)
    rows = list(rows)
    if not rows:
        return None
    images = torch.from_numpy(numpy.stack([image for image, _ in rows]))
    model = SimpleCNN()
    model.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
    return model, normalized(images), torch.tensor([label for _, label in rows])


def numbers(model):
    """A state_dict as plain arrays."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def train(rows, state):
    """One full-batch step on a partition."""
    if partition := partition_of(rows, state):
        model, images, labels = partition
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        yield numbers(model)


def recognised(rows, state):
    """How many samples of a partition are right."""
    if partition := partition_of(rows, state):
        model, images, labels = partition
        with torch.no_grad():
            yield int((model(images).argmax(1) == labels).sum())


def run(spark, paths, rounds):
    """The rounds: seconds of training and of evaluating, and the last accuracy."""
    chunks = spark.sparkContext.parallelize(paths, len(paths))
    data = chunks.flatMap(samples_of).repartition(PARTITIONS).cache()
    state, training, evaluating = numbers(SimpleCNN()), 0.0, 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        weights = spark.sparkContext.broadcast(state)
        updates = data.mapPartitions(lambda rows: train(rows, weights.value)).collect()
        state = {name: numpy.mean([update[name] for update in updates], axis=0) for name in state}
        trained = time.perf_counter()
        weights = spark.sparkContext.broadcast(state)
        right = data.mapPartitions(lambda rows: recognised(rows, weights.value)).sum()
        training, evaluating = training + trained - start, evaluating + time.perf_counter() - trained
    return training, evaluating, right / data.count()


def main():
    end_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(42)
    with tempfile.TemporaryDirectory() as directory:
        before = time.perf_counter()
        paths = write_chunks(directory, args.data, args.samples)
        prepared = time.perf_counter() - before  # Not part of a run.
        builder = SparkSession.builder.master("local[*]").appName("original").config("spark.ui.enabled", "false")
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        builder = builder.config("spark.local.dir", directory).config("spark.log.level", "ERROR")
        spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
        spark.sparkContext.addPyFile(common.__file__)
        training, evaluating, accuracy = run(spark, paths, args.rounds)
        spark.stop()
        total = time.perf_counter() - BEGIN - prepared
    seconds = {"total": total, "training": training, "evaluating": evaluating}
    print(json.dumps({**seconds, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
