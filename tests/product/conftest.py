from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.product.stack import Stack, running


@pytest.fixture(scope="package")
def product(django_db_setup: None, django_db_blocker: Any) -> Iterator[Stack]:
    """One running product for the tests of this folder."""
    with django_db_blocker.unblock(), running() as stack:
        yield stack


@pytest.fixture
def stack(product: Stack) -> Stack:
    """The running product, as new."""
    product.forget()
    return product
