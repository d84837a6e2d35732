"""Prefect's page in a real browser: it lets the owner in, shows what a run left, and asks nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright
from prefect import flow

from detseg.pipeline.evaluate import EvaluateReport
from flows.artifacts import publish_answers
from flows.server import PrefectServer, status
from tests.e2e.page import CHROMIUM
from tests.report.made import made_cases
from tests.report.reports import make_report

FOREIGN = """async ([url, login]) => {
    const said = []
    const ask = async (...request) => fetch(...request).then(answer => answer.type, () => "failed")
    said.push(await ask(url + "/api/admin/version"))
    const headers = {Authorization: login}
    said.push(await ask(url + "/api/admin/version", {headers}))
    said.push(await ask(url + "/api/block_documents/", {method: "POST", body: "{}", headers}))
    said.push(await new Promise(done => {
        const socket = new WebSocket(url.replace("http", "ws") + "/api/events/in", "prefect")
        socket.onopen = () => done("opened")
        socket.onerror = () => done("failed")
    }))
    said.push(await ask(url + "/api/health", {mode: "no-cors"}))  // it is there: the others were refused
    return said
}"""


class Elsewhere(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(prefect_state: Path, prefect_url: str) -> PrefectServer:
    del prefect_url
    found = status(prefect_state)
    assert found is not None
    return found


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page()
        browser.close()


def test_the_owner_signs_in_and_sees_the_answers_and_nobody_else_is_asked(
    server: PrefectServer, page: Page
) -> None:
    report = EvaluateReport(make_report(made_cases(20)).result, Path("report.html"), Path("report.json"))

    @flow
    def measured() -> None:
        publish_answers(report)

    measured()
    answered: set[str | None] = set()
    page.on("response", lambda response: answered.add(urlsplit(response.url).hostname))
    page.goto(f"{server.ui_url}/v2/artifacts/key/evaluate-answers")
    page.locator("input[type=password]").fill(server.credential_file.read_text().strip())
    page.keyboard.press("Enter")
    page.locator("a[href*='artifacts/artifact/']").first.click()
    page.get_by_text("box AP").first.wait_for()
    page.get_by_text("report.html").first.wait_for()
    assert answered == {"127.0.0.1"}


def test_a_page_of_another_origin_gets_nothing(server: PrefectServer, page: Page) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        Thread(target=elsewhere.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{elsewhere.server_address[1]}/")
        said = page.evaluate(FOREIGN, [server.ui_url, "Basic eA=="])
        elsewhere.shutdown()
    assert said == ["failed"] * 4 + ["opaque"]
