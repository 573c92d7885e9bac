"""What a participant may not do, with a sentence that may be shown to them."""


class Refused(Exception):
    """``code`` says what was wrong, for catalogues of translations; ``str`` is the sentence in English.

    ``facts`` are what the sentence says besides, for the gaps in a translation.

    Codes: unknown_token full too_many not_open invitation already_here declined gone wrong_step unknown_page stale_page
    answered bad_answer out_of_range not_heard bad_event unknown_clip expired_clip
    """

    def __init__(self, code: str, sentence: str, **facts: int) -> None:
        super().__init__(sentence)
        self.code, self.facts = code, facts
