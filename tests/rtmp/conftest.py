"""Every wire vector is fed whole, byte by byte, and at random cuts."""

import pytest

from tests.rtmp.vectors import SLICINGS, Slicing


@pytest.fixture(params=SLICINGS)
def cut(request: pytest.FixtureRequest) -> Slicing:
    return SLICINGS[request.param]
