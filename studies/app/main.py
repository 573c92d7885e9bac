"""The script that Streamlit runs for every visitor: the participant's page, or the organiser's at its own address.

What a visitor has done stands in the database, under the token in their address. ``st.session_state`` only remembers
what is on the screen: the token until the address shows it, the page of a trial, a notice.
"""

from __future__ import annotations

import streamlit as st

from studies.app.frame import show_style
from studies.app.organiser import organiser_page
from studies.app.participant import participant_page
from studies.app.server import serving


def main() -> None:
    study = serving().opened.study
    st.set_page_config(page_title=study.localised(study.title, study.languages[0]), layout="centered")
    show_style()
    if not serving().has_organiser:
        participant_page()
        return
    pages = [
        st.Page(participant_page, title="Study", url_path="", default=True),
        st.Page(organiser_page, title="Organiser", url_path="organiser"),
    ]
    st.navigation(pages, position="hidden").run()


main()
