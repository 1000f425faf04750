"""The lineage of memories as W3C PROV, in its JSON form (PROV-JSON, member submission 2013).

A memory is an entity and each of its versions one too, a specialisation of it. What committed
events together is an activity; actors, and the models that derived something, are agents. Words
are left out unless they are asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from mnemos.errors import NotFound
from mnemos.kernel import schema
from mnemos.kernel.blobs import load_body
from mnemos.kernel.canonical import moment
from mnemos.kernel.governance.views import View
from mnemos.kernel.ports import Blobs, ReadTx
from mnemos.kernel.proof.lineage import DEPTH, Family, Life, lineage
from mnemos.kernel.schema import Event, Version
from mnemos.types import Header, Text

NAMESPACE = "https://mnemos.invalid/ns#"
"""Names no page on the web: a name of our own under a domain that can never be registered."""
PREFIXES = {
    "mnemos": NAMESPACE,
    "memory": f"{NAMESPACE}memory/",
    "version": f"{NAMESPACE}version/",
    "commit": f"{NAMESPACE}commit/",
    "actor": f"{NAMESPACE}actor/",
    "model": f"{NAMESPACE}model/",
}

Document = dict[str, dict[str, Any]]


def prov(
    tx: ReadTx,
    blobs: Blobs,
    view: View,
    id: str | None = None,
    *,
    text: bool = False,
    depth: int = DEPTH,
) -> Document:
    """Return a PROV-JSON document of a memory's lineage, or of everything in a view's scope.

    Parameters
    ----------
    tx : ReadTx
        The snapshot to look in.
    blobs : Blobs
        Where large payloads lie.
    view : View
        What may be seen.
    id : str or None
        The memory, with what it was derived from and what was derived from it; None is all.
    text : bool
        Whether the words of the memories are to be in it.
    depth : int
        Steps to follow from ``id`` in either direction.

    Raises
    ------
    NotFound
        If the view does not show the memory.
    """
    family = Family(tx, view)
    if id is None:
        ids = _everything(family)
    else:
        found = lineage(tx, view, id, depth=depth)
        ids = [id, *(item.id for item in (*found.sources, *found.derived))]
    writer = _Writer(family, blobs if text else None)
    for item in ids:
        life = family.life(item)
        if life is not None:
            writer.memory(life)
    return writer.document()


def _everything(family: Family) -> list[str]:
    """Return the ids of every cube of the view's subject, in order of first writing."""
    if family.subject is None:
        raise NotFound(
            f"nothing is remembered of {family.view.scope.subject!r}; add something first"
        )
    rows = family.tx.scan(schema.VERSIONS, (family.tenant, family.subject), index="deaths")
    return [family.event(cube).cube for cube in sorted({row.cube for row in rows})]


def _typed(value: str, kind: str) -> dict[str, str]:
    return {"$": value, "type": kind}


def _name(prefix: str, *parts: str | int) -> str:
    return f"{prefix}:{'.'.join(quote(str(part), safe='') for part in parts)}"


