"""The rounds by hand: one process, two threads."""

from __future__ import annotations

import torch
from work import Marks, load_work

marks = Marks()
torch.set_num_threads(2)
work = load_work(marks.folder)
current = work.taken()
while not marks.done:
    total = {name: torch.zeros_like(tensor) for name, tensor in current.items()}
    for client in range(len(work.clients)):
        work.put(current)
        work.train(client)
        for name, parameter in work.trainable.items():
            total[name].add_(parameter.detach().clone(), alpha=1 / len(work.clients))
    current = total
    marks.add()
marks.tell()
