// The controls of a request: what they hold, what is wrong with them, and what it would cost.

import { Adapters } from "./adapters.js";
import { call } from "./api.js";
import { Source } from "./source.js";
import { complain, credits, element, randomSeed, wordsOf } from "./words.js";

const PRICE_AFTER_MS = 250;

export class Form {
  /** `data` is what the page was sent with; `isSignedIn` says whether prices can be asked for. */
  constructor(data, isSignedIn) {
    this.node = element("composer");
    this.models = data.models;
    this.isSignedIn = isSignedIn;
    this.asked = 0;
    this.source = new Source(() => this.price());
    this.node.addEventListener("input", (event) => this.changed(event.target));
    element("roll").addEventListener("click", () => this.write({ seed: randomSeed() }));
    this.adapters = new Adapters();
    this.adaptersOf = {};
    element("model")?.addEventListener("change", () => this.follow());
    this.follow();
  }

  /** Learn from the server which adapters its models have. */
  async learn() {
    const list = await call("GET", "/v1/models");
    this.adaptersOf = Object.fromEntries(list.data.map(({ id, loras }) => [id, loras]));
    this.adapters.offer(this.adaptersOf[this.model.slug] ?? []);
  }

  /** Take over what the chosen model allows and suggests. */
  follow() {
    const { defaultSteps, maxSteps, hasGuidance, ideas, slug } = this.model;
    for (const control of [element("steps"), this.slider("steps")]) control.max = maxSteps;
    element("guidance").closest(".field").hidden = !hasGuidance;
    this.adapters.offer(this.adaptersOf[slug] ?? []);
    element("ideas").replaceChildren(...ideas.map((idea) => this.idea(idea)));
    this.write({ steps: defaultSteps });
  }

  idea(text) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "idea";
    button.textContent = text;
    button.addEventListener("click", () => this.write({ prompt: text }));
    item.append(button);
    return item;
  }

  /** The model that is chosen. */
  get model() {
    const chosen = element("model")?.value;
    return this.models.find((model) => model.slug === chosen) ?? this.models[0];
  }

  /** Its name in paths. */
  get slug() {
    return this.model === this.models[0] ? "flux-dev" : this.model.slug;
  }

  /** Width and height of a picture with these settings. */
  get size() {
    const { aspect_ratio: ratio, megapixels } = this.read();
    return (megapixels === "1" ? this.model.sizes : this.model.quarterSizes)[ratio];
  }

  /** What the controls hold, as a request says it. */
  read() {
    const settings = {};
    for (const control of this.controls()) {
      if (control.type === "radio" && !control.checked) continue;
      if (control.name === "guidance" && !this.model.hasGuidance) continue;
      settings[control.name] = valueOf(control);
    }
    return { ...settings, ...this.adapters.fields() };
  }

  /** The same with its pictures, which are uploaded where they are not. */
  async request({ withMask } = { withMask: true }) {
    return { ...this.read(), ...(await this.source.fields({ withMask })) };
  }

  /** Put settings into the controls; what is not named stays. */
  write(settings) {
    for (const control of this.controls()) {
      if (!(control.name in settings)) continue;
      const value = settings[control.name];
      if (control.type === "radio") control.checked = control.value === value;
      else if (control.type === "checkbox") control.checked = value;
      else control.value = value;
      this.mirror(control);
    }
    this.price();
  }

  /** The shape that a picture of this size was asked for with. */
  shapeOf(width, height) {
    const sizes = { 1: this.model.sizes, 0.25: this.model.quarterSizes };
    for (const [megapixels, ratios] of Object.entries(sizes)) {
      const found = Object.entries(ratios).find(([, size]) => size[0] === width && size[1] === height);
      if (found) return { aspect_ratio: found[0], megapixels };
    }
    return {};
  }

  /** Say at each control what is wrong with it, and the rest below them all. */
  complain(error) {
    this.praise();
    const others = [];
    for (const { field, message } of error.details ?? []) {
      const place = element(`${field}-problem`);
      if (!place) others.push(message);
      else {
        complain(place, message);
        element(field)?.setAttribute("aria-invalid", "true");
        place.closest("details")?.setAttribute("open", "");
      }
    }
    if (!error.details?.length) others.push(wordsOf(error));
    complain(element("problem"), others.join("; "));
  }

  /** Go to the first control that something is wrong with. */
  focusProblem() {
    this.node.querySelector("[aria-invalid]")?.focus();
  }

  /** Nothing is wrong. */
  praise() {
    for (const place of this.node.querySelectorAll(".problem")) complain(place);
    for (const control of this.node.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  }

  /** Ask what the settings would cost, once they have rested for a moment. */
  price() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), PRICE_AFTER_MS);
    element("price").value = this.isSignedIn() ? "…" : "–";
    this.node.dispatchEvent(new CustomEvent("settings"));
  }

  async ask() {
    if (!this.isSignedIn()) return;
    const asked = ++this.asked;
    try {
      const settings = await this.request({ withMask: false });
      if (!settings.prompt.trim()) settings.prompt = "-"; // the price is the same for any
      const estimate = await call("POST", `/v1/${this.slug}/estimate`, settings);
      if (asked !== this.asked) return;
      this.praise();
      element("price").value = credits(estimate.cost);
      this.source.tellSteps(estimate);
      const lacks = estimate.cost > estimate.remaining_credits;
      complain(element("problem"), lacks && "The account has too few credits for this.");
    } catch (error) {
      if (asked !== this.asked) return;
      element("price").value = "–";
      if (error.status === 400) this.complain(error);
    }
  }

  controls() {
    return [...this.node.elements].filter((control) => control.name);
  }

  changed(control) {
    if (control.dataset.mirrors) element(control.dataset.mirrors).value = control.value;
    else this.mirror(control);
    this.price();
  }

  mirror(control) {
    const slider = this.slider(control.name);
    if (slider) slider.value = control.value;
  }

  slider(name) {
    return this.node.querySelector(`[data-mirrors="${name}"]`);
  }
}

function valueOf(control) {
  if (control.type === "checkbox") return control.checked;
  if (control.dataset.kind !== "number") return control.value;
  // What is no number is sent as it is, so that the server says what is wrong with it.
  return Number.isNaN(control.valueAsNumber) ? control.value : control.valueAsNumber;
}
