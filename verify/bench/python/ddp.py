"""PyTorch DistributedDataParallel: two processes with one thread each, gloo. Prints their samples and seconds."""

import json
import os
import tempfile

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from common import SimpleCNN, arguments, end_with_parent, mnist, timed

PROCESSES = 2


def work(rank, args, meeting):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.manual_seed(42)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    images, labels = mnist(args.data)
    share = len(images) // PROCESSES
    own = slice(rank * share, (rank + 1) * share)
    model = DistributedDataParallel(SimpleCNN())
    seconds = timed(model, images[own], labels[own], args, meet=distributed.barrier)
    if rank == 0:
        print(json.dumps({"samples": PROCESSES * args.steps * args.batch, "seconds": seconds}), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    end_with_parent()
    with tempfile.TemporaryDirectory() as directory:
        # Each child ends when this process is gone: torch asks the system for it.
        torch.multiprocessing.spawn(work, (arguments(), os.path.join(directory, "meeting")), nprocs=PROCESSES)
