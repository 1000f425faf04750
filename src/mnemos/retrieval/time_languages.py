"""The languages time expressions are read in."""

from __future__ import annotations

from mnemos.retrieval.time_languages_asian import CHINESE, JAPANESE, KOREAN
from mnemos.retrieval.time_languages_german import GERMAN
from mnemos.retrieval.time_languages_romance import FRENCH, PORTUGUESE, SPANISH
from mnemos.retrieval.time_words import ENGLISH

LANGUAGES = (ENGLISH, GERMAN, SPANISH, FRENCH, PORTUGUESE, CHINESE, JAPANESE, KOREAN)
"""Every language that is read, the first one winning a tie."""
