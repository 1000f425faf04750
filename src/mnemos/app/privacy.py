"""The calls about secrets and personal data: redaction on writing or on reading, and undoing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mnemos.app.handle import Handle
from mnemos.app.scopes import read_path, read_string
from mnemos.errors import InvalidInput, NotFound
from mnemos.exchange import watermark
from mnemos.kernel.changes import SetRule
from mnemos.kernel.governance import rules
from mnemos.kernel.governance.cleaning import Mode, unsealed
from mnemos.kernel.governance.redaction import Sensitive
from mnemos.kernel.governance.rules import Sort
from mnemos.kernel.governance.views import ALL_STATES
from mnemos.kernel.journal import find_subject
from mnemos.memories.input_values import shown
from mnemos.types import MemCube, Receipt

KEY_BYTES = 16
"""Shortest key to seal values or to mark text with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Redaction:
    """A rule of redaction: when values leave a text, and which.

    Parameters
    ----------
    mode : str
        ``mask``, ``vault`` or ``read``.
    classes : tuple of str
        What is looked for; empty is every class.
    region : str
        Country whose phone numbers may stand without country code.
    everywhere : bool
        Whether it is the whole tenant's.
    """

    mode: str
    classes: tuple[str, ...]
    region: str
    everywhere: bool


class Privacy(Handle):
    """Calls that keep secrets and personal data out of what is stored or shown."""

    def set_redaction(
        self,
        mode: str = "mask",
        *,
        classes: str | Iterable[str] = (),
        region: str = "US",
        user_id: str | None = None,
        agent_id: str | None = None,
        everywhere: bool = False,
    ) -> Receipt:
        """Take secrets and personal data out of memories, from now on.

        Needs ``pip install "mnemos[redact]"``. Names and street addresses are not found: that
        takes a model.

        Parameters
        ----------
        mode : str
            ``mask``: before anything is written or embedded, for good. ``vault``: so too, but the
            values are kept beside the text, encrypted with the handle's ``seal_key``, and
            :meth:`reveal` puts them back. ``read``: they are stored as they are, and masked for
            principals whose grant is not ``unmasked``.
        classes : str or iterable of str
            email, phone, iban, credit_card, ip_address, url_credentials, national_id,
            crypto_wallet, secret; none named means all.
        region : str
            Country whose phone numbers may stand without country code.
        user_id, agent_id : str or None
            In whose memories; or ``everywhere`` for the whole tenant.

        Raises
        ------
        InvalidInput, ScopeRequired, Forbidden, MissingExtra
            Nothing was set.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.set_redaction("mask", classes="email", user_id="ana")
        ...     id = memory.add("Write to ann@sea.org", user_id="ana").id
        ...     memory.get(id).text
        'Write to [EMAIL]'
        """
        if mode not in tuple(Mode):
            raise InvalidInput(f"mode={shown(mode)} is unknown; allowed: {', '.join(Mode)}")
        if mode == Mode.VAULT and self._seal_key is None:
            raise InvalidInput(
                "vaulted values are sealed with a key, and this handle has none; open "
                "Memory(..., seal_key=FILE) with a file of 16 bytes or more"
            )
        named = _read_classes(classes)
        country = read_string("region", region)
        self._detector(frozenset(named) or None, country)  # what cannot be found is refused here
        value: dict[str, Any] = {"mode": mode, "region": country}
        if named:
            value["classes"] = named
        return self._set_redaction("set_redaction", value, user_id, agent_id, everywhere)

    def drop_redaction(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        everywhere: bool = False,
    ) -> Receipt:
        """Take nothing out any more; what was masked stays masked.

        Raises
        ------
        NotFound
            If no redaction is set here.
        """
        return self._set_redaction("drop_redaction", None, user_id, agent_id, everywhere)

    def redaction(
        self, *, user_id: str | None = None, agent_id: str | None = None
    ) -> Redaction | None:
        """Return the rule that counts for a user or an agent, or None."""
        scope = self._scope(user_id, agent_id, None)
        with self._records(scope) as tx:
            number = find_subject(tx, self._tenant, scope.subject)
            rule = rules.nearest(tx, self._tenant, number, Sort.REDACTION)
        if rule is None:
            return None
        return Redaction(
            mode=rule.value["mode"],
            classes=tuple(rule.value.get("classes", ())),
            region=rule.value["region"],
            everywhere=rule.everywhere,
        )

    def reveal(
        self,
        id: str,
        *,
        key: str | Path | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> MemCube:
        """Return a memory with the values that were vaulted put back into its text.

        Parameters
        ----------
        id : str
            The memory.
        key : str, Path or None
            File of the key it was sealed with; None is the handle's ``seal_key``.
        user_id, agent_id : str or None
            Whose; may be left out.

        Raises
        ------
        NotFound, InvalidInput
            If there is no such memory, or the key does not open it.
        Forbidden
            If the principal's grants are not ``unmasked``.
        """
        scope = self._scope_of(id, user_id, agent_id)
        secret = self._seal_key if key is None else read_key(key)
        if secret is None:
            raise InvalidInput("reveal needs the key; pass key=FILE, or open Memory(seal_key=FILE)")
        view = self._view(scope, states=ALL_STATES, ended=True)
        cube = self._read(view, lambda reader: reader.unmasked(id))
        self._note_read("reveal", view, [cube.id])
        return unsealed(cube, secret)

    def watermark(self, text: str, *, key: str | Path, number: int) -> str:
        """Return a text with an invisible mark that says which copy it is.

        For text that leaves: an export, a context handed to somebody. It survives copying and
        pasting, cutting and re-wrapping; not retyping, nor the removal of invisible characters.

        Parameters
        ----------
        text : str
            The text.
        key : str or Path
            File of a secret key, 16 bytes or more.
        number : int
            Which copy: 0 to 2**32 - 1.

        Examples
        --------
        >>> from mnemos import Memory
        >>> import tempfile, pathlib
        >>> key = pathlib.Path(tempfile.mkdtemp()) / "key"
        >>> _ = key.write_bytes(bytes(range(32)))
        >>> text = "Ana sails on Sundays with Ben, and the boat is called Alma since last May."
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     marked = memory.watermark(text, key=key, number=17)
        ...     memory.read_watermark(marked.replace("Ben", "Cleo"), key=key).number
        17
        """
        words = read_string("text", text)
        return watermark.mark(words, key=read_key(key), number=number)

    def read_watermark(self, text: str, *, key: str | Path) -> watermark.Reading:
        """Return which copy a text, or a piece of it, comes from."""
        return watermark.read_marks(read_string("text", text), key=read_key(key))

    def _set_redaction(
        self,
        verb: str,
        value: Mapping[str, Any] | None,
        user_id: str | None,
        agent_id: str | None,
        everywhere: bool,
    ) -> Receipt:
        scope = self._rule_scope(verb, user_id, agent_id, everywhere)
        change = SetRule(
            id=self._vault.ids.fresh(),
            sort=Sort.REDACTION,
            name="",
            value=value,
            everywhere=everywhere,
        )
        return self._write(verb, scope, [change])


def _read_classes(classes: object) -> list[str]:
    items = [classes] if isinstance(classes, str) else classes
    try:
        return sorted({Sensitive(item).value for item in cast("Iterable[str]", items)})
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"classes={shown(classes)} is not allowed; give some of {', '.join(Sensitive)}"
        ) from error


def read_key(value: object) -> bytes:
    """Return the bytes of a key file.

    Raises
    ------
    NotFound
        If there is no such file.
    InvalidInput
        If it holds fewer than 16 bytes, or cannot be read.
    """
    path = read_path(value)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no key file {path}; make one with `mnemos watermark key`"
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"the key file {path} cannot be read ({error.strerror}); give another"
        ) from error
    if len(data) < KEY_BYTES:
        raise InvalidInput(
            f"the key file {path} holds {len(data)} bytes, {KEY_BYTES} are the least; make one with "
            "`mnemos watermark key`"
        )
    return data
