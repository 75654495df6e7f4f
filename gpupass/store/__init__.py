"""What gpupass remembers, in one SQLite database that is checked before it is believed.

store.db    operations with their events (the write-ahead journal; those that are over are the history),
            marks, applies; and, for leases to come, who owns which atoms
head        the open operations, their devices, the last commit's number and the hash of the chain

A commit is a transaction of the database, fsynced; then the head is brought up to it; and only then does
anybody act on it. The head is therefore never ahead of a sound database, and whatever the head does not know
of has not been acted upon. So of single faults
- lost commits that the head knows of (a flipped bit in the -wal, a file from a backup): detected, always;
- one lost commit that it does not know of (killed between the two): harmless. A step whose intent is lost was
  not begun; one whose `done` is lost is looked at again, done or taken back, as after a kill before it;
- after a power cut the head may be older than the database (only what begins or ends an operation is fsynced
  in it), never newer. Lost with the tail of the -wal then, on a disk that lied about fsync: steps of a boot
  that is over, whose devices the kernel has forgotten (`Operation.ended_by_reboot`);
- rows that are changed: their CRC; rows that vanish from a page: `integrity_check`, the number of events in
  each operation's row, and the head's list of open operations.

Damage is never "nothing to do": it is an error (Damaged, exit 5) until a person says `recover --forget`.
"""

from gpupass.store.store import Store, store_of

__all__ = ["Store", "store_of"]
