// What Streamlit's page lacks: the participant's own address, the language of the text, and a new page that begins at its top.

const FROM_THE_RIGHT = ["ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"];
let shown = null;

export default function ({ data }) {
  const { address, language, page } = data;
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
