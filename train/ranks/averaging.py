"""Gradients averaged over CPU ranks so that a run which goes on rounds as one that was never interrupted."""

# No annotations from __future__: DistributedDataParallel refuses a hook whose annotations are not these very classes.
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import GradBucket

from clmr.collectives import world_size

Averaged = torch.futures.Future[Tensor]


def average_in_rank_order(_: Any, bucket: GradBucket) -> Averaged:
    """The mean over the ranks of a bucket of gradients, added in the order of the ranks.

    gloo's own sum adds in an order that depends on the place in the bucket, and DistributedDataParallel cuts its
    buckets anew after a process's first step: from three ranks on, a sum would depend on when the process was started.

    Args:
        bucket: flat gradients of some parameters; its buffer has shape ``[n]``, the same on every rank.

    Returns:
        Holds the mean, shape ``[n]``.
    """
    parts = [torch.empty_like(bucket.buffer()) for _ in range(world_size())]
    dist.all_gather(parts, bucket.buffer())  # a callback behind it would be one of gloo's threads', also at the exit
    total = parts[0]
    for part in parts[1:]:
        total += part
    averaged = Averaged()
    averaged.set_result(total.div_(len(parts)))
    return averaged
