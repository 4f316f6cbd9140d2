// Small things that every part of the page says or finds.

/** The element with this id. */
export const element = (id) => document.getElementById(id);

/** A copy of what a template holds. */
export const copyOf = (id) => element(id).content.firstElementChild.cloneNode(true);

/** Tell people who hear the page. */
export function announce(text) {
  element("announcer").textContent = text;
}

/** Credits as people read them: as many digits as they need, at least four. */
export const credits = (amount) =>
  Number(amount).toLocaleString("en", { minimumFractionDigits: 4, maximumFractionDigits: 6 });

/** "1 picture", "2 pictures". */
export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

/** Seconds, roughly. */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0.1).toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** Show or take away what is wrong with something. */
export function complain(node, text) {
  node.textContent = text ?? "";
  node.hidden = !text;
}

/** Words for an error of any kind. */
export const wordsOf = (error) =>
  error instanceof TypeError ? "the server cannot be reached; is it running?" : error.message;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A seed that was not asked for: 32 random bits. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** Open a dialog; whatever has `data-close` in it, and a click beside it, closes it. */
export function openDialog(dialog) {
  dialog.onclick = (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  };
  dialog.showModal();
}
