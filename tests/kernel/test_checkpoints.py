"""Checkpoints: their file, their signature, and what they prove."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos import Memory
from mnemos.errors import InvalidInput, MissingExtra, NotFound
from mnemos.kernel import schema
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.proof.checkpoints import (
    check,
    decode,
    key_id,
    read_private_key,
    read_public_key,
    sign,
    take,
    write_key_pair,
)
from mnemos.testing import SeededEntropy


def taken(world, tenant="t"):
    with world.store.read(SYSTEM) as tx:
        return take(tx, tenant, now=world.clock.now())


def problems(world, checkpoint, key=None):
    with world.store.read(SYSTEM) as tx:
        return check(tx, checkpoint, key)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two key pairs: folder, and for each its private and public key."""
    pytest.importorskip("cryptography")
    folder = tmp_path_factory.mktemp("keys")
    pairs = []
    for number in range(2):
        private, public = folder / f"{number}.key", folder / f"{number}.pub"
        write_key_pair(private, public, entropy=SeededEntropy(number))
        pairs.append((read_private_key(private), read_public_key(public)))
    return folder, pairs


# --- the file


def test_the_file_is_one_line_of_canonical_json(world):
    world.add("one")
    made = taken(world)
    data = made.encode()
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    value = json.loads(data)
    assert list(value) == sorted(value)
    head = world.head()
    assert (value["format"], value["tenant"], value["seq"]) == ("mnemos-checkpoint-1", "t", 1)
    assert (value["hash"], value["algorithm"], value["signature"]) == (head.hash.hex(), "none", "")
    assert value["at"] == "2026-01-01T00:00:00.000000+00:00"
    assert decode(data) == made


def test_a_checkpoint_of_nothing_can_be_taken_and_holds_ever_after(world):
    made = taken(world)
    assert decode(made.encode()) == made
    assert problems(world, made) == []
    world.add("one")
    assert problems(world, made) == []


BAD = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"format":"mnemos-checkpoint-2"}',
    b'{"format":"mnemos-checkpoint-1"}',
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_what_is_no_checkpoint_is_refused(data):
    with pytest.raises(InvalidInput, match="checkpoint"):
        decode(data)


def test_every_edited_field_is_refused_or_another_checkpoint(world):
    """No edit of the file is read as what was written, and none ends in another error."""
    world.add("one")
    made = taken(world)
    value = json.loads(made.encode())
    for name in value:
        for other in (None, 5, "", "x", [], -1, True, "00", 1.5):
            edited = json.dumps(value | {name: other}, sort_keys=True, separators=(",", ":"))
            if other == value[name]:
                continue
            try:
                assert decode(edited.encode()) != made
            except InvalidInput:
                continue
        less = {key: item for key, item in value.items() if key != name}
        with pytest.raises(InvalidInput):
            decode(json.dumps(less).encode())
    with pytest.raises(InvalidInput, match="another form"):
        decode(json.dumps(value, indent=1).encode())


@given(st.binary(max_size=200))
def test_no_bytes_end_in_another_error(data):
    with pytest.raises(InvalidInput):
        decode(data)


# --- what it proves


def test_a_journal_that_went_on_still_fits(world):
    made = []
    for number in range(5):
        world.add(str(number))
        made.append(taken(world))
    world.forget(world.rows(schema.IDS, "t")[0].id)
    assert [problems(world, each) for each in made] == [[]] * 5


def test_each_way_of_not_fitting_is_told(world):
    for number in range(4):
        world.add(str(number))
        world.clock.advance(hours=1)
    made = taken(world)
    assert "another hash" in problems(world, replace(made, hash=bytes(32)))[0]
    assert "another time" in problems(world, replace(made, at=made.at - timedelta(hours=1)))[0]
    assert "ends at event 4: event 5 was cut off" in problems(world, replace(made, seq=5))[0]
    assert "ends at event 4: events 5–9 were cut off" in problems(world, replace(made, seq=9))[0]
    assert "no journal of this tenant" in problems(world, replace(made, tenant="x"))[0]
    head = world.head()
    with world.store.write(SYSTEM) as tx:
        tx.put(schema.HEADS, head._replace(seq=2))
    assert "set back" in problems(world, made)[0]
    with world.store.write(SYSTEM) as tx:
        tx.delete(schema.EVENTS, ("t", 3))
    assert problems(world, replace(made, seq=3)) == ["event 3 is missing"]


# --- signatures


def test_a_signed_checkpoint_proves_itself(world, keys):
    _, ((private, public), (_, stranger)) = keys
    world.add("one")
    signed = sign(taken(world), private)
    assert (signed.algorithm, signed.key_id, len(signed.signature)) == (
        "ed25519",
        key_id(public),
        64,
    )
    assert decode(signed.encode()) == signed
    assert problems(world, signed, public) == problems(world, signed) == []
    (told,) = problems(world, signed, stranger)
    assert key_id(public) in told
    assert key_id(stranger) in told
    (told,) = problems(world, taken(world), public)
    assert "not signed" in told


def test_every_altered_field_of_a_signed_checkpoint_is_found(world, keys):
    _, ((private, public), _) = keys
    world.add("one")
    signed = sign(taken(world), private)
    for altered in (
        replace(signed, tenant="u"),
        replace(signed, seq=0),
        replace(signed, hash=bytes(32)),
        replace(signed, at=signed.at + timedelta(seconds=1)),
        replace(signed, created=signed.created + timedelta(seconds=1)),
        *(
            replace(
                signed, signature=bytes(b ^ (n == place) for n, b in enumerate(signed.signature))
            )
            for place in range(64)
        ),
    ):
        assert problems(world, altered, public) == [
            "its signature does not fit: the checkpoint was altered"
        ]


