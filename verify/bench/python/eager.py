"""PyTorch eager on one thread: SimpleCNN, Adam. Prints the samples and seconds of the steps that count."""

import json

import torch

from common import SimpleCNN, arguments, end_with_parent, mnist, timed

if __name__ == "__main__":
    end_with_parent()
    args = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(42)
    images, labels = mnist(args.data)
    seconds = timed(SimpleCNN(), images, labels, args)
    print(json.dumps({"samples": args.steps * args.batch, "seconds": seconds}))
