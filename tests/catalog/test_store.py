from datetime import timedelta

from detseg.catalog import Catalog, Quarantined, open_catalog
from tests.catalog.made import NOON, image_id


def test_a_cursor_is_what_it_was_set_to_last(catalog: Catalog) -> None:
    assert catalog.cursors.get("collect:1") is None
    for value in ("2026-03-01T12:00:00+00:00", "2026-03-02T12:00:00+00:00"):
        catalog.cursors.set("collect:1", value)
    assert catalog.cursors.get("collect:1") == "2026-03-02T12:00:00+00:00"


def test_what_is_written_is_there_when_opened_again(url: str) -> None:
    with open_catalog(url) as catalog:
        catalog.cursors.set("a", "1")
    with open_catalog(url) as catalog:
        assert catalog.cursors.get("a") == "1"


def test_quarantine_keeps_the_latest_reason(catalog: Catalog) -> None:
    catalog.quarantine.record([Quarantined("file:///b.jpg", "truncated", "read")])
    catalog.quarantine.record(
        [
            Quarantined(
                "file:///b.jpg", "too large", "predict", image=image_id(1), at=NOON + timedelta(days=1)
            ),
            Quarantined("file:///a.jpg", "zero bytes", "read"),
        ]
    )
    assert catalog.quarantine.entries() == (
        Quarantined("file:///a.jpg", "zero bytes", "read", at=NOON),
        Quarantined("file:///b.jpg", "too large", "predict", image=image_id(1), at=NOON + timedelta(days=1)),
    )
    catalog.quarantine.clear(["file:///a.jpg", "file:///c.jpg"])
    assert [entry.uri for entry in catalog.quarantine.entries()] == ["file:///b.jpg"]
    catalog.quarantine.record([])
