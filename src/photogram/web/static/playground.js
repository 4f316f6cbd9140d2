// The playground: puts its parts together. What is under way and what was painted is the server's to
// know, so that a reload, another tab or another server shows the same.

import { call } from "./api.js";
import { Code } from "./code.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { Job, MOST_PREVIEWS } from "./jobs.js";
import { announce, complain, element, openDialog, pause, randomSeed, wordsOf } from "./words.js";

const TRIES = 5;
const data = JSON.parse(element("data").textContent);
const jobs = new Map();
const tabs = new BroadcastChannel("photogram-jobs");
let isSignedIn = false;
let isBusy = false;

const form = new Form(data, () => isSignedIn);
const gallery = new Gallery(act);
for (const begin of document.querySelectorAll("[data-act=begin]")) begin.hidden = !form.source.node;
new Code(form);

/** Paint what the controls hold. */
async function run() {
  if (!isSignedIn) {
    askForKey();
    return;
  }
  if (isBusy) return;
  isBusy = true;
  try {
    const settings = await form.request();
    const { request_id: id } = await submit({ ...settings, previews: MOST_PREVIEWS });
    form.praise();
    follow(id, settings.prompt, settings.samples).node.scrollIntoView({ block: "nearest" });
    tabs.postMessage({ id, prompt: settings.prompt, samples: settings.samples });
    announce("Queued");
  } catch (error) {
    form.complain(error);
    form.focusProblem();
  } finally {
    isBusy = false;
  }
}

/** Hand a request in, once, however often its answer is lost. */
async function submit(settings) {
  const name = [...crypto.getRandomValues(new Uint32Array(4))].join("-");
  for (let tries = 1; ; tries += 1) {
    try {
      return await call("POST", `/v2/${form.slug}`, settings, { "idempotency-key": name });
    } catch (error) {
      if (!(error instanceof TypeError) || tries === TRIES) throw error;
      await pause(500 * tries);
    }
  }
}

function follow(id, prompt, numPictures) {
  if (jobs.has(id)) return jobs.get(id);
  const job = new Job(id, prompt, numPictures, (answer) => gallery.addJob(answer));
  jobs.set(id, job);
  job.follow();
  return job;
}

/** Do what somebody wants with a picture. */
async function act(wish, { settings, prompt, width, height, url }) {
  if (wish === "begin") {
    await form.source.take(await (await fetch(url)).blob(), url);
    return;
  }
  const seed = wish === "vary" ? randomSeed() : settings.seed;
  form.write({ ...settings, ...form.shapeOf(width, height), prompt, seed, samples: 1 });
  if (wish === "vary") run();
  else element("prompt").focus();
}

function askForKey() {
  openDialog(element("key-dialog"));
}

/** Turn a key into a session; the key itself is not kept. */
async function signIn(event) {
  event.preventDefault();
  try {
    await call("POST", "/v1/session", undefined, { "x-api-key": element("key").value.trim() });
  } catch (error) {
    complain(element("key-problem"), wordsOf(error));
    return;
  }
  element("key").value = "";
  complain(element("key-problem"));
  element("key-dialog").close();
  element("prompt").focus();
  await enter();
}

async function signOut() {
  await call("DELETE", "/v1/session").catch(() => null);
  leave();
}

/** Show what the account has: what is under way, and what it has painted. */
async function enter() {
  isSignedIn = true;
  element("sign").textContent = "Sign out";
  form.price();
  try {
    await form.learn();
    await gallery.load();
    const open = await call("GET", "/inference-request/request-history?status=PENDING");
    for (const row of open.requests) follow(row.request_id, row.prompt, row.parameters?.samples ?? 1);
  } catch (error) {
    if (error.status !== 401) form.complain(error);
  }
}

function leave() {
  isSignedIn = false;
  for (const job of jobs.values()) job.remove();
  jobs.clear();
  gallery.clear();
  element("balance").hidden = true;
  element("price").value = "–";
  element("sign").textContent = "Sign in";
}

form.node.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
element("key-form").addEventListener("submit", signIn);
element("sign").addEventListener("click", () => (isSignedIn ? signOut() : askForKey()));
tabs.addEventListener("message", ({ data: { id, prompt, samples } }) => isSignedIn && follow(id, prompt, samples));
document.addEventListener("signed-out", () => isSignedIn && leave());
document.addEventListener("credits", ({ detail }) => {
  element("balance").value = `${Number(detail).toFixed(2)} credits`;
  element("balance").title = detail;
  element("balance").hidden = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    run();
  }
  if (event.key === "Escape" && !document.querySelector("dialog[open], [popover]:popover-open")) {
    [...jobs.values()].findLast((job) => !job.isOver)?.cancel();
  }
});
if (data.hasSession) enter();
