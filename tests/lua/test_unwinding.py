"""A sample of the campaign of fuzz_unwinding.py."""

from random import Random

import pytest
from fuzz_unwinding import disagreements


@pytest.mark.parametrize("seed", range(2))
def test_errors_unwind_as_in_plain_lua(seed):
    assert disagreements(Random(seed)) == []


def test_programs_at_the_end_of_the_stack_end_well():
    assert disagreements(Random(1), at_the_end=True) == []
