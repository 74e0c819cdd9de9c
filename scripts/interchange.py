"""Runs the snippets of docs/interchange.md in the current folder, and checks what they leave. `scripts/test-interchange`
prepares the folder and calls this. It closes with `N passed, N failed`, and fails if one did."""

import csv
import gzip
import json
import re
import subprocess
import sys
import traceback
from pathlib import Path

import numpy
import pandas
import torch

TRAINER = "target/debug/trainer"
SAMPLES = 2000
page = {}  # What the page's Python snippets define.
checks = []


def check(function):
    checks.append(function)
    return function


def run_snippets(text):
    """Runs all snippets in order; the output of those in `sh` is returned, by command."""
    said = {}
    for language, snippet in re.findall(r"^```(python|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(snippet, "<docs/interchange.md>", "exec"), page)
            if "trained" not in page and "scores" in page:
                page["trained"] = page["scores"](test_images())  # Before a later snippet trains it further.
        else:
            for command in snippet.splitlines():
                said[command] = subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
    return said


def trainer(*arguments):
    return subprocess.run([TRAINER, *arguments], capture_output=True, text=True)


def idx(name, header):
    path = Path("data/mnist") / name
    data = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(name + ".gz").read_bytes())
    return numpy.frombuffer(data[header:], numpy.uint8)


def test_images():
    return idx("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28)


def train_images():
    return idx("train-images-idx3-ubyte", 16).reshape(-1, 28, 28)[:SAMPLES]


def train_labels():
    return idx("train-labels-idx1-ubyte", 8)[:SAMPLES]


def rounds():
    with open("runs/latest/rounds.csv") as file:
        return list(csv.DictReader(file))


@check
def the_model_gives_the_same_logits_in_pytorch_as_here():
    ours = pandas.read_csv("logits.csv")
    assert (ours["label"].to_numpy() == idx("t10k-labels-idx1-ubyte", 8)).all()
    ours = ours.drop(columns="label").to_numpy()
    assert ours.shape == (10000, 10)
    difference = abs(ours[:1000] - page["trained"].numpy()[:1000]).max()
    print(f"      largest difference of a logit: {difference:.1e}")
    assert difference < 1e-5, difference


@check
def a_model_trained_in_pytorch_has_the_same_accuracy_here():
    predicted = page["scores"](test_images()).argmax(1).numpy()
    correct = int((predicted == idx("t10k-labels-idx1-ubyte", 8)).sum())
    assert correct > 5000, correct
    for name in ("mine.safetensors", "mine.pth"):
        text = said[f"{TRAINER} evaluate {name}"]
        assert f"test accuracy  {correct / 100:.2f} %" in text, (correct, text)


@check
def pandas_reads_all_samples():
    assert len(page["samples"]) == SAMPLES and set(page["samples"]["stream"]) == {"sender-0", "sender-1"}
    assert (page["samples"]["seq"].to_numpy() == numpy.arange(SAMPLES)).all()
    assert (page["images"] == train_images()).all() and (page["labels"] == train_labels()).all()


@check
def duckdb_reads_all_samples():
    assert page["counts"] == list(enumerate(numpy.bincount(train_labels()).tolist()))


@check
def polars_reads_all_samples():
    frame = page["frame"]
    assert frame["label"].to_list() == train_labels().tolist()
    assert b"".join(frame["image"].to_list()) == train_images().tobytes()


@check
def arrow_reads_all_samples():
    table = page["table"]
    assert table["label"].to_pylist() == train_labels().tolist()
    assert b"".join(table["image"].to_pylist()) == train_images().tobytes()


@check
def the_directory_is_shown_to_programs():
    shown = json.loads(said[f"{TRAINER} inspect data/streaming_input --json --png digits.png"])
    assert shown["samples"] == SAMPLES and shown["labels"] == numpy.bincount(train_labels()).tolist()
    assert Path("digits.png").read_bytes().startswith(b"\x89PNG")


@check
def tensorboard_reads_the_figures_of_rounds_csv():
    events = page["events"]
    columns = {
        "loss/train": "train_loss",
        "loss/test": "test_loss",
        "accuracy/test": "test_accuracy",
        "accuracy/received": "received_accuracy",
        "seconds/train": "train_seconds",
        "seconds/evaluate": "evaluate_seconds",
    }
    assert set(events.Tags()["scalars"]) == set(columns)
    for tag, column in columns.items():
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        rows = [row for row in rounds() if row[column]]
        assert found == [(int(row["round"]), float(numpy.float32(row[column]))) for row in rows], (tag, found)


@check
def tensorboard_reads_the_confusion_matrix_and_the_weights():
    from PIL import Image
    import io

    pictures = page["events"].Images("confusion/test")
    assert [picture.step for picture in pictures] == [1, 2]
    picture = numpy.asarray(Image.open(io.BytesIO(pictures[-1].encoded_image_string)))
    assert picture.shape == (200, 200)
    matrix = numpy.zeros((10, 10))
    numpy.add.at(matrix, (idx("t10k-labels-idx1-ubyte", 8), page["trained"].argmax(1).numpy()), 1)
    expected = numpy.round(255 * numpy.sqrt(matrix / matrix.sum(1, keepdims=True)))
    assert abs(picture[10::20, 10::20] - expected).max() <= 5  # One image more or less in a cell of some hundred.

    from safetensors.numpy import load_file

    for name, weights in load_file("runs/latest/final_cnn_model.safetensors").items():
        histogram = page["events"].Histograms(name.replace(".", "/"))[-1].histogram_value
        assert (histogram.min, histogram.max, histogram.num) == (weights.min(), weights.max(), weights.size), name
        assert sum(histogram.bucket) == weights.size and abs(histogram.sum - weights.sum(dtype=float)) < 1e-6, name


@check
def tensorboards_tab_hparams_lists_the_run():
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

    place = str(Path("runs").resolve())
    runs = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(place).Reload()
    provider = data_provider.MultiplexerDataProvider(runs, place)
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=place))
    request = context.RequestContext()
    experiment = get_experiment.Handler(request, backend, "", api_pb2.GetExperimentRequest()).run()
    wanted = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=10, allowed_statuses=[1])
    for metric in experiment.metric_infos:
        wanted.col_params.add(metric=metric.name)
    groups = list_session_groups.Handler(request, backend, "", wanted).run().session_groups
    names = [session.name for group in groups for session in group.sessions]
    assert names == [f"{Path('runs/latest').resolve().name}/tensorboard", "latest/tensorboard"], names
    for group in groups:
        flags = {name: value.number_value or value.string_value for name, value in group.hparams.items()}
        assert (flags["seed"], flags["learning-rate"], flags["optimizer"]) == (42, 0.001, "adam"), flags
        values = {value.name.tag: value.value for value in group.metric_values}
        assert values["accuracy/test"] == numpy.float32(rounds()[-1]["test_accuracy"]), values


