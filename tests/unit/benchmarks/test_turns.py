from benchmarks.turns import take_turns


def test_engines_take_turns_in_alternating_order() -> None:
    order: list[str] = []

    def measure(name: str, index: int) -> dict[str, float]:
        order.append(f"{name}{index}")
        return {"s": float(index)}

    points = take_turns(
        {name: lambda index, name=name: measure(name, index) for name in "abc"}, "here", 2
    )
    assert order[:6] == ["c0", "b0", "a0", "a1", "b1", "c1"]
    assert [(point.engine, point.round) for point in points[:3]] == [("a", 0), ("b", 0), ("c", 0)]


def test_disturbed_rounds_are_repeated_but_not_for_ever() -> None:
    points = take_turns({"a": lambda _index: {"s": 1.0}}, "here", 3)
    assert 3 <= len(points) <= 6
    assert sum(point.is_quiet for point in points) <= 3
