import pytest

from tests.eventually import eventually


async def test_a_condition_is_asked_until_it_is_true() -> None:
    answers = iter([0, "", None, "yes", "one too many"])
    await eventually(lambda: next(answers))
    assert next(answers) == "one too many"


async def test_a_coroutine_function_is_asked_by_its_answer() -> None:
    answers = iter([False, False, True, "one too many"])

    async def condition() -> object:
        return next(answers)

    await eventually(condition)
    assert next(answers) == "one too many"


async def test_what_never_comes_is_not_waited_for_for_ever() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError):
        await eventually(never, within_s=0.02)
    with pytest.raises(TimeoutError):
        await eventually(bool, within_s=0.02)
