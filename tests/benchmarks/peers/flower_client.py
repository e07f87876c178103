"""Flower's client side, which its simulation imports in every worker process; the work is loaded once in each."""

from __future__ import annotations

import os
from functools import cache

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from work import Work, load_work

app = ClientApp()


@cache
def _work() -> Work:
    torch.set_num_threads(1)
    return load_work(os.environ["BENCHMARK_FOLDER"])


@app.train()
def train(message, context):
    """Put the received tensors in, train, send them back."""
    work = _work()
    work.put(message.content["arrays"].to_torch_state_dict())
    client = context.node_config["partition-id"]
    work.train(client)
    metrics = MetricRecord({"num-examples": len(work.clients[client])})
    return Message(RecordDict({"arrays": ArrayRecord(work.taken()), "metrics": metrics}), reply_to=message)
