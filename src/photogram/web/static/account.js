// What the account's and the operators' pages do; what they show, the server has written.

const root = document.documentElement.dataset.root;
const byId = (id) => document.getElementById(id);

/** Ask the API, as who is signed in; its own words where it refuses. */
export async function ask(method, path, { body, headers = {} } = {}) {
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(root + path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const told = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(told.error ?? `The server answered ${answer.status}.`);
  return told;
}

/** Do something that a button or a form asks for; meanwhile it cannot be asked for again. */
async function attempt(trigger, work) {
  const problem = byId("problem");
  problem.hidden = true;
  trigger.disabled = true;
  try {
    await work();
  } catch (error) {
    problem.textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
    problem.hidden = false;
    problem.scrollIntoView({ block: "nearest" });
  } finally {
    trigger.disabled = false;
  }
}

export function onSubmit(form, work) {
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(event.submitter ?? form.querySelector("[type=submit]"), () => work(new FormData(form)));
  });
}

function onClick(selector, work) {
  for (const button of document.querySelectorAll(selector)) {
    button.addEventListener("click", () => attempt(button, () => work(button)));
  }
}

/** Show a secret once; the page is as it was after it was closed. */
function showSecret(title, secret) {
  const dialog = byId("secret-dialog");
  byId("secret-title").textContent = title;
  byId("secret").textContent = secret;
  byId("copied").textContent = "";
  dialog.showModal();
}

function isSure(title, words, yes) {
  const dialog = byId("sure-dialog");
  byId("sure-title").textContent = title;
  byId("sure-words").textContent = words;
  byId("sure-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// --- in and out ---

const signIn = document.querySelector("[data-sign-in]");
onSubmit(signIn, async () => {
  const key = byId("key");
  await ask("POST", signIn.dataset.signIn, { headers: { "x-api-key": key.value.trim() } });
  key.value = "";
  location.reload();
});

onClick("[data-sign-out]", async (button) => {
  await ask("DELETE", button.dataset.signOut).catch(() => null); // a session that has ended is out
  location.reload();
});

// --- secrets ---

byId("copy-secret")?.addEventListener("click", async () => {
  const secret = byId("secret");
  try {
    await navigator.clipboard.writeText(secret.textContent);
    byId("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(secret); // over plain http there is no clipboard
    byId("copied").textContent = "Selected: press Ctrl+C.";
  }
});
document.querySelector("#secret-dialog [data-done]")?.addEventListener("click", () => byId("secret-dialog").close());
byId("secret-dialog")?.addEventListener("close", () => {
  byId("secret").textContent = "";
  location.reload();
});

// --- keys ---

onSubmit(byId("new-key"), async (fields) => {
  const body = { scopes: fields.getAll("scopes") };
  for (const name of ["name", "spend_cap"]) if (fields.get(name).trim()) body[name] = fields.get(name).trim();
  for (const name of ["expires_in_s", "requests_per_minute", "jobs_at_once"]) {
    if (fields.get(name)) body[name] = Number(fields.get(name));
  }
  const made = await ask("POST", "/v1/keys", { body });
  showSecret("Your new key", made.token);
});

onClick("[data-rotate]", async (button) => {
  const words = "A new key takes its place, with the same rights; the old one works for another day.";
  if (!(await isSure("Rotate this key?", words, "Rotate"))) return;
  const made = await ask("POST", `/v1/keys/${button.dataset.rotate}/rotate`);
  showSecret("The new key", made.token);
});

onClick("[data-revoke]", async (button) => {
  const own = "own" in button.dataset ? " You are signed in with it, and will be signed out." : "";
  const words = `Whoever uses ${button.dataset.name} is refused from now on, for good.${own}`;
  if (!(await isSure("Revoke this key?", words, "Revoke"))) return;
  await ask("DELETE", `/v1/keys/${button.dataset.revoke}`);
  location.reload();
});

// --- webhooks ---

onSubmit(byId("new-webhook"), async (fields) => {
  const body = { webhook_url: fields.get("webhook_url"), event: { types: fields.getAll("types") } };
  const made = await ask("POST", "/webhook/add", { body });
  showSecret("The webhook's secret", made.webhook_secret);
});

onClick("[data-webhook] [data-act]", async (button) => {
  const { webhook: id, url, types } = button.parentElement.dataset;
  if (button.dataset.act === "off") {
    await ask("GET", `/webhook/inactive?webhook_id=${encodeURIComponent(id)}`);
  } else if (button.dataset.act === "on") {
    const event = { types: types.split(" ") };
    await ask("POST", "/webhook/update", { body: { webhook_id: id, webhook_url: url, event } });
  } else {
    await ask("POST", "/webhook/test", { body: { webhook_id: id } });
    location.assign(`${root}/account/webhooks?webhook_id=${encodeURIComponent(id)}#deliveries`);
    return;
  }
  location.reload();
});
