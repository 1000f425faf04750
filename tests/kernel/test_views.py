"""Views are issued in one place, cannot be made elsewhere, and no store is read without one."""

import ast
import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import mnemos
from mnemos.errors import InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.governance.views import (
    OWNER,
    Right,
    SystemView,
    TenantView,
    View,
    open_view,
    tenant_view,
    with_rights,
)
from mnemos.types import CURRENT_STATES, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(tenant="t", subject="ana")
ROOT = Path(mnemos.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
ISSUED = {
    View: open_view(SCOPE, now=NOW, principal="user:ben"),
    TenantView: tenant_view("t"),
    SystemView: SYSTEM,
}


def given(view):
    """What a view was made of, its seal left out."""
    return {item.name: getattr(view, item.name) for item in fields(view)}


# ------------------------------------------------------------------------------ the seal


@pytest.mark.parametrize("kind", ISSUED)
@pytest.mark.parametrize("seal", [{}, {"seal": None}, {"seal": object()}, {"seal": True}])
def test_a_view_cannot_be_built(kind, seal):
    with pytest.raises(TypeError, match="is issued by"):
        kind(**given(ISSUED[kind]), **seal)


@pytest.mark.parametrize("kind", ISSUED)
def test_a_view_does_not_carry_the_seal_it_was_issued_with(kind):
    # Else whoever holds one could take it from there and build another.
    view = ISSUED[kind]
    assert "seal" not in given(view)
    assert not isinstance(getattr(view, "__dict__", None), dict)
    assert getattr(view, "seal", None) is None


@pytest.mark.parametrize("kind", ISSUED)
def test_a_view_cannot_be_replaced(kind):
    with pytest.raises((TypeError, ValueError)):
        replace(ISSUED[kind])
    with pytest.raises((TypeError, ValueError)):
        replace(ISSUED[kind], seal=None)


@pytest.mark.parametrize(
    "change", [{"rights": None}, {"principal": OWNER}, {"scope": Scope(tenant="other")}]
)
def test_no_field_of_a_view_can_be_replaced(change):
    with pytest.raises((TypeError, ValueError)):
        replace(ISSUED[View], **change)
    with pytest.raises(TypeError, match="is issued by"):
        replace(ISSUED[View], **change, seal=object())
    with pytest.raises(FrozenInstanceError):
        setattr(ISSUED[View], *next(iter(change.items())))


@pytest.mark.parametrize("kind", ISSUED)
def test_a_view_cannot_be_subclassed_into_being(kind):
    # A subclass could check no seal.
    with pytest.raises(TypeError, match="no subclasses"):
        type("Forged", (kind,), {"__post_init__": lambda self, seal: None})


@pytest.mark.parametrize("kind", ISSUED)
def test_a_copy_of_a_view_shows_the_same(kind):
    view = ISSUED[kind]
    for other in (copy.copy(view), copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        assert other == view


# ------------------------------------------------------------------------- who asks for what


def test_the_owner_sees_everything_and_anybody_else_nothing_before_it_was_looked_up():
    assert open_view(SCOPE, now=NOW).rights is None
    for principal in ("user:ben", "agent:scout", "ana", "Owner", "owner "):
        assert open_view(SCOPE, now=NOW, principal=principal).rights == ()


def test_rights_change_nothing_else_of_a_view():
    view = open_view(
        SCOPE,
        now=NOW,
        principal="user:ben",
        as_of=7,
        valid_at=NOW,
        ended=True,
        branch=3,
        kinds=["fact"],
        states=["archived"],
    )
    right = Right(run_id="r")
    other = with_rights(view, (right,), frozenset())
    assert given(other) == given(view) | {"rights": (right,)}
    assert open_view(SCOPE, now=NOW).states == CURRENT_STATES


@pytest.mark.parametrize(
    "wrong",
    [
        {"now": datetime(2026, 1, 1)},
        {"valid_at": datetime(2026, 1, 1)},
        {"as_of": -1},
    ],
)
def test_a_view_of_no_moment_is_refused(wrong):
    with pytest.raises(InvalidInput):
        open_view(SCOPE, **({"now": NOW} | wrong))


def test_every_view_says_how_far_it_reaches():
    reaches = [(view.tenant, view.subject) for view in ISSUED.values()]
    assert reaches == [("t", "ana"), ("t", None), (None, None)]


def test_a_store_does_not_open_without_a_view(world):
    for opened in (world.store.read, world.store.write):
        with pytest.raises(TypeError):
            opened()
        with pytest.raises(AttributeError), opened(None) as tx:
            list(tx.scan(schema.EVENTS, ()))


# ----------------------------------------------------------------------------- the source


def room(path):
    return path.relative_to(ROOT).as_posix()


def names(tree):
    """Yield every name made, used, imported or asked of a module, in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                yield alias.name
                yield alias.asname or alias.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # getattr(views, "_SEAL")
        elif isinstance(node, ast.FunctionDef):
            yield node.name


def users(name):
    return {room(path) for path, tree in TREES.items() if name in set(names(tree))}


def test_the_seal_and_the_system_view_are_used_in_governance_alone():
    assert users("_SEAL") == {"kernel/governance/views.py"}
    assert users("system_view") == {
        "kernel/governance/views.py",
        "kernel/governance/system.py",
    }


def test_the_view_of_the_whole_vault_is_imported_by_kernel_stores_and_tests_alone():
    found = users("SYSTEM") | users("mnemos.kernel.governance.system")
    rooms = {file.partition("/")[0] for file in found}
    assert rooms == {"kernel", "stores", "testing"}


def test_views_are_built_in_one_file():
    for kind in ("View", "TenantView", "SystemView"):
        calls = {
            room(path)
            for path, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and _called(node) == kind
        }
        assert calls == {"kernel/governance/views.py"}


def _called(node):
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


def openings():
    """Yield where a store is asked for a transaction: the file and line, the call, if entered."""
    for path, tree in TREES.items():
        entered = {
            id(item.context_expr)
            for node in ast.walk(tree)
            if isinstance(node, ast.With)
            for item in node.items
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _of_store(node, room(path)):
                yield f"{room(path)}:{node.lineno}", node, id(node) in entered


def _of_store(call, file):
    """Return whether a call opens a transaction of a store, which calls itself self."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in {"read", "write"}:
        return False
    of = ast.unparse(call.func.value)
    return of.endswith("store") or (of == "self" and file.startswith("stores/sqlite.py"))


def test_no_transaction_is_opened_without_a_view():
    found = list(openings())
    assert len(found) > 40
    assert [
        place
        for place, call, _ in found
        if len(call.args) != 1 or isinstance(call.args[0], ast.Constant)
    ] == []


def test_every_transaction_is_entered_where_it_is_asked_for():
    # One that was asked for and kept could be entered by somebody else.
    assert [place for place, _, entered in openings() if not entered] == []
