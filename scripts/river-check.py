"""Puts streams of predictions through River: accuracy, Cohen's kappa, fading accuracy and ADWIN. Compares what comes of it
with `crates/trainer/tests/reference/river.json`, or with --write makes that file, predictions included."""

import json
import random
import sys
from pathlib import Path

from river import drift, metrics, stats

FILE = Path(__file__).parent.parent / "crates/trainer/tests/reference/river.json"
SLICE = 500

# Name: the fading factor, δ, and the shares of errors between which each part of the stream goes, with its samples.
STREAMS = {
    "a model that learns": (0.999, 0.002, [(0.9, 0.1, 1000), (0.1, 0.03, 4000)]),
    "drifts that come and go": (0.99, 0.002, [(0.05, 0.05, 2000), (0.5, 0.5, 1000), (0.05, 0.05, 1000), (0.05, 0.4, 1000)]),
    "always something else": (0.9, 0.3, [(share, share, 100) for share in [0, 0.3, 0.1, 0.6, 0.2, 1, 0.7, 0.9, 0.4, 0.5] * 5]),
    "nothing changes": (0.999, 0.05, [(0.2, 0.2, 5000)]),
}


def main():
    kept = json.loads(FILE.read_text()) if FILE.exists() else None
    if "--write" in sys.argv:
        kept = [{"name": name, **predictions(name, parts), "fading_factor": fading, "delta": delta, "slice": SLICE}
                for name, (fading, delta, parts) in STREAMS.items()]
    found = [{**stream, **by_river(stream)} for stream in kept]
    if "--write" in sys.argv:
        FILE.write_text("[\n" + ",\n".join(json.dumps(stream) for stream in found) + "\n]\n")
    if found != kept and "--write" not in sys.argv:
        sys.exit(f"river-check: River says something else than {FILE.name}")
    print(f"river-check: River says what {FILE.name} has, of {len(found)} streams")


def predictions(name, parts):
    """Labels and what they were taken for, a digit each. Errors and labels are uneven, so that kappa is not the accuracy."""
    numbers = random.Random(name)
    labels = predicted = ""
    for first, last, samples in parts:
        for i in range(samples):
            label = min(numbers.randrange(10), numbers.randrange(10))
            is_wrong = numbers.random() < first + (last - first) * i / samples
            labels += str(label)
            predicted += str((label + numbers.choice([1, 1, 1, 7])) % 10 if is_wrong else label)
    return {"labels": labels, "predicted": predicted}


def by_river(stream):
    pairs = [(int(label), int(taken)) for label, taken in zip(stream["labels"], stream["predicted"], strict=True)]
    return {"figures": figures(pairs, stream["fading_factor"]), **detections(pairs, stream["delta"])}


def figures(pairs, fading_factor):
    """At the end of each slice: of the slice, and of all so far."""
    accuracy, kappa = metrics.Accuracy(), metrics.CohenKappa()
    # Begun with 0, it is (1 − α) S; and (1 − α) B is 1 − αⁱ.
    fading = stats.EWMean(fading_factor=1 - fading_factor)
    fading.update(0)
    found = []
    for i, (label, taken) in enumerate(pairs, 1):
        if i % SLICE == 1:
            of_slice = metrics.Accuracy(), metrics.CohenKappa()
        for metric in (accuracy, kappa, *of_slice):
            metric.update(label, taken)
        fading.update(label == taken)
        if i % SLICE == 0:
            found.append({
                "slice_accuracy": of_slice[0].get(), "slice_kappa": of_slice[1].get(),
                "accuracy": accuracy.get(), "kappa": kappa.get(),
                "fading_accuracy": fading.get() / (1 - fading_factor**i),
            })
    return found


def detections(pairs, delta):
    """Where ADWIN saw a change, as [sample from 0, whether the mean rose]; and the samples since the last one."""
    adwin = drift.ADWIN(delta=delta)
    changes, mean, since = [], 0, 0
    for i, (label, taken) in enumerate(pairs):
        adwin.update(float(label != taken))
        since += 1
        if adwin.drift_detected:
            changes.append([i, adwin.estimation > mean])
            since = 0
        else:
            assert adwin.width == since
        mean = adwin.estimation
    return {"changes": changes, "samples_since": since}


main()
