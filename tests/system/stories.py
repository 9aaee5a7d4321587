"""Stories: what goes on in Airflow without a test's help, once it has begun.

``@begins(story)`` says that a test is about what the function ``story`` starts. In the fast form all stories of the
selected tests are begun at once, each in a sandbox of its own; in the long form one follows the other, as often as it
is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.harness import Airflow
    from tests.system.services import Sandbox

Story = Callable[["Airflow", dict[str, "Sandbox"]], Any]


def begins(story: Story) -> pytest.MarkDecorator:
    """Mark a test as one about this story."""
    return pytest.mark.begins.with_args(story)


class Stories:
    """The beginnings of what the selected tests are about."""

    def __init__(self, airflow: Airflow, places: dict[str, Sandbox]) -> None:
        self._play = lambda story: story(airflow, places)
        self._begun: dict[Story, Any] = {}

    def begin(self, story: Story) -> None:
        """Begin a story, unless it has begun."""
        if story not in self._begun:
            self._begun[story] = self._play(story)

    def __call__(self, story: Story) -> Any:
        """Return what a story returned when it was begun; when asked for again, it begins again."""
        self.begin(story)
        return self._begun.pop(story)
