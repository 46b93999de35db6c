"""The way back, when a step on it cannot be taken either."""

from __future__ import annotations

import errno
import os

import pytest

from ocf_flask.errors import SiteError
from ocf_flask.undo import undoing

WHY = SiteError("The app does not start.", "Traceback", "The site is as it was.")


def refuse() -> None:
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), "/x")


def test_what_failed_is_undone_from_the_last_step_on() -> None:
    taken: list[int] = []
    with pytest.raises(SiteError), undoing() as on_error:
        on_error.callback(taken.append, 1)
        on_error.callback(taken.append, 2)
        raise WHY
    assert taken == [2, 1]


def test_what_succeeded_stays() -> None:
    taken: list[int] = []
    with undoing() as on_error:
        on_error.callback(taken.append, 1)
    del on_error
    assert not taken


def test_a_step_that_cannot_be_undone_hides_neither_the_reason_nor_the_other_steps() -> None:
    taken: list[int] = []
    with pytest.raises(SiteError) as caught, undoing() as on_error:
        on_error.callback(taken.append, 1)
        on_error.callback(refuse)
        raise WHY
    assert taken == [1] and caught.value.__cause__ is WHY
    said = (caught.value.message, caught.value.detail, caught.value.advice)
    assert said == (WHY.message, WHY.detail, f"{WHY.advice}\nNot all could be taken back: Directory not empty: /x.")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit("ended by signal 15")])
def test_an_interruption_stays_one(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, undoing() as on_error:
        on_error.callback(refuse)
        raise error
    assert caught.value is error
