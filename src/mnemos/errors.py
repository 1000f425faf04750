"""Every exception Mnemos raises on purpose.

Each message says what was given, what is allowed, and what to do about it::

    MnemosError
    ├── InvalidInput (ValueError)      an argument or an input file cannot be used
    │   └── ScopeRequired              the call would touch everybody's memories
    ├── NotFound (LookupError)         no such memory in this scope
    ├── Conflict                       the store already says something else
    │   ├── VersionConflict            what the change was made from has changed since
    │   ├── MergeConflict              both sides of a merge changed the same memory
    │   └── LeaseLost                  another worker has taken the job over
    ├── BudgetSpent                    a job has used up what its scope may spend in a day
    ├── IllegalTransition              the life cycle does not allow this step
    ├── Protected                      a frozen memory, or one under legal hold
    ├── Forbidden                      the principal has no right to this
    │   └── TooLittleTrust             a less trusted source would overrule a more trusted one
    ├── IntakeFull                     a source has written more than it may
    ├── StoreError                     the vault cannot do what was asked
    │   ├── StoreFull                  no room left; nothing was written
    │   ├── StoreBusy                  another writer held the lock too long
    │   ├── StoreReadOnly              file or directory cannot be written
    │   ├── StoreCorrupt               the file is not, or no longer, a sound vault
    │   ├── FormatTooNew               written by a newer Mnemos
    │   ├── ScopeViolation             a statement left the scope its view is bound to
    │   └── StoreClosed                used after ``close()``
    └── ModelError                     a model is missing, wrong or failed
        ├── ModelUnavailable           it, or its weights, cannot be had here
        ├── ModelMismatch              not the model that made what is stored
        └── MissingExtra (ImportError) an optional package is not installed

The root is never called ``MemoryError``: that name belongs to Python.
"""


class MnemosError(Exception):
    """Root of everything Mnemos raises on purpose."""


class InvalidInput(MnemosError, ValueError):
    """An argument or an input file cannot be used as given."""


class ScopeRequired(InvalidInput):
    """The call needs a user or an agent: without one it would touch everything."""


class NotFound(MnemosError, LookupError):
    """No such memory in this tenant and scope, or it was forgotten."""


class Conflict(MnemosError):
    """The store already holds something that contradicts the call."""


class VersionConflict(Conflict):
    """What the change was made from is no longer the current version; nothing was written."""


class MergeConflict(Conflict):
    """Both sides of a merge changed the same memory; nothing was written.

    ``collisions`` lists the memories, each with the versions that collide.
    """

    def __init__(self, message: str, collisions: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.collisions = collisions


class LeaseLost(Conflict):
    """The job was taken over by another worker; what this one made of it was not written."""


class BudgetSpent(MnemosError):
    """A job has used up what its scope may spend in a day; it goes on tomorrow."""


class IllegalTransition(MnemosError):
    """The life cycle does not lead from the present state to the one asked for."""


class Protected(MnemosError):
    """The memory is frozen, or under a legal hold, and must stay as it is."""


class Forbidden(MnemosError):
    """The principal has no right to do this here; nothing was read or written."""


class TooLittleTrust(Forbidden):
    """What is to be written is less trusted than what it would change; nothing was written."""


class IntakeFull(MnemosError):
    """A source has written as much as it may for now; nothing was written."""


class StoreError(MnemosError):
    """The vault cannot do what was asked; what was acknowledged before is safe."""


class StoreFull(StoreError):
    """No room left on the disk or within the store's limit; nothing was written."""


class StoreBusy(StoreError):
    """Another writer held the write lock longer than the time-out."""


class StoreReadOnly(StoreError):
    """The file or its directory cannot be written."""


class StoreCorrupt(StoreError):
    """The file is not a Mnemos vault, or it was damaged."""


class FormatTooNew(StoreError):
    """The vault was written by a newer Mnemos than this one."""


class ScopeViolation(StoreError):
    """A statement asked for rows outside of its view: an error of the code above, not of the caller."""


class StoreClosed(StoreError):
    """The handle was used after ``close()``."""


class ModelError(MnemosError):
    """A model is missing, wrong or failed."""


class ModelUnavailable(ModelError):
    """The model, or its weights, cannot be had on this machine."""


class ModelMismatch(ModelError):
    """The model is not the one that made what is stored."""


class MissingExtra(ModelError, ImportError):
    """An optional package is not installed."""
