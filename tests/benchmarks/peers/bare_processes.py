"""The rounds by hand: two processes with one thread each, tensors through pipes."""

from __future__ import annotations

import multiprocessing
from typing import Any

import torch
from work import Marks, load_work


def serve(folder: str, pipe: Any) -> None:
    """Train whichever client is asked for, until nobody asks."""
    torch.set_num_threads(1)
    work = load_work(folder)
    while (asked := pipe.recv()) is not None:
        client, tensors = asked
        work.put({name: torch.from_numpy(array) for name, array in tensors.items()})
        work.train(client)
        pipe.send({name: parameter.detach().numpy() for name, parameter in work.trainable.items()})


if __name__ == "__main__":
    marks = Marks()
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(2)]
    workers = [context.Process(target=serve, args=(marks.folder, there), daemon=True) for _, there in pairs]
    for worker in workers:
        worker.start()
    torch.set_num_threads(1)
    work = load_work(marks.folder)
    current = {name: tensor.numpy() for name, tensor in work.taken().items()}
    n = len(work.clients)
    while not marks.done:
        total = {name: 0.0 * array for name, array in current.items()}
        for client in range(0, n, 2):
            for offset, (here, _) in enumerate(pairs):
                here.send((client + offset, current))
            for here, _ in pairs:
                for name, array in here.recv().items():
                    total[name] += array / n
        current = total
        marks.add()
    for worker in workers:
        worker.terminate()
    marks.tell()
