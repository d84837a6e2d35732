"""The number of cores that torch's operators take, thread by thread."""

from __future__ import annotations

import threading

_ONE_AT_A_TIME = threading.Lock()


def stay_on_one_core() -> None:
    """For a pool's threads, as their initializer: torch's operators in them take one core each.

    Operators that split their work beside a forward pass on the CPU take the cores away from it, and it waits
    for its slowest part. torch keeps the number by thread, and what was set last is what threads that come
    later begin with: that is put back.
    """
    import torch

    with _ONE_AT_A_TIME:
        others = torch.get_num_threads()
        torch.set_num_threads(1)
        setter = threading.Thread(target=torch.set_num_threads, args=(others,))
        setter.start()
        setter.join()