def test_the_same_key_signs_the_same_way(world, keys):
    _, ((private, _), _) = keys
    world.add("one")
    assert sign(taken(world), private) == sign(taken(world), private)


# --- keys


def test_the_private_key_is_for_its_owner_alone(keys):
    folder, _ = keys
    if os.name == "posix":
        assert stat.S_IMODE((folder / "0.key").stat().st_mode) == 0o600
    assert (folder / "0.key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert (folder / "0.pub").read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")


def test_keys_are_never_overwritten(keys, tmp_path):
    folder, _ = keys
    before = (folder / "0.key").read_bytes()
    for private, public in (("0.key", "new.pub"), ("new.key", "0.pub")):
        with pytest.raises(InvalidInput, match="overwritten"):
            write_key_pair(folder / private, folder / public, entropy=SeededEntropy(9))
    assert (folder / "0.key").read_bytes() == before
    assert not (folder / "new.key").exists()
    with pytest.raises(InvalidInput, match="cannot be made"):
        write_key_pair(tmp_path / "no" / "a", tmp_path / "b", entropy=SeededEntropy(9))


def test_what_is_no_key_is_refused(keys, tmp_path):
    folder, _ = keys
    (tmp_path / "other").write_bytes(b"no key at all")
    for read, wrong in ((read_private_key, "0.pub"), (read_public_key, "0.key")):
        for path in (tmp_path / "other", folder / wrong, tmp_path):
            with pytest.raises(InvalidInput):
                read(path)
        with pytest.raises(NotFound):
            read(tmp_path / "nowhere")


def test_a_key_of_another_kind_is_refused(keys, tmp_path):
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.generate()
    (tmp_path / "a").write_bytes(
        key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    )
    (tmp_path / "b").write_bytes(
        key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    )
    for read, name in ((read_private_key, "a"), (read_public_key, "b")):
        with pytest.raises(InvalidInput, match="Ed25519"):
            read(tmp_path / name)


def test_without_the_library_unsigned_checkpoints_work_and_signing_says_what_to_install():
    code = """
import sys
sys.modules["cryptography"] = None
from mnemos import Memory
from mnemos.errors import MissingExtra
with Memory(":memory:", embedder=None) as memory:
    memory.add("one", user_id="ana")
    assert memory.verify(checkpoints=memory.checkpoint()).ok
    for call in (
        lambda: memory.checkpoint(key="some.key"),
        lambda: memory.verify(checkpoints=memory.checkpoint(), public_key="some.pub"),
    ):
        try:
            call()
        except MissingExtra as error:
            assert "mnemos[sign]" in str(error)
        else:
            raise AssertionError
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_library_is_loaded_only_to_sign(world):
    assert issubclass(MissingExtra, ImportError)
    code = "import sys, mnemos.kernel.proof.checkpoints; print('cryptography' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


# --- through the public calls


@pytest.fixture
def memory():
    with Memory(":memory:", embedder=None) as opened:
        opened.add("one", user_id="ana")
        yield opened


def test_files_are_written_and_read(memory, keys, tmp_path):
    folder, _ = keys
    plain = memory.checkpoint(tmp_path / "plain.json")
    memory.add("two", user_id="ana")
    signed = memory.checkpoint(str(tmp_path / "signed.json"), key=folder / "0.key")
    assert decode((tmp_path / "plain.json").read_bytes()) == plain
    both = [tmp_path / "plain.json", str(tmp_path / "signed.json")]
    assert memory.verify(checkpoints=both).checkpoints == 2
    report = memory.verify(checkpoints=signed, public_key=folder / "0.pub")
    assert (report.checkpoints, report.problems) == (1, [])
    report = memory.verify(checkpoints=both, public_key=folder / "0.pub")
    assert report.problems == [
        "checkpoint of 'default' at event 1: it is not signed, though a public key was given"
    ]
    assert not memory.verify(checkpoints=both[1], public_key=folder / "1.pub").ok


def test_a_checkpoint_of_another_vault_does_not_hold(memory):
    with Memory(":memory:", embedder=None) as other:
        other.add("one", user_id="ana")
        assert "another hash" in memory.verify(checkpoints=other.checkpoint()).problems[0]
    with Memory(":memory:", embedder=None, tenant="acme") as other:
        other.add("one", user_id="ana")
        assert "no journal" in memory.verify(checkpoints=[other.checkpoint()]).problems[0]


def test_a_checkpoint_is_never_written_over_another(memory, tmp_path):
    memory.checkpoint(tmp_path / "a.json")
    before = (tmp_path / "a.json").read_bytes()
    memory.add("two", user_id="ana")
    with pytest.raises(InvalidInput, match="never overwritten"):
        memory.checkpoint(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == before


def test_what_cannot_be_used_is_refused(memory, keys, tmp_path):
    folder, _ = keys
    (tmp_path / "bad.json").write_bytes(b"{}")
    for bad in (
        {"checkpoints": 5},
        {"checkpoints": [5]},
        {"checkpoints": tmp_path / "bad.json"},
        {"checkpoints": ""},
        {"public_key": folder / "0.pub"},
        {"public_key": 5, "checkpoints": memory.checkpoint()},
        {"progress": 5},
    ):
        with pytest.raises(InvalidInput):
            memory.verify(**bad)
    with pytest.raises(NotFound):
        memory.verify(checkpoints=tmp_path / "nowhere.json")
    for path, key in ((5, None), (None, 5), (tmp_path, None), (None, tmp_path / "bad.json")):
        with pytest.raises(InvalidInput):
            memory.checkpoint(path, key=key)