class _Writer:
    """Gathers the statements of a document."""

    def __init__(self, family: Family, blobs: Blobs | None) -> None:
        self._family = family
        self._blobs = blobs
        self._sections: defaultdict[str, dict[str, Any]] = defaultdict(dict)

    def document(self) -> Document:
        """Return what was gathered."""
        return {"prefix": dict(PREFIXES), **{name: self._sections[name] for name in self._sections}}

    def _say(self, relation: str, **what: Any) -> None:
        """Add a relation; its own name is a number, as it says nothing else."""
        known = self._sections[relation]
        statement = {name.replace("__", ":"): value for name, value in what.items()}
        known[f"_:{relation}{len(known) + 1}"] = statement

    def memory(self, life: Life) -> None:
        """Add a memory with all its versions."""
        whole = _name("memory", life.id)
        self._sections["entity"][whole] = {"prov:type": _typed("mnemos:Memory", "xsd:QName")}
        before: Version | None = None
        for number, (row, header) in enumerate(zip(life.versions, life.headers, strict=True), 1):
            self._version(life, row, header, number)
            self._say(
                "specializationOf",
                prov__specificEntity=_version(life, row),
                prov__generalEntity=whole,
            )
            if before is not None:
                self._revision(life, row, before)
            self._end(life, row)
            before = row

    def _version(self, life: Life, row: Version, header: Header, number: int) -> None:
        event, name = self._family.event(row.born), _version(life, row)
        commit, actor = self._commit(event)
        self._sections["entity"][name] = self._attributes(row, header, number)
        self._say(
            "wasGeneratedBy",
            prov__entity=name,
            prov__activity=commit,
            prov__time=_time(event),
            prov__role=event.verb,
        )
        self._say("wasAttributedTo", prov__entity=name, prov__agent=actor)
        if header.model is not None:
            self._say("wasAttributedTo", prov__entity=name, prov__agent=self._model(header.model))
        for id in header.derived_from:
            self._derivation(name, commit, id, row, header)

    def _attributes(self, row: Version, header: Header, number: int) -> dict[str, Any]:
        values: dict[str, Any] = {
            "prov:type": _typed("mnemos:Version", "xsd:QName"),
            "mnemos:version": number,
            "mnemos:kind": header.kind.value,
            "mnemos:state": str(row.state),
            "mnemos:origin": header.origin.value,
            "mnemos:trust": _typed(repr(float(header.trust)), "xsd:double"),
            "mnemos:branch": self._family.names.branch(row.subject, row.branch),
        }
        if header.method is not None:
            values["mnemos:method"] = header.method
        if header.happened_at is not None:
            values["mnemos:happenedAt"] = _typed(header.happened_at.isoformat(), "xsd:dateTime")
        if self._blobs is not None:
            body = load_body(self._family.tx, self._blobs, self._family.tenant, row.content)
            if body is not None and isinstance(body.payload, Text):
                values["prov:value"] = body.payload.text
        return values

    def _revision(self, life: Life, row: Version, before: Version) -> None:
        self._say(
            "wasDerivedFrom",
            prov__generatedEntity=_version(life, row),
            prov__usedEntity=_version(life, before),
            prov__type=_typed("prov:Revision", "xsd:QName"),
        )
        if row.content == before.content:
            return  # a move in the life cycle: the same words, already a revision
        known = {item.born for item in life.versions}
        same = self._family.adopted(life, row)
        if same is not None and same.born in known:
            self._say(
                "alternateOf",
                prov__alternate1=_version(life, row),
                prov__alternate2=_version(life, same),
            )

    def _derivation(self, name: str, commit: str, id: str, row: Version, header: Header) -> None:
        """Say which version of a source was used: the one current when this was written."""
        source = self._family.life(id)
        if source is None:
            return
        earlier = [item for item in source.versions if item.born <= row.born]
        if row.content == row.born:  # an adopted or moved version used nothing anew
            used = _version(source, earlier[-1]) if earlier else _name("memory", id)
            if not earlier:
                self._sections["entity"].setdefault(used, {})
            self._mention(source, earlier)
            self._say("used", prov__activity=commit, prov__entity=used)
            more = {"mnemos__method": header.method} if header.method is not None else {}
            self._say(
                "wasDerivedFrom",
                prov__generatedEntity=name,
                prov__usedEntity=used,
                prov__activity=commit,
                **more,
            )

    def _mention(self, source: Life, versions: Iterable[Version]) -> None:
        """Declare a source that the document may not describe: beyond the depth asked for."""
        for row in list(versions)[-1:]:
            self._sections["entity"].setdefault(_version(source, row), {})

    def _end(self, life: Life, row: Version) -> None:
        if not self._family.ended(row):
            return
        event = self._family.event(row.dead)
        commit, _ = self._commit(event)
        self._say(
            "wasInvalidatedBy",
            prov__entity=_version(life, row),
            prov__activity=commit,
            prov__time=_time(event),
            prov__role=event.verb,
        )

    def _commit(self, event: Event) -> tuple[str, str]:
        """Return the activity an event was part of and its agent, declaring both."""
        commit, actor = _name("commit", event.batch), _name("actor", event.actor)
        label = self._family.names.actor(event.actor)
        self._sections["agent"].setdefault(actor, {"prov:label": label})
        if commit not in self._sections["activity"]:
            self._sections["activity"][commit] = {
                "prov:startTime": _time(event),
                "prov:endTime": _time(event),
                "prov:type": _typed("mnemos:Commit", "xsd:QName"),
                "mnemos:seq": event.batch,
            }
            self._say("wasAssociatedWith", prov__activity=commit, prov__agent=actor)
        return commit, actor

    def _model(self, model: str) -> str:
        name = _name("model", model)
        self._sections["agent"].setdefault(
            name,
            {"prov:type": _typed("prov:SoftwareAgent", "xsd:QName"), "prov:label": model},
        )
        return name


def _version(life: Life, row: Version) -> str:
    return _name("version", life.id, row.born)


def _time(event: Event) -> str:
    return moment(event.at).isoformat(timespec="microseconds")
