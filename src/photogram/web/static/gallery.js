// Finished pictures: cards in a grid, one picture at large, and two beside each other.

import { base, call } from "./api.js";
import { copyOf, credits, element, openDialog } from "./words.js";

const PER_PAGE = 20;
const NAMES = {
  seed: "Seed", steps: "Steps", guidance: "Guidance", prompt_strength: "Prompt strength", size: "Size",
  output_format: "Format", output_quality: "Quality", model: "Model", cost: "Credits", made: "Painted",
};

/** The pictures of a request, from its row of the history; `number` is that of the first picture. */
function pictureOf(row, number) {
  const { width, height, samples, seed, prompt, ...rest } = row.parameters ?? {};
  return {
    id: `${row.request_id}-${number}`,
    requestId: row.request_id,
    url: `${base}/v1/files/${row.generation_url.split("/").pop()}`,
    prompt: row.prompt,
    settings: { ...rest, seed: seed + number },
    width, height, samples,
    facts: {
      seed: seed + number, ...rest, size: `${width} × ${height}`, model: row.model_name,
      cost: credits(row.credits_deduction / samples),
      made: new Date(row.created_at).toLocaleString(),
    },
  };
}

export class Gallery {
  /** `onAct(act, picture)` is told what somebody wants with a picture. */
  constructor(onAct) {
    this.pictures = new Map();
    this.picked = [];
    this.onAct = onAct;
    this.grid = element("pictures");
    element("older").addEventListener("click", () => this.load(this.page + 1));
    element("compare").addEventListener("click", () => this.compare());
    element("compare-at").addEventListener("input", (event) => this.slide(event.target.value));
    element("picture-dialog").addEventListener("keydown", (event) => this.turn(event));
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => {
        element("picture-dialog").close();
        onAct(button.dataset.act, this.shown);
      });
    }
  }

  /** Show a page of the history: its newest pictures first. */
  async load(page = 1) {
    this.grid.ariaBusy = "true";
    const list = await call("GET", `/inference-request/generations?page=${page}`);
    this.page = page;
    this.grid.ariaBusy = "false";
    this.add(list.generations, null);
    element("older").hidden = page >= list.total_pages;
    this.tidy();
  }

  /** Show the pictures of a job that has just ended. */
  async addJob(answer) {
    const row = await call("GET", `/inference-request/request-history/${answer.request_id}`);
    const rows = answer.images.map(({ url }) => ({ ...row, generation_url: url }));
    this.add(rows, this.grid.firstElementChild).forEach((card) => card.classList.add("is-new"));
    this.tidy();
  }

  /** Take all away. */
  clear() {
    this.pictures.clear();
    this.picked = [];
    this.grid.replaceChildren();
    element("older").hidden = true;
    this.tidy();
  }

  add(rows, before) {
    const numbers = new Map();
    const cards = [];
    for (const row of rows) {
      const number = numbers.get(row.request_id) ?? 0;
      numbers.set(row.request_id, number + 1);
      if (!row.parameters || new Date(row.expires_at) < new Date()) continue;
      const picture = pictureOf(row, number);
      if (this.pictures.has(picture.id)) continue;
      this.pictures.set(picture.id, picture);
      cards.push(this.card(picture));
    }
    cards.forEach((card) => this.grid.insertBefore(card, before));
    return cards;
  }

  card(picture) {
    const card = copyOf("picture-template");
    card.dataset.id = picture.id;
    const image = card.querySelector("img");
    image.src = picture.url;
    image.alt = picture.prompt;
    card.querySelector(".card-prompt").textContent = picture.prompt;
    card.querySelector(".card-facts").textContent = `seed ${picture.settings.seed} · ${Number(picture.facts.cost).toFixed(4)} credits`;
    card.querySelector(".card-open").addEventListener("click", () => this.open(picture));
    const pick = card.querySelector("input");
    pick.setAttribute("aria-label", `Compare ${picture.prompt}, seed ${picture.settings.seed}`);
    pick.addEventListener("change", () => this.pick(picture, pick));
    return card;
  }

  tidy() {
    element("nothing").hidden = this.pictures.size > 0;
    element("compare").disabled = this.picked.length !== 2;
  }

  open(picture) {
    this.shown = picture;
    element("picture-image").src = picture.url;
    element("picture-image").alt = picture.prompt;
    element("picture-prompt").textContent = picture.prompt;
    const facts = Object.entries(picture.facts).flatMap(([name, value]) => line(name, value));
    element("picture-facts").replaceChildren(...facts);
    for (const link of document.querySelectorAll("[data-format]")) {
      link.href = `${picture.url}?format=${link.dataset.format}`;
      link.download = `flux-dev-${picture.settings.seed}.${link.dataset.format}`;
    }
    if (!element("picture-dialog").open) openDialog(element("picture-dialog"));
  }

  /** The arrow keys lead to the next picture. */
  turn({ key }) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!by) return;
    const ids = [...this.grid.children].map((card) => card.dataset.id);
    const next = ids[ids.indexOf(this.shown.id) + by];
    if (next) this.open(this.pictures.get(next));
  }

  pick(picture, box) {
    this.picked = this.picked.filter((each) => each.box !== box);
    if (box.checked) this.picked.push({ picture, box });
    while (this.picked.length > 2) this.picked.shift().box.checked = false;
    this.tidy();
  }

  compare() {
    const pictures = this.picked.map((each) => each.picture);
    pictures.forEach((picture, index) => {
      const image = element(["compare-left", "compare-right"][index]);
      image.src = picture.url;
      image.alt = picture.prompt;
    });
    const [left, right] = pictures.map(({ prompt, facts }) => ({ Prompt: prompt, ...facts }));
    const names = Object.keys({ ...left, ...right }).filter((name) => left[name] !== right[name]);
    element("compare-facts").replaceChildren(...names.flatMap((name) => line(name, left[name], right[name])));
    element("compare-at").value = 50;
    this.slide(50);
    openDialog(element("compare-dialog"));
  }

  slide(percent) {
    element("compare-at").parentElement.style.setProperty("--at", `${percent}%`);
  }
}

function line(name, ...values) {
  const term = document.createElement("dt");
  term.textContent = NAMES[name] ?? name;
  return [
    term,
    ...values.map((value) => {
      const text = document.createElement("dd");
      text.textContent = value ?? "–";
      return text;
    }),
  ];
}
