"""A chat model that says what the test wrote for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mnemos.errors import ModelError


class ScriptedChat:
    """A :class:`mnemos.kernel.ports.ChatModel` that gives its replies in order.

    Parameters
    ----------
    replies : iterable of str or Exception
        What to answer, one per call; an exception is raised instead.
    name : str
        Recorded with what is derived by it.

    Examples
    --------
    >>> chat = ScriptedChat(["Lisbon"])
    >>> chat.complete([{"role": "user", "content": "Where does Ana live?"}])
    'Lisbon'
    >>> chat.asked[0][0]["content"]
    'Where does Ana live?'
    """

    def __init__(self, replies: Iterable[str | Exception], *, name: str = "scripted") -> None:
        self._replies = iter(tuple(replies))
        self._name = name
        self.asked: list[tuple[Mapping[str, str], ...]] = []
        """The messages of every call so far."""

    @property
    def name(self) -> str:
        """Name recorded with everything derived by it."""
        return self._name

    def complete(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the next reply of the script.

        Raises
        ------
        ModelError
            If the script is at its end.
        """
        self.asked.append(tuple(dict(message) for message in messages))
        reply = next(self._replies, None)
        if reply is None:
            raise ModelError(
                f"the script of {self._name!r} has no reply to call {len(self.asked)}; "
                "give ScriptedChat more replies"
            )
        if isinstance(reply, Exception):
            raise reply
        return reply
