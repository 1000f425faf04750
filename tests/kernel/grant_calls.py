"""Grants given, used and taken back in one line, and what a principal then sees by every index."""

import numpy as np
import pytest

from mnemos.errors import Forbidden, NotFound
from mnemos.kernel.changes import Add
from mnemos.kernel.governance.grants import Grant, Verb
from mnemos.types import State

ANA, BEN, CY, DAN = "user:ana", "user:ben", "user:cy", "user:dan"
EVERYTHING = frozenset(Verb)


def write(world, text, *, actor="owner", subject=ANA, branch=0, state=State.ACTIVATED, **header):
    made = Add(id=world.ids.fresh(), draft=world.draft(text, state=state, **header))
    return world.commit(made, subject=subject, actor=actor, branch=branch).ids[0]


def grant(world, principal, verbs, *, by="owner", subject=ANA, everywhere=False, **fields):
    """Give a grant; return its name, by which it is taken back."""
    id = world.ids.fresh()
    given = Grant(
        id=id,
        principal=principal,
        verbs=frozenset([verbs] if isinstance(verbs, Verb) else verbs),
        by=by,
        everywhere=everywhere,
        **fields,
    )
    world.rule("grant", id, given.to_json(), everywhere=everywhere, subject=subject, actor=by)
    return id


def take_back(world, id, *, by="owner", subject=ANA, everywhere=False):
    world.rule("grant", id, None, everywhere=everywhere, subject=subject, actor=by)


def group(world, name, *members):
    world.rule("group", name, {"members": list(members)} if members else None, everywhere=True)


def sees(world, principal, *, subject=ANA, **how):
    """Return the texts a principal sees, the same by page, list, get, look and history."""
    with world.reader(subject, principal=principal, **how) as reader:
        listed = {cube.id: cube.text for cube in reader.list()}
        found = {}
        page = reader.page()
        if page is not None:
            arrays, mask = page
            for place in np.flatnonzero(mask).tolist():
                cube = reader.cube(*(int(arrays.column(name)[place]) for name in ("born", "cube")))
                found[cube.id] = cube.text
        assert found == listed
        for id, _ in list(reader.everything()):
            if id in listed:
                assert reader.get(id).text == reader.history(id)[-1].text == listed[id]
            else:
                assert reader.look(id) is None
                with pytest.raises(NotFound):
                    reader.get(id)
                with pytest.raises(NotFound):
                    reader.history(id)
        return set(listed.values())


def is_refused(world, principal, **how):
    with pytest.raises(Forbidden) as refusal, world.reader(ANA, principal=principal, **how):
        pass
    assert repr(principal) in str(refusal.value)
    assert "grant" in str(refusal.value)
    return True


def acted(home, change, *, actor=BEN):
    return home.commit(change, subject=ANA, actor=actor)
