// The playground: puts its parts together. What is under way and what was painted is the server's to
// know, so that a reload, another tab or another server shows the same.

import { call, useKey } from "./api.js";
import { Code } from "./code.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { Job } from "./jobs.js";
import { announce, complain, credits, element, openDialog, pause, randomSeed, wordsOf } from "./words.js";

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
    const { request_id: id } = await submit({ ...settings, previews: data.previews });
    form.praise();
    follow(id, settings.prompt, settings.samples);
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
  if (jobs.has(id)) return;
  const job = new Job(id, prompt, numPictures, (answer) => gallery.addJob(answer));
  jobs.set(id, job);
  job.follow();
}

/** Do what somebody wants with a picture. */
async function act(wish, { settings, prompt, width, height, url }) {
  if (wish === "begin") {
    const file = await (await fetch(url)).blob();
    await form.source.take(file);
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

async function signIn(event) {
  event.preventDefault();
  useKey(element("key").value.trim());
  try {
    await enter();
    element("key-dialog").close();
    element("prompt").focus();
  } catch (error) {
    useKey("");
    complain(element("key-problem"), wordsOf(error));
  }
}

/** Show what the account has: what is under way, and what it has painted. */
async function enter() {
  await gallery.load();
  isSignedIn = true;
  element("sign").textContent = "Sign out";
  complain(element("key-problem"));
  element("key").value = "";
  form.price();
  const open = await call("GET", "/inference-request/request-history?status=PENDING");
  for (const row of open.requests) follow(row.request_id, row.prompt, row.parameters?.samples ?? 1);
}

function leave() {
  isSignedIn = false;
  useKey("");
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
element("sign").addEventListener("click", () => (isSignedIn ? leave() : askForKey()));
tabs.addEventListener("message", ({ data: { id, prompt, samples } }) => isSignedIn && follow(id, prompt, samples));
document.addEventListener("signed-out", () => isSignedIn && leave());
document.addEventListener("credits", ({ detail }) => {
  element("balance").value = `${credits(detail)} credits`;
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