@check
def chunks_of_numpy_are_imported_whole_and_trained_on():
    assert f"imported {SAMPLES} samples from 4 files" in said[f"{TRAINER} import npz --dir data/imported"]
    imported = pandas.read_parquet("data/imported")
    assert b"".join(imported["image"]) == train_images().tobytes()
    assert (imported["label"] == train_labels()).all()
    assert "test accuracy" in said[f"{TRAINER} --dir data/imported --rounds 1 --run-dir imported"]


@check
def a_run_that_was_killed_and_resumed_gives_tensorboard_each_round_once():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    resume = [TRAINER, "--resume", "imported", "--rounds"]
    with subprocess.Popen([*resume, "1000", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        next(line for line in process.stdout if b'"event":"round","round":3' in line)
        process.kill()
    last = len(list(Path("imported/checkpoints").glob("round-*"))) + 1
    subprocess.run([*resume, str(last)], check=True, capture_output=True)
    events = EventAccumulator("imported/tensorboard", size_guidance={"images": 0, "histograms": 0}).Reload()
    for found in (events.Scalars("loss/test"), events.Images("confusion/test"), events.Histograms("fc2/bias")):
        assert [event.step for event in found] == list(range(1, last + 1)), found


@check
def compressed_chunks_with_any_integers_are_imported():
    for name in ("int64", "uint8", ">i2"):
        Path("more").mkdir(exist_ok=True)
        labels = train_labels().astype(name)
        numpy.savez_compressed("more/chunk.npz", images=train_images(), labels=labels)
        output = trainer("import", "more", "--dir", "data/more", "--fresh")
        assert output.returncode == 0, output.stderr
        assert (pandas.read_parquet("data/more")["label"] == train_labels()).all()


@check
def arrays_of_objects_are_refused():
    Path("objects").mkdir()
    numpy.savez("objects/chunk.npz", images=train_images(), labels=train_labels().astype(object))
    output = trainer("import", "objects", "--dir", "data/objects")
    assert output.returncode == 65 and "Python objects" in output.stderr, output.stderr
    assert not Path("data/objects").exists()


@check
def the_readme_loads_the_model_in_the_same_three_lines():
    pages = [Path(argument).read_text() for argument in sys.argv[1:3]]
    snippets = [re.search(r"<!-- load the model -->\n```python\n(.*?)```", text, re.DOTALL)[1] for text in pages]
    assert snippets[0] == snippets[1], snippets
    assert len(snippets[0].splitlines()) == 3, snippets


said = run_snippets(Path(sys.argv[1]).read_text())
failed = 0
for function in checks:
    try:
        function()
        print(f"ok    {function.__name__.replace('_', ' ')}")
    except Exception:
        failed += 1
        print(f"FAIL  {function.__name__.replace('_', ' ')}")
        traceback.print_exc()
print(f"{len(checks) - failed} passed, {failed} failed")
sys.exit(failed > 0)
