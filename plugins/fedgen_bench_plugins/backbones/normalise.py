"""Running English text -> lines in the Penn Treebank's language-modelling conventions (Mikolov's preprocessing).

Lower case; one sentence a line; no punctuation except inside tokens; clitics split (``do n't``, ``company 's``);
numbers are ``N`` and a percent sign is one more ``N``; ``$``, ``#`` and ``&`` are tokens; abbreviations keep their
period. The `<unk>` convention depends on word counts and lives in `corpus.py`.
"""

from __future__ import annotations

import re
import unicodedata

_TITLES = frozenset(
    "mr. mrs. ms. dr. messrs. gen. sen. sens. rep. reps. gov. st. prof. rev. col. adm. lt. sgt. capt. vs. jan. feb. "
    "mar. apr. "
    "aug. sept. oct. nov. dec. mt. ft. hon. pres.".split()
)
_OTHER_ABBREVIATIONS = frozenset(
    "corp. inc. co. cos. ltd. bros. jr. sr. etc. calif. mass. conn. fla. ill. ariz. tenn. mich. minn. wash. colo. "
    "ind. ore. wis. "
    "neb. nev. okla. ky. va. pa. md. del. ga. ala. kan. mo. ph.d. cie.".split()
)
_ABBREVIATIONS = _TITLES | _OTHER_ABBREVIATIONS
_BARE_ABBREVIATIONS = frozenset("mr mrs ms dr messrs inc corp co cos ltd vs".split())
_CLITICS = frozenset("'s 're 've 'll 'd 'm n't ca wo".split())
_STARTERS = frozenset(
    "The It In A An But He She They We I This That These Those However At As For On And If There When While His Her "
    "Our Its "
    "Mr. Mrs. Ms. Although Many Some Most Several Both One".split()
)
_INITIALISM = re.compile(r"(?:[a-z]\.)+$")
_BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])")
_NUMBER = re.compile(r"[+-]?(?:\d[\d,.:/-]*|\.\d+)$")
_PERCENT = re.compile(r"([+-]?\d[\d,.]*)%$")
_CLITIC = re.compile(r"(.+?)(n't|'s|'re|'ve|'ll|'d|'m)$")
_EDGE = "\"'`()[]{}<>,;:!?*_=+|~^-./\\"
_NEWSWIRE = {
    "mln": "million",
    "bln": "billion",
    "cts": "cents",
    "pct": "percent",
    "dlr": "dollar",
    "mths": "months",
    "yr": "year",
}
_AMOUNT = r"\b(?:N|one|two|three|four|five|six|seven|eight|nine)"
_WORD_PERCENT = re.compile(_AMOUNT + r" (?:percent|per cent)\b")
_WORD_DOLLARS = re.compile(_AMOUNT + r"( million| billion| trillion)? (?:dlrs|dollars)\b")
_MONTHS = {
    "january": "jan.",
    "february": "feb.",
    "august": "aug.",
    "september": "sept.",
    "october": "oct.",
    "november": "nov.",
    "december": "dec.",
}
_MONTH_AND_DAY = re.compile(rf"\b({'|'.join(_MONTHS)}) (?=\d{{1,2}}\b)")
_MAX_NUMBER_FRACTION = 0.25
_MIN_WORDS = 3


def sentences(text: str) -> list[str]:
    """Split running text into sentences; an abbreviation ends one only before a word that usually starts one."""
    found: list[str] = []
    for piece in _BOUNDARY.split(text):
        last = found[-1].rsplit(None, 1)[-1].lower().lstrip("\"'([") if found else ""
        starts = piece.lstrip("\"'([").split(None, 1)[:1]
        if (found and (last in _TITLES or re.fullmatch(r"[a-z]\.", last))) or (
            found
            and (last in _OTHER_ABBREVIATIONS or _INITIALISM.match(last))
            and starts
            and starts[0] not in _STARTERS
        ):
            found[-1] += " " + piece
        else:
            found.append(piece)
    return found


def _split_word(word: str) -> list[str]:
    if word in {"$", "#", "&", "<unk>"} or word in _CLITICS:
        return [word]
    bare = word.strip(_EDGE)
    if not bare:
        return []
    dotted = f"{bare}." in word and (
        f"{bare}." in _ABBREVIATIONS or (_INITIALISM.match(f"{bare}.") and bare not in {"i", "a"})
    )
    if dotted or bare in _BARE_ABBREVIATIONS:
        return [f"{bare}."]
    if "$" in bare:
        head, _, tail = bare.partition("$")
        return [*_split_word(head), "$", *_split_word(tail)]
    if percent := _PERCENT.match(bare):
        return [*_split_word(percent[1]), "N"]
    if _NUMBER.match(bare):
        return ["N"]
    if bare == "cannot":
        return ["can", "not"]
    if clitic := _CLITIC.match(bare):
        return [*_split_word(clitic[1]), clitic[2]]
    words = [_NEWSWIRE.get(bare, bare).replace("/", "\\/")]
    if bare.endswith("s") and bare + "'" in word:
        words.append("'")
    return words


def line(sentence: str) -> str | None:
    """One sentence as one line of space-separated tokens, or None when it is too short or mostly numbers."""
    folded = unicodedata.normalize("NFKD", sentence.replace("’", "'").replace("“", '"').replace("”", '"')).lower()
    ascii_only = folded.encode("ascii", "ignore").decode()
    dated = _MONTH_AND_DAY.sub(lambda month: f"{_MONTHS[month[1]]} ", ascii_only)
    parts = re.sub(r"<(?!unk>)[^>\s]{0,12}>|--+|\.\.+", " ", dated).split()
    tokens = [token for part in parts for token in _split_word(part)]
    if len(tokens) < _MIN_WORDS or tokens.count("N") > _MAX_NUMBER_FRACTION * len(tokens):
        return None
    joined = _WORD_DOLLARS.sub(r"$ N\1", " ".join(tokens))
    return _WORD_PERCENT.sub("N N", joined)


def normalise(text: str) -> list[str]:
    """All usable lines of a running text, in order."""
    return [found for sentence in sentences(text) if (found := line(sentence)) is not None]


def join_wikitext(paragraph: str) -> str:
    """Undo WikiText's token joins (`` @-@ ``, `` @,@ ``, `` @.@ ``)."""
    return re.sub(r" @([-,.])@ ", r"\1", paragraph)
