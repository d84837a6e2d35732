"""A Label Studio that lies: its answers are changed on their way, and no run that gets them may fall over.

    python -m tests.pipeline.hostile_answers 300 1            # that many lies, by seed 1
    python -m tests.pipeline.hostile_answers 300 1 --only 17  # lie number 17 alone, with what came of it

Each lie changes answers to one to three kinds of request of a run (push, collect, doctor, the refresh of a
personal access token): a value in their JSON, the whole body, a header or the status, with or without
words about when to come again. It may begin in the middle of a run, and end again. A run does its work or
ends with an error of ours, in one line, and takes no longer than ``MOST_S``.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings, load_settings
from detseg.errors import DetsegError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.predictions import delete_prediction, put_prediction
from detseg.labelstudio.server import SERVED, Connection, EmbeddedLabelStudio
from detseg.labelstudio.tabs import remove_tab, show_in_tab
from detseg.labelstudio.webhook import register
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.doctor import look_at_label_studio
from detseg.pipeline.push import plan_push, push
from detseg.pipeline.reading import open_sources, source_location
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.pipeline.workspace import find_project
from detseg.types import ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for, write_image
from tests.pipeline.lies import MOST_ANSWERS, Answer, Lie
from tests.pipeline.reviewing import submit, tasks_of

MOST_S = 300.0
"""Seconds that a run may take: more than three pauses of half a minute, which is the longest that a server is
given when it asks for more, for each of the lies."""

SECOND = ModelVersion("second@00000002")
PERSONAL = "e30.e30.personal"
_CLAIMS = base64.urlsafe_b64encode(b'{"exp": 9999999999}').decode().rstrip("=")
_ACCESS = f"e30.{_CLAIMS}.access"
_REFRESH = "/api/token/refresh/"


@dataclass
class LyingProxy:
    """Passes requests on to ``upstream``, as the user of ``token``; who asks has a personal access token.

    What was asked before is answered from memory, until something is sent that may change it.
    """

    upstream: str
    token: str
    url: str = ""
    lies: Mapping[str, Lie] = field(default_factory=dict)
    seen: dict[str, Answer] = field(default_factory=dict)
    n_answers: int = 0
    between: Callable[[str, str, bytes, Callable[[], Answer]], Answer] = lambda *request: request[-1]()
    """Answers a request (method, path, body, and how to ask the server) in the server's place."""
    _known: dict[str, Answer] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def begin(self, *lies: Lie) -> None:
        """Begins a run with these lies."""
        self.lies, self.seen, self.n_answers = {lie.kind: lie for lie in lies}, {}, 0

    def forget(self) -> None:
        """Ask the server itself again: it was changed by another way."""
        self._known.clear()

    def answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        with self._lock:
            self.n_answers += 1
            if self.n_answers > MOST_ANSWERS:
                return Answer(418, {}, b"endless")
            true = self.between(method, path, body, lambda: self._true(method, path, body, headers))
            kind = kind_of(method, path)
            self.seen.setdefault(kind, true)
            return self.lies[kind].tell(true) if kind in self.lies else true

    def _true(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if path == _REFRESH:
            return Answer(200, {"Content-Type": "application/json"}, f'{{"access": "{_ACCESS}"}}'.encode())
        if headers.get("Authorization") != f"Bearer {_ACCESS}":
            return Answer(401, {}, b'{"detail": "Given token not valid for any token type"}')
        key = f"{method} {path}"
        if method != "GET":
            self._known.clear()
        if method != "GET" or key not in self._known:
            self._known[key] = self._ask(method, path, body, headers)
        return self._known[key]

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if (method, path) == ("POST", "/api/webhooks/"):  # the server calls nobody on loopback
            return Answer(201, {}, b'{"id": 1}')
        kept = {name: value for name, value in headers.items() if name == "Content-Type"}
        kept["Authorization"] = f"Token {self.token}"
        with httpx.Client(timeout=600, trust_env=False) as http:
            response = http.request(method, self.upstream + path, content=body, headers=kept)
        names = ("Content-Type", "Date", "Location")
        shown = {name: response.headers[name] for name in names if name in response.headers}
        return Answer(response.status_code, shown, response.content)


def kind_of(method: str, path: str) -> str:
    """The request without its numbers; of its query, the fields that were asked for."""
    address, _, query = path.partition("?")
    fields = re.search(r"include=([^&]*)", query)
    return f"{method} {re.sub(r'[0-9]+', '#', address)} {fields.group(1)[:40] if fields else ''}".strip()


@contextmanager
def lying_proxy(upstream: Connection) -> Iterator[LyingProxy]:
    """A proxy before that server, on a free port of this machine."""
    proxy = LyingProxy(upstream.url, upstream.token)

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = proxy.answer(self.command, self.path, body, dict(self.headers))
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


# What is tried


@dataclass(frozen=True)
class Bench:
    """A project with tasks, annotations and a catalog that knows them, behind a proxy."""

    proxy: LyingProxy
    settings: Settings
    fresh: Path
    """The state of a catalog whose images are predicted, and not pushed."""
    title: Callable[[], str]

    @contextmanager
    def catalog(self, *, fresh: bool = False) -> Iterator[tuple[Settings, Catalog]]:
        """A copy of the state, and settings for it; ``fresh`` with a project that is not there yet."""
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state"
            shutil.copytree(self.fresh if fresh else self.settings.state_path, state)
            changed: dict[str, Any] = {"state_dir": str(state)}
            settings = self.settings.updated(**changed | ({"queue__project": self.title()} if fresh else {}))
            with open_catalog(settings.catalog_url) as catalog:
                yield settings, catalog


def _push(bench: Bench, *, fresh: bool) -> None:
    with bench.catalog(fresh=fresh) as (settings, catalog):
        refs = scan(settings, catalog).images
        push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def _second_model(bench: Bench, how: str) -> None:
    """The tasks get another model's predictions; when it has ended, they have again what they had."""
    try:
        with bench.catalog() as (settings, catalog):
            settings, refs = settings.updated(queue__predictions=how), scan(settings, catalog).images
            predict_shard(settings, catalog, FixedPredictor(version=SECOND), refs)
            push(settings, catalog, refs=refs, version=SECOND, taxonomy=TAXONOMY)
    finally:
        _restore_predictions(bench)


def _restore_predictions(bench: Bench) -> None:
    with LabelStudioClient(bench.proxy.upstream, bench.proxy.token) as client:
        project = find_project(client, bench.settings.queue.project).id
        for task in tasks_of(client, project):
            first, *more = sorted(task["predictions"], key=lambda one: int(one["id"]))
            for one in more:
                delete_prediction(client.session, one["id"])
            values = {name: first[name] for name in ("task", "score", "result")}
            put_prediction(client.session, project, first["id"], {**values, "model_version": VERSION})
    bench.proxy.forget()


def _preview(bench: Bench) -> None:
    with bench.catalog() as (settings, catalog):
        refs = scan(settings, catalog).images
        plan_push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)


