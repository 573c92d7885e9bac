"""A participant's way through a study, as functions on the store: what a page calls, without any page.

The way, as ``participants.state`` records it:

    consent -> background -> sound -> practice -> trials -> comment -> finished
       |                                 (a part that the study does not have is passed over)
       +-> declined            withdrawn, dropped (the lease ran out), erased: from anywhere

``enrol`` gives a place (a *slot* of the plan) and an unguessable token, which stands in the participant's URL and
nowhere else; the store keeps its hash. Every later call renews the lease. When it runs out, the place may go to the
next who comes; who returns before that has happened goes on where they stopped. A state never goes back.

What an app calls, each call one transaction, so that any of them may be cut off and made again:

    opened = open_study(engine, study, stimuli)             once, when the app starts
    token = enrol(opened, language=..., invitation=..., prolific_id=...)      on a press of "begin", never on page load
    me = participant(opened, token)                         who am I, in which state: what to show
    give_consent(opened, token, agreed)                     state consent
    answer_background(opened, token, answers)               state background: {question name: answer}
    set_sound(opened, token, sound)                         state sound: {"volume_set": true, "headphones": {...}}
    page = next_trial(opened, token)                        states practice and trials; None when there is none left
    record_events(opened, token, page.page_id, events)      whenever the player reports
    heard(opened, token, page.page_id)                      shares of each clip, as the gate sees them
    submit(opened, token, page.trial, page.page_id, {question: answer})       returns after the commit
    comment(opened, token, words)                           state comment
    finish(opened, token)                                   the completion code; again and again the same
    withdraw(opened, token)                                 state withdrawn: nothing of the person is kept
    resolve_stimulus(opened, clip_token)                    the route /stim/{clip_token}: which file to send

What a participant does wrong, or a forged request, raises ``Refused`` with a sentence that may be shown to them.

Player events are mappings {"seq": 0, 1, ... (per page), "kind": ..., ...}. Kind "heard" has "clip" (0, 1, ...; -1: the
input track), "start" and "end" in seconds of the clip: an interval that sounded without a break. Other kinds (play,
pause, seek, switch, ended, focus_lost, focus_gained, ...) are kept as they are. An event sent twice is stored once.
Intervals that add up to more than the time since the page was shown cannot have been heard and do not count.
"""

from __future__ import annotations
