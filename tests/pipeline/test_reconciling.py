from hypothesis import given
from hypothesis import strategies as st

from detseg.pipeline.reconciling import Count, Counts, differing_ranges

IDS = st.sets(st.integers(1, 200))


@given(theirs=IDS, ours=IDS, most=st.integers(1, 20))
def test_what_one_side_lacks_lies_in_a_range_that_is_small(
    theirs: set[int], ours: set[int], most: int
) -> None:
    ours = ours & theirs if len(ours) % 2 else ours | theirs  # deletions alone, or additions alone

    def ranges() -> list[tuple[int, int]]:
        return list(differing_ranges(count(theirs), count(ours), after=0, last=200, most=most))

    def inside(number: int) -> bool:
        return any(after < number <= last for after, last in ranges())

    assert all(inside(number) for number in theirs ^ ours)
    for after, last in ranges():
        assert count(theirs)(after, last) != count(ours)(after, last)
        assert max(count(theirs)(after, last)[0], count(ours)(after, last)[0]) <= most or last - after == 1
    assert ranges() == sorted(ranges())


def test_one_missing_task_of_a_million_costs_few_questions() -> None:
    asked = 0

    def theirs(after: int, last: int) -> Counts:
        nonlocal asked
        asked += 1
        return last - after - (after < 777_777 <= last), 0, 0

    (found,) = differing_ranges(
        theirs, lambda after, last: (last - after, 0, 0), after=0, last=10**6, most=500
    )
    assert found[0] < 777_777 <= found[1]
    assert asked < 30


def test_equal_sides_and_empty_ones_cost_one_question() -> None:
    assert list(differing_ranges(count({1, 2}), count({1, 2}), after=0, last=9, most=1)) == []
    assert list(differing_ranges(count({1}), count(set()), after=0, last=0, most=1)) == []


def count(ids: set[int]) -> Count:
    def counted(after: int, last: int) -> Counts:
        n_tasks = sum(after < number <= last for number in ids)
        return n_tasks, 2 * n_tasks, 0

    return counted
