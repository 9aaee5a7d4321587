"""The files of a host's log that are damaged, missing, full or not ours: never the reason for a standstill."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from airflow_src_provider.client.stores import StoreDownError
from tests.unit.client.server import SteppedClock
from tests.unit.client.test_stores import file_store


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    # A file in place of the folder: rights alone do not stop the superuser that tests often run as.
    path = tmp_path / "file"
    path.write_text("")
    return path / "budget"


def test_a_folder_that_cannot_be_made_is_reported(unwritable: Path) -> None:
    store = file_store(unwritable)
    for use in (store.try_acquire, store.used, lambda: store.close_gate(1)):
        with pytest.raises(StoreDownError):
            use()
    assert store.gate() == 0.0
    assert open_files(unwritable.parent) == 0


def open_files(folder: Path) -> int:
    links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sum(link.startswith(str(folder)) for link in links)


def test_opening_again_and_again_leaves_no_files_open(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    store.try_acquire()
    usual = open_files(tmp_path)
    for _ in range(10):
        store._drop()
        store.try_acquire()
    assert open_files(tmp_path) == usual


@pytest.mark.parametrize("damage", [b"this is no database, not at all" * 400, b"\x00" * 100])
def test_a_damaged_file_is_made_anew_and_still_shared(tmp_path: Path, damage: bytes) -> None:
    one, two = file_store(tmp_path, 30), file_store(tmp_path, 30)
    assert (one.try_acquire(), two.try_acquire()) == (0.0, 0.0)
    (path,) = tmp_path.glob("*.sqlite")
    for file in tmp_path.glob("*.sqlite*"):
        file.unlink()
    path.write_bytes(damage)
    third = file_store(tmp_path, 30)
    # Whoever knows nothing of the old file takes the new one as it is; the others know better.
    assert [store.try_acquire() for store in (third, one, two)] == [0.0] * 3
    assert one.used() == two.used() == third.used() == 29
    assert third.try_acquire() == 0.0
    assert third.try_acquire() > 0


def test_pages_that_are_damaged_while_in_use_are_noticed_and_replaced(tmp_path: Path) -> None:
    store = file_store(tmp_path, 10**5, 60.0)
    for _ in range(2000):
        store.try_acquire()
    (path,) = tmp_path.glob("*.sqlite")
    store._drop()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    assert store.try_acquire() == 0.0
    assert store.used() == 10**5 * 9 // 10 + 1


@pytest.mark.parametrize("victims", ["*", "*.lock", "*.sqlite*", "*.gate"])
def test_files_that_a_cleaner_removed_are_made_anew(tmp_path: Path, victims: str) -> None:
    one, two = file_store(tmp_path, 40), file_store(tmp_path, 40)
    assert (one.try_acquire(), two.try_acquire()) == (0.0, 0.0)
    for file in tmp_path.glob(victims):
        file.unlink()
    assert (one.try_acquire(), two.try_acquire()) == (0.0, 0.0)
    # Without the log nobody knows what was sent: a tenth of the allowance has to do for a window.
    assert one.used() == two.used() == (38 if "sqlite" in victims or victims == "*" else 4)
    one.close_gate(10)
    assert two.gate() == pytest.approx(10, abs=0.5)
    assert file_store(tmp_path, 40).used() == one.used()


@pytest.mark.parametrize("age", [1, 61])
def test_who_was_idle_for_a_window_believes_only_a_log_that_has_lived_for_one(tmp_path: Path, age: int) -> None:
    clock = SteppedClock()
    idle = file_store(tmp_path, 40, 60.0, clock=clock)
    idle.try_acquire()
    clock.now += 61
    for file in tmp_path.glob("*"):
        file.unlink()
    # Somebody who knows of no other log.
    file_store(tmp_path, 40, 60.0, clock=clock).try_acquire()
    clock.now += age
    idle.try_acquire()
    assert idle.used() == (37 if age == 1 else 1)


@pytest.mark.parametrize("idle", [False, True])
def test_a_loss_is_not_forgotten_when_holding_most_back_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    clock = SteppedClock()
    store = file_store(tmp_path, 40, 60.0, clock=clock)
    store.try_acquire()
    clock.now += 61 if idle else 0
    for file in tmp_path.glob("*"):
        file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(store, "_record", refuse)
        with pytest.raises(StoreDownError):
            store.try_acquire()
    store.try_acquire()
    assert store.used() == 37


def test_a_log_whose_latest_entries_were_removed_with_their_file_is_not_gone_on_with(tmp_path: Path) -> None:
    one = file_store(tmp_path, 40)
    one.try_acquire()
    for file in tmp_path.glob("*"):
        file.unlink()
    one.try_acquire()
    # A cleaner goes through its list one by one, and this file is a new one by now.
    (journal,) = tmp_path.glob("*-wal")
    journal.unlink()
    two = file_store(tmp_path, 40)
    for store in (two, one, two, one):
        # SQLite may notice it first; the budget then falls back, and comes again.
        with contextlib.suppress(StoreDownError):
            store.try_acquire()
    assert one.used() == two.used() > 0


def test_opening_a_log_anew_that_is_whole_holds_nothing_back(tmp_path: Path) -> None:
    store = file_store(tmp_path, 40)
    store.try_acquire()
    store._drop()
    store.try_acquire()
    assert store.used() == 2


def test_a_full_disk_is_reported_and_not_taken_for_damage(tmp_path: Path) -> None:
    store = file_store(tmp_path, 10**5)
    store.try_acquire()
    assert store._log is not None
    pages = store._log.connection.execute("PRAGMA page_count").fetchone()[0]
    store._log.connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreDownError, match="full"):
        [store.try_acquire() for _ in range(5000)]
    assert store.try_acquire() == 0.0
    assert store.used() > 100


def test_a_file_that_cannot_be_opened_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file_store(tmp_path).try_acquire()
    store = file_store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", refuse)
        with pytest.raises(StoreDownError, match="unable to open"):
            store.try_acquire()
    assert store.used() == 1


def refuse(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("unable to open database file")


@pytest.mark.parametrize(("mode", "group"), [(0o770, 0o060), (0o700, 0)])
def test_files_take_over_the_groups_rights_of_the_folder(tmp_path: Path, mode: int, group: int) -> None:
    tmp_path.chmod(mode)
    store = file_store(tmp_path)
    store.try_acquire()
    store.close_gate(1)
    assert len(list(tmp_path.iterdir())) == 5
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 | group, file


def test_time_of_another_boot_is_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_store(tmp_path, 1)
    before.try_acquire()
    monkeypatch.setattr("airflow_src_provider.client.filestore._boot_id", lambda: "next")
    assert file_store(tmp_path, 1).try_acquire() == 0.0


def test_rows_of_an_earlier_boot_without_a_name_are_forgotten(tmp_path: Path) -> None:
    clock = SteppedClock(90_000.0)
    before = file_store(tmp_path, 2, clock=clock)
    assert [before.try_acquire() for _ in range(2)] == [0.0] * 2
    # The clock begins anew.
    clock.now = 12.0
    store = file_store(tmp_path, 2, clock=clock)
    assert [store.try_acquire() for _ in range(3)] == [0.0, 0.0, pytest.approx(60, abs=0.002)]
