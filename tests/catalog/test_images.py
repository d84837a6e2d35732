from detseg.catalog import Catalog, FoundImage, Quarantined
from detseg.types import Entry, ImageRef, Size
from tests.catalog.made import SIZE, entry, found, image_id, image_ids
from tests.catalog.reading import all_images


def test_recording_twice_is_recording_once(catalog: Catalog) -> None:
    images = [found(n) for n in range(1_201)]
    assert catalog.images.record(images) == 1_201
    assert catalog.images.record(images) == 0
    assert catalog.images.record(found(n) for n in range(1_200, 1_203)) == 2
    assert catalog.images.count() == 1_203
    assert all_images(catalog) == image_ids(1_203)


def test_an_unchanged_file_is_known_a_changed_one_is_not(catalog: Catalog) -> None:
    catalog.images.record([found(1), found(2), found(3)])
    known = catalog.images.known([entry(1), entry(2, byte_size=999), entry(3, stamp="6"), entry(4)])
    assert known == {entry(1).uri: image_id(1)}
    assert catalog.images.known([]) == {}
    many = [entry(n) for n in range(2_000)]
    assert set(catalog.images.known(many).values()) == {image_id(1), image_id(2), image_id(3)}


def test_a_file_with_new_bytes_points_to_its_new_image(catalog: Catalog) -> None:
    catalog.images.record([found(1)])
    changed = Entry(entry(1).uri, 2_000, "9")
    assert catalog.images.record([FoundImage(image_id(2), Size(7, 5), changed)]) == 1
    assert catalog.images.known([changed]) == {changed.uri: image_id(2)}
    assert catalog.images.known([entry(1)]) == {}
    assert catalog.images.sizes(image_ids(3)) == {image_id(1): SIZE, image_id(2): Size(7, 5)}
    assert catalog.images.refs(image_ids(3)) == {image_id(2): ImageRef(image_id(2), changed.uri)}


def test_equal_bytes_in_two_places_are_one_image(catalog: Catalog) -> None:
    places = [Entry(f"file:///b/{name} ü😀.jpg", 10, "1") for name in "zam"]
    assert catalog.images.record(FoundImage(image_id(1), SIZE, place) for place in places) == 1
    assert set(catalog.images.known(places)) == {place.uri for place in places}
    assert catalog.images.refs([image_id(1)])[image_id(1)].uri == "file:///b/a ü😀.jpg"


def test_no_images_are_fine(catalog: Catalog) -> None:
    assert catalog.images.record([]) == 0
    assert catalog.images.sizes([]) == {}
    assert all_images(catalog) == []
    assert catalog.images.count() == 0


def test_a_file_that_can_be_read_again_leaves_quarantine(catalog: Catalog) -> None:
    catalog.quarantine.record(
        [
            Quarantined(entry(1).uri, "truncated", "read"),
            Quarantined(entry(2).uri, "too large", "predict", image=image_id(2)),
            Quarantined(entry(3).uri, "not an image", "read"),
        ]
    )
    catalog.images.record([found(1), found(2)])
    assert [entry.uri for entry in catalog.quarantine.entries()] == [entry(2).uri, entry(3).uri]


def test_metadata_that_changed_makes_an_image_unknown(catalog: Catalog) -> None:
    catalog.images.record([FoundImage(image_id(1), SIZE, entry(1, metadata='{"a":1}'))])
    assert catalog.images.known([entry(1, metadata='{"a":1}')]) == {entry(1).uri: image_id(1)}
    assert catalog.images.known([entry(1)]) == {}


def test_every_place_of_an_image_is_told(catalog: Catalog) -> None:
    places = [Entry(f"/b/{name}.jpg", 10, "1", metadata=f'{{"n":"{name}"}}') for name in "zam"]
    catalog.images.record([*(FoundImage(image_id(1), SIZE, place) for place in places), found(2)])
    told = catalog.images.entries(image_ids(4))
    assert told == {image_id(1): tuple(sorted(places, key=lambda place: place.uri)), image_id(2): (entry(2),)}
    assert catalog.images.entries([]) == {}
