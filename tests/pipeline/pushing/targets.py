"""PushTarget for a server that does what a test says, and a catalog that is a set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from detseg.config import Settings
from detseg.errors import Refused
from detseg.pipeline.pushing.broken import BrokenTasks
from detseg.pipeline.pushing.payload import Payload
from detseg.pipeline.pushing.report import Status
from detseg.types import ImageId, ImageRef


@dataclass
class FakeQueue:
    """What a delivery asks a queue for."""

    settings: Settings = field(default_factory=lambda: Settings().updated(label_studio__patience_s=0.0))
    limit: Callable[[], AbstractContextManager[object]] = nullcontext
    broken: BrokenTasks = field(default_factory=BrokenTasks)
    url: str = "http://localhost:8080/projects/1/data"


@dataclass
class FakeTarget:
    """Answers its requests one after another: an error, or None to carry them out.

    Where it ``arrives``, an error comes after the request was carried out; a refusal never does.
    """

    errors: list[Exception | None] = field(default_factory=list)
    arrives: bool = False
    queue: FakeQueue = field(default_factory=FakeQueue)
    status: Status = "pushed"
    refuse: Callable[[Sequence[Payload]], Exception | None] = lambda _: None
    deleted: frozenset[ImageId] = frozenset()
    taken: frozenset[ImageId] = frozenset()
    server: list[ImageId] = field(default_factory=list)
    intents: set[ImageId] = field(default_factory=set)
    confirmed: dict[ImageId, int] = field(default_factory=dict)
    suspected: set[ImageId] = field(default_factory=set)

    def claim(self, payloads: Sequence[Payload]) -> Sequence[ImageId]:
        free = [payload.ref.id for payload in payloads if payload.ref.id not in self.taken]
        self.intents.update(free)
        return free

    def send(self, payloads: Sequence[Payload]) -> Mapping[ImageId, int]:
        refusal = self.refuse(payloads)
        if refusal is not None:
            raise refusal
        error = self.errors.pop(0) if self.errors else None
        if error is None or (self.arrives and not isinstance(error, Refused)):
            self.server += [payload.ref.id for payload in payloads]
        if error is not None:
            raise error
        return self.find([payload.ref.id for payload in payloads])

    def find(self, ids: Sequence[ImageId]) -> Mapping[ImageId, int]:
        return {image: self.server.index(image) + 1 for image in ids if image in self.server}

    def gone(self, payloads: Sequence[Payload]) -> frozenset[ImageId]:
        return self.deleted & {payload.ref.id for payload in payloads}

    def confirm(self, found: Mapping[ImageId, int]) -> None:
        assert self.intents >= set(found)
        self.intents -= set(found)
        self.confirmed |= found

    def release(self, ids: Iterable[ImageId]) -> None:
        self.intents -= set(ids)

    def suspect_duplicates(self, ids: Iterable[ImageId]) -> None:
        self.suspected |= set(ids)


def payloads(n: int, *, n_bytes: int = 10) -> list[Payload]:
    return [Payload(ImageRef(ImageId(f"image {i}"), f"{i}.png"), b"x" * n_bytes) for i in range(n)]