def _collect(bench: Bench, *, full: bool) -> None:
    with bench.catalog() as (settings, catalog):
        collect_reviews(settings, catalog, full=full)


def _doctor(bench: Bench) -> None:
    with bench.catalog() as (settings, _):
        list(look_at_label_studio(settings))


def _tabs_and_hooks(bench: Bench) -> None:
    connection = Connection(bench.proxy.url, _token(bench.settings))
    with LabelStudioClient(connection.url, connection.token) as client:
        project = find_project(client, bench.settings.queue.project)
        seen = list(client.seen_tasks(project.id))
        known = client.tasks_by_keys(project.id, [str(task.image) for task in seen])
        show_in_tab(client, project.id, "to review", list(known))
        remove_tab(client, project.id, "to review")
        register(client.session, project.id, "http://127.0.0.1:9/x", "secret")


def _queued(bench: Bench) -> None:
    settings = bench.settings.updated(source__location=f"labelstudio://{bench.settings.queue.project}")
    with open_sources(settings) as sources:
        for one in sources.entries(source_location(settings)):
            if hasattr(one, "stamp"):
                sources.read(one.uri)


RUNS: Mapping[str, Callable[[Bench], None]] = {
    "push": lambda bench: _push(bench, fresh=True),
    "push nothing": lambda bench: _push(bench, fresh=False),
    "second model beside": lambda bench: _second_model(bench, "add"),
    "second model instead": lambda bench: _second_model(bench, "replace"),
    "preview": _preview,
    "collect": lambda bench: _collect(bench, full=False),
    "collect all": lambda bench: _collect(bench, full=True),
    "doctor": _doctor,
    "tabs and hooks": _tabs_and_hooks,
    "queued images": _queued,
}


def _token(settings: Settings) -> str:
    assert settings.label_studio.token is not None
    return settings.label_studio.token.get_secret_value()


