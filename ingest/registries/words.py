"""Search names for a text in any case, whatever locale the database has: the embedded one knows letters of ASCII
alone."""


def pattern(text: str) -> str:
    """Return the regular expression of Postgres that finds a text in any case. It has no repetition."""
    return "".join(map(_of, text))


def _of(letter: str) -> str:
    cases = {one for one in (letter, letter.lower(), letter.upper()) if len(one) == 1}
    if len(cases) > 1:
        return f"[{''.join(sorted(cases))}]"
    return letter if letter.isalnum() or not letter.isascii() else f"\\{letter}"
