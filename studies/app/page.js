// What Streamlit's page lacks: the participant's own address, the language of the text, a new page that begins at its top,
// and what to do without a connection, in words for participants.

const FROM_THE_RIGHT = ["ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"];
let shown = null;
let offline = null; // title and text

new MutationObserver(explain).observe(document.body, { childList: true }); // Streamlit's dialogs stand beside its page

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
