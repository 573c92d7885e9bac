// What Streamlit's page lacks: the participant's own address, the language of the text, a new page that begins at its top,
// what to do without a connection, in words for participants, and which question the answers to several excerpts are of.

const FROM_THE_RIGHT = ["ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"];
const ASKED = ':is([class*="st-key-each-"], [class*="st-key-rank-"])'; // a question about each of several excerpts
let shown = null;
let offline = null; // title and text

new MutationObserver(explain).observe(document.body, { childList: true }); // Streamlit's dialogs stand beside its page
new MutationObserver(nameQuestions).observe(document.body, { childList: true, subtree: true });

export default function ({ data }) {
  const { address, language, page } = data;
  offline = data.offline;
  document.documentElement.lang = language;
  document.documentElement.dir = FROM_THE_RIGHT.includes(language.split("-")[0]) ? "rtl" : "ltr";
  if (address && location.search !== address) {
    history.replaceState(history.state, "", location.pathname + address); // no new entry: Back leaves, Forward comes back
  }
  if (shown !== null && shown !== page) {
    document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
    const heading = document.querySelector('[data-testid="stMain"] h1');
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
  shown = page;
}

/** The only dialog there is says that Streamlit's server does not respond, in English, to people who know of neither. */
function explain() {
  const dialog = document.querySelector('[data-testid="stDialog"] [role="dialog"]');
  const connected = document.querySelector('[data-testid="stApp"]')?.dataset.testConnectionState === "CONNECTED";
  if (!dialog || connected || !offline) return;
  const [title, text] = offline;
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("h2 + div > div").textContent = text;
}

/** A screen reader says of each excerpt's choices only which excerpt it is: the group around them says what is asked. */
function nameQuestions() {
  for (const old of document.querySelectorAll(`[data-asked]:not(${ASKED})`)) {
    for (const name of ["role", "aria-label", "data-asked"]) old.removeAttribute(name); // it has become something else
  }
  for (const box of document.querySelectorAll(ASKED)) {
    const question = box.querySelector("p strong")?.textContent;
    if (!question || box.dataset.asked === question) continue;
    box.dataset.asked = question;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", question);
  }
}