@contextmanager
def bench_at(connection: Connection, document_root: Path, title: Callable[[], str]) -> Iterator[Bench]:
    """Fills a project with three images, two of them reviewed, and a catalog with what is known of them."""
    with tempfile.TemporaryDirectory() as folder, lying_proxy(connection) as proxy:
        root = Path(folder)
        for number in range(3):
            write_image(root / "images" / f"{number}.png", seed=number)
        begun = load_settings(
            None,
            environ={},
            source__location=str(root / "images"),
            state_dir=str(root / "fresh"),
            experiments__control_share=0.0,
        )
        settings = settings_for(begun, proxy.url, PERSONAL, title=title(), files=document_root)
        settings = settings.updated(label_studio__patience_s=0.0)
        begun.state_path.mkdir()
        with open_catalog(settings.catalog_url) as catalog:
            predict_shard(settings, catalog, FixedPredictor(), scan(settings, catalog).images)
        shutil.copytree(root / "fresh", root / "filled")
        filled = settings.updated(state_dir=str(root / "filled"))
        with (
            open_catalog(filled.catalog_url) as catalog,
            LabelStudioClient(connection.url, connection.token) as client,
        ):
            refs = scan(filled, catalog).images
            done = push(filled, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
            first, second, _ = tasks_of(client, done.project_id)
            submit(client, first)
            collect_reviews(filled, catalog)
            submit(client, second, was_cancelled=True)
        yield Bench(proxy, filled, root / "fresh", title)


@dataclass(frozen=True)
class Outcome:
    """What a run made of its lies: ``done``, ``refused``, ``raised``, ``endless`` or ``late``."""

    number: int
    run: str
    lies: tuple[str, ...]
    what: str
    words: str = ""
    seconds: float = 0.0


def honest_answers(bench: Bench) -> dict[str, dict[str, Answer]]:
    """What each run is answered, by kind of request, when nobody lies."""
    found = {}
    for name, run in RUNS.items():
        bench.proxy.begin()
        run(bench)
        found[name] = dict(bench.proxy.seen)
    return found


def tell(bench: Bench, honest: Mapping[str, Mapping[str, Answer]], number: int, seed: int) -> Outcome:
    """Tells the lies of that number, and looks at what comes of them."""
    random = Random(f"{seed} {number}")
    name = random.choice(sorted(honest))
    kinds = random.sample(sorted(honest[name]), min(random.choice((1, 1, 2, 3)), len(honest[name])))
    lies = [
        Lie(
            kind,
            f"{seed} {number} {kind}",
            random.choice((0, 0, 0, 1, 2)),
            random.choice((1, 2, MOST_ANSWERS)),
        )
        for kind in kinds
    ]
    words = tuple(lie.describe(honest[name][lie.kind]) for lie in lies)
    bench.proxy.begin(*lies)
    began = time.monotonic()
    what, said = "done", ""
    try:
        RUNS[name](bench)
    except DetsegError as error:
        said = str(error)
        what = "refused" if len(said.splitlines()) == 1 else "raised"
    except Exception:  # noqa: BLE001  (what is looked for)
        what, said = "raised", traceback.format_exc()
    if bench.proxy.n_answers > MOST_ANSWERS:
        what = "endless"
    seconds = time.monotonic() - began
    return Outcome(number, name, words, "late" if seconds > MOST_S else what, said, seconds)


def outcomes(
    connection: Connection, document_root: Path, title: Callable[[], str], *, numbers: range, seed: int
) -> Iterator[Outcome]:
    """What comes of each lie, in order."""
    with bench_at(connection, document_root, title) as bench:
        honest = honest_answers(bench)
        for number in numbers:
            yield tell(bench, honest, number, seed)


def main() -> None:
    """Prints what raised, and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lies", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    numbers = range(options.lies) if options.only is None else range(options.only, options.only + 1)
    titles = (f"lies {number}" for number in count())
    table: Counter[tuple[str, str]] = Counter()
    longest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedLabelStudio(Path(folder))
        try:
            for one in outcomes(
                server.up(), Path(folder) / SERVED, titles.__next__, numbers=numbers, seed=options.seed
            ):
                table[one.run, one.what] += 1
                if one.what not in ("done", "refused") or options.only is not None:
                    print(f"{one.number} {one.run}, {'; '.join(one.lies)}: {one.what}", flush=True)
                    print(one.words, flush=True)
                longest_s = max(longest_s, one.seconds)
        finally:
            server.down()
    for (run, what), n in sorted(table.items()):
        print(f"{run:20} {what:8} {n}")
    print(f"the longest took {longest_s:.0f} s")


if __name__ == "__main__":
    main()
