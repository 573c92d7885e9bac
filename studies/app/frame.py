"""What all pages share: the style, the address, and that a new page begins at its top."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from studies.app.server import serving
from studies.app.words import words_of

_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_page = st.components.v2.component("page", js=(_HERE / "page.js").read_text(encoding="utf-8"))


def show_style() -> None:
    st.html(f"<style>{_STYLE}</style>")


def begin_page(page: str, language: str, token: str | None = None) -> None:
    """Say which page this is: another one begins at its top, and the address names the participant and nothing else."""
    study, words = serving().opened.study, words_of(language)
    st.set_page_config(page_title=study.localised(study.title, language))
    offline = [words["offline_title"], words["offline"]]
    data = {"page": page, "language": language, "address": f"?p={token}" if token else None, "offline": offline}
    _page(key="page", data=data, height=1)
    _come_back()


@st.fragment(run_every=3600)
def _come_back() -> None:
    """Nothing to see: only a page with a part that is run at intervals is run again when a lost connection is back.

    Without that, whoever comes back to a replica that knows nothing of their visit would see a page that waits for
    something that nobody is going to say, and their next press would do nothing.
    """
