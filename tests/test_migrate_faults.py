"""Migrations killed and cut off, in small numbers; ``python -m faults.endurance migrate`` runs more."""

from __future__ import annotations

from faults.endurance import endure
from faults.migrating import MigrateSubject

SMALL = (520,)


def test_random_kills_and_faults_of_a_migration_lose_and_double_nothing() -> None:
    """From one deployment into another, killed or cut off on either side and run again: exactly its histories."""
    total = endure(MigrateSubject(longest=SMALL), kills=4, faults=1, seed=6, jobs=2, say=print)
    assert total.kills >= 4
    assert total.fault_runs >= 1
