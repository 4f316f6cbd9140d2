// The operators' page: what it shows is asked for anew while somebody looks, and credits are granted.

import { ask, onSubmit } from "./account.js";

const EVERY_MS = 3000;

const live = document.getElementById("live");

/** The page as the server writes it now, without a reload. */
async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return; // in trouble; what is shown stays until it is over
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (fresh === null) location.reload(); // the session has ended
  else if (!live.contains(document.activeElement)) live.replaceChildren(...fresh.childNodes);
}

async function watch() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    if (document.hidden) continue;
    await refresh().catch(() => null); // the server restarts, say: the next time it may be back
  }
}

onSubmit(document.getElementById("grant"), async (fields) => {
  const body = Object.fromEntries([...fields].filter(([, value]) => value !== ""));
  body.is_free = fields.has("is_free");
  const granted = await ask("POST", "/admin/grants", { body });
  document.getElementById("granted").textContent = `${granted.account} has ${granted.credits} credits.`;
  await refresh();
});

watch();
