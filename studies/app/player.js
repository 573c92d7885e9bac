// The player: excerpts decoded first, then switched in the middle of a note without losing the place. It stands behind
// sound.js in one module.
//
// Streamlit calls the default export with `data` (see player.py) whenever the page is run again; the same page id keeps
// the player that is there. What has sounded is reported to the server as an append-only, numbered log; whether an answer
// counts is decided there.

const LOOK_EVERY = 200; // ms: how often we look at what has sounded
const REPORT_EVERY = 5000; // ms: how often it is reported while playing; sooner where it may be enough
const SLOT = 0.05; // seconds: how finely we keep what has sounded, to show it
const SKIP = 2; // seconds, for the arrow keys
const SVG = "http://www.w3.org/2000/svg";
const PITCHES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

const logs = new Map(); // page id -> Log: goes on counting when the page is built anew
const players = new WeakMap(); // root -> Player

export default function ({ data, parentElement, setTriggerValue }) {
  let player = players.get(parentElement);
  if (player?.data.page !== data.page) {
    player?.close();
    player = new Player(parentElement, data);
    players.set(parentElement, player);
  }
  player.changed = (name, value) => setTriggerValue(name, value);
  player.update(data);
  return () => setTimeout(() => player.closeIfGone()); // also called before each update, when the player stays
}

// ---- the player ------------------------------------------------------------------------------------------------------

class Player {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.words = data.words;
    this.sound = new Sound(data.clips.length);
    this.sound.finished = () => this.#stopped("ended");
    this.heard = data.heard ?? []; // as the server counts it
    this.slots = data.clips.map(() => new Set()); // as we saw it, to show it meanwhile
    this.from = null; // where what sounds now began, in seconds as `travelled` counts them
    this.gone = new AbortController();
    if (data.events) {
      if (!logs.has(data.page)) logs.set(data.page, new Log(data));
      this.log = logs.get(data.page);
      this.log.player = this;
      this.log.told = (answer) => this.#told(answer);
      this.log.refused = ({ code }) => this.#say(this.words.refusals[code] ?? this.words.refused, true);
      this.log.lost = () => this.#say(this.words.lost, true);
    }
    this.#build();
    this.#listen();
    this.#load();
  }

  update(data) {
    this.data = data;
    if (data.heard) this.heard = data.heard;
    this.#showHeard();
  }

  close() {
    this.sound.stop(); // what has not been reported by now belongs to a page that has been left
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    this.gone.abort();
    if (this.log?.player === this) this.log.told = this.log.refused = this.log.lost = null;
  }

  /** Streamlit takes the player away with its page. */
  closeIfGone() {
    if (this.root.isConnected) return;
    this.close();
    players.delete(this.root);
  }

  // -- loading

  async #load() {
    this.#busy(true);
    this.progress = this.data.clips.map(() => 0);
    try {
      await Promise.all(this.data.clips.map((clip, i) => this.#fetch(clip.url, i)));
    } catch (error) {
      if (this.gone.signal.aborted) return;
      this.log?.add("load_failed", { message: String(error?.message ?? error).slice(0, 200) });
      this.log?.send();
      this.#part("loading").hidden = true;
      this.#part("failed").hidden = false;
      return;
    }
    this.log?.add("loaded");
    this.log?.send();
    this.#busy(false);
    this.#draw();
  }

  async #fetch(url, clip) {
    const bytes = await this.#bytes(url, clip);
    try {
      this.sound.buffers[clip] = await context().decodeAudioData(bytes);
    } catch (error) {
      this.log?.add("decode_failed", { message: String(error?.message ?? error).slice(0, 200) });
      this.sound.buffers[clip] = await context().decodeAudioData(await this.#bytes(`${url}?as=wav`, clip)); // anything decodes it
    }
    this.#progressed(clip, 1);
  }

  async #bytes(url, clip) {
    const reply = await fetch(url, { signal: this.gone.signal, cache: "no-store" });
    if (!reply.ok) throw new Error(`${reply.status}`);
    const total = Number(reply.headers.get("Content-Length")) || 1e6;
    const parts = [];
    let got = 0;
    const reader = reply.body.getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      parts.push(chunk.value);
      got += chunk.value.length;
      this.#progressed(clip, Math.min(0.95, got / total));
    }
    return new Blob(parts).arrayBuffer();
  }

  #progressed(clip, share) {
    this.progress[clip] = share;
    const mean = this.progress.reduce((a, b) => a + b, 0) / this.progress.length;
    const bar = this.#part("bar");
    bar.value = mean;
    bar.textContent = percent(mean);
  }

  #busy(on) {
    this.#part("loading").hidden = !on;
    this.#part("failed").hidden = true;
    for (const control of this.root.querySelectorAll("button:not(.retry), input")) control.disabled = on;
    this.root.querySelector(".player").setAttribute("aria-busy", on);
  }

  // -- what the controls do

  async play() {
    const audio = context();
    if (audio.state !== "running") await Promise.race([audio.resume(), wait(1500)]);
    if (audio.state !== "running") return this.#say(this.words.unlock, true);
    this.#say("");
    this.sound.start();
    this.from = this.sound.travelled;
    this.log?.add("play", { clip: this.#number(), at: round(this.sound.position) });
    this.#draw();
    return undefined;
  }

  pause() {
    this.#mark();
    this.sound.stop();
    this.#stopped("pause");
  }

  toggle() {
    if (this.sound.playing) this.pause();
    else this.play();
  }

  seek(to) {
    this.#mark();
    const playing = this.sound.playing;
    this.sound.stop();
    this.sound.offset = Math.min(Math.max(0, to), this.sound.duration);
    this.log?.add("seek", { at: round(this.sound.offset) });
    if (playing) {
      this.sound.start();
      this.from = this.sound.travelled;
    }
    this.#draw();
  }

  choose(clip) {
    if (clip === this.sound.active || clip >= this.data.clips.length) return;
    this.#mark();
    this.sound.choose(clip);
    this.log?.add("switch", { clip: this.#number(), at: round(this.sound.position) });
    this.log?.send();
    if (this.sound.playing) this.from = this.sound.travelled;
    this.#draw();
  }

  loop() {
    this.#mark();
    this.sound.again(!this.sound.loop);
    if (this.sound.playing) this.from = this.sound.travelled;
    this.log?.add("loop", { on: this.sound.loop });
    this.#draw();
  }

  // -- what has sounded

  #number(clip = this.sound.active) {
    return this.data.clips[clip].clip;
  }

  /** Put down what has sounded since the last time. */
  #mark() {
    if (!this.sound.playing || this.from === null) return;
    const { travelled: to, duration } = this.sound;
    for (let began = this.from - (this.from % duration); began < to; began += duration) { // a short loop more than once
      this.#sounded(Math.max(0, this.from - began), Math.min(duration, to - began));
    }
    this.from = to;
  }

  #sounded(start, end) {
    if (end - start < 0.02) return;
    this.log?.add("heard", { clip: this.#number(), start: round(start), end: round(end) });
  }

  /** Look where we are; report when it is time to, or when an excerpt may just have been heard enough. */
  #look() {
    const { playing, position, active, duration } = this.sound;
    if (playing && this.log) {
      const before = this.#share(active);
      const from = this.seen?.clip === active && this.seen.at <= position ? this.seen.at : position;
      for (let at = from; at < position; at += SLOT) this.slots[active].add(Math.floor(at / SLOT));
      this.seen = { clip: active, at: position };
      const enough = Math.min(1, this.data.gate + 2 * SLOT / duration);
      if (before < enough && this.#share(active) >= enough) this.reported = 0;
      this.#showHeard();
    } else this.seen = null;
    if (Date.now() - (this.reported ?? 0) < REPORT_EVERY) return;
    this.reported = Date.now();
    this.#mark();
    this.log?.send();
  }

  #share(clip) {
    const seen = (this.slots[clip].size * SLOT) / (this.sound.duration || Infinity);
    return Math.max(this.heard[this.data.clips[clip].share] ?? 0, Math.min(1, seen));
  }

  #stopped(kind) {
    if (kind === "ended" && this.from !== null) this.#sounded(this.from, this.sound.duration);
    this.from = null;
    this.log?.add(kind, { clip: this.#number(), at: round(this.sound.position) });
    this.log?.send();
    this.#draw();
  }

  #told(answer) {
    this.#say("");
    if (answer.heard) this.heard = answer.heard;
    this.#showHeard();
    if (answer.open && !this.open && !this.data.open) this.changed?.("opened", this.data.page);
    this.open ||= answer.open;
  }

  // -- what is seen

  #part(name) {
    return this.root.querySelector(`.${name}`);
  }

  #say(message, warning = false) {
    const status = this.#part("status");
    if (status.textContent !== message) status.textContent = message;
    status.classList.toggle("warning", warning);
  }

  #showHeard() {
    this.data.clips.forEach((clip, i) => {
      if (!this.log) return;
      const meter = this.root.querySelector(`.lane[data-lane="${i}"] .heard`);
      const share = this.#share(i);
      const enough = this.heard[clip.share] >= this.data.gate;
      meter.textContent = enough ? `✓ ${this.words.heard}` : `${percent(Math.min(0.99, share / (this.data.gate || 1)))} ${this.words.heard}`;
      meter.classList.toggle("enough", enough);
      meter.style.setProperty("--share", Math.min(1, share / (this.data.gate || 1)));
    });
  }

  #draw() {
    const { sound } = this;
    const { position, duration } = sound;
    const play = this.#part("play");
    play.querySelector(".icon").innerHTML = sound.playing ? ICONS.pause : ICONS.play;
    play.querySelector(".label").textContent = sound.playing ? this.words.pause : this.words.play;
    this.#part("loop").setAttribute("aria-pressed", sound.loop);
    this.root.querySelectorAll(".lane").forEach((lane, i) => {
      lane.classList.toggle("active", i === sound.active);
      lane.querySelector(".pick")?.setAttribute("aria-pressed", i === sound.active);
    });
    if (!duration) return;
    const seek = this.#part("seek");
    seek.max = duration;
    if (!this.dragging) seek.value = position;
    seek.setAttribute("aria-valuetext", fill(this.words.position, { at: position.toFixed(1), of: duration.toFixed(1) }));
    this.#part("time").textContent = `${clock(position)} / ${clock(duration)}`;
    this.root.querySelector(".player").style.setProperty("--at", `${(100 * position) / duration}%`);
    cancelAnimationFrame(this.frame);
    if (sound.playing) this.frame = requestAnimationFrame(() => this.#draw());
  }

  #build() {
    const { words, data } = this;
    const many = data.clips.length > 1;
    this.root.querySelector(".player")?.remove();
    const player = element("div", { class: "player", role: "group", "aria-label": words.player, tabindex: "-1" });
    player.classList.toggle("many", many);
    const loading = element("div", { class: "loading" }, [
      element("span", { id: "loading" }, words.loading),
      element("progress", { class: "bar", max: 1, value: 0, "aria-labelledby": "loading" }),
    ]);
    const retry = element("button", { class: "retry", type: "button" }, words.retry);
    retry.addEventListener("click", () => this.#load());
    const failed = element("div", { class: "failed", role: "alert", hidden: "" }, [element("p", {}, words.failed), retry]);
    const lanes = element("div", { class: "lanes" }, data.clips.map((clip, i) => this.#lane(clip, i, many)));
    const transport = element("div", { class: "transport" }, [
      button("restart", ICONS.restart, words.restart, () => this.seek(0)),
      button("play", ICONS.play, words.play, () => this.toggle(), true),
      button("loop", ICONS.loop, words.loop, () => this.loop()),
      element("input", { class: "seek", type: "range", min: 0, max: 1, step: 0.1, value: 0, "aria-label": words.seek }),
      element("span", { class: "time", "aria-hidden": "true" }, "0:00 / 0:00"),
    ]);
    const status = element("p", { class: "status", role: "status" });
    const keys = element("p", { class: "keys" }, fill(many ? words.keys : words.keys_one, { labels: this.#labels() }));
    player.append(loading, failed, lanes, transport, status, keys);
    this.root.append(player);
    this.#showHeard();
  }

  #labels() {
    return this.data.clips.map((clip) => clip.key).join(" / ");
  }

  #lane(clip, i, many) {
    const lane = element("div", { class: "lane", "data-lane": i });
    const heard = element("span", { class: "heard" }, "");
    if (many) {
      const pick = element("button", { class: "pick", type: "button", "aria-pressed": "false" }, [
        element("span", { class: "name" }, clip.label), heard,
      ]);
      pick.addEventListener("click", () => this.choose(i));
      lane.append(pick);
    } else lane.append(element("div", { class: "pick only" }, [element("span", { class: "name" }, clip.label), heard]));
    if (clip.notes) lane.append(this.#roll(clip, i));
    return lane;
  }

  #roll(clip, i) {
    const box = element("div", { class: this.data.highlight ? "roll labelled" : "roll" });
    box.append(pianoRoll(clip, this.data, this.words), element("i", { class: "head" }));
    if (this.data.highlight) {
      const [start, end] = this.data.highlight;
      const mark = element("span", { class: "region" }, this.words.region);
      box.append(mark);
      new ResizeObserver(() => { // over the middle of the region, but nothing of it cut off
        const over = ((start + end) / 2 / this.data.seconds) * box.clientWidth - mark.offsetWidth / 2;
        mark.style.left = `${Math.max(2, Math.min(over, box.clientWidth - mark.offsetWidth - 2))}px`;
      }).observe(box);
    }
    box.addEventListener("click", (event) => {
      if (!this.sound.duration) return;
      const { left, width } = box.getBoundingClientRect();
      this.choose(i);
      this.seek(((event.clientX - left) / width) * this.data.seconds);
    });
    return box;
  }

  #listen() {
    const { signal } = this.gone;
    const seek = this.#part("seek");
    seek.addEventListener("input", () => {
      this.dragging = true;
      this.#part("time").textContent = `${clock(seek.value)} / ${clock(this.sound.duration)}`;
    });
    seek.addEventListener("change", () => {
      this.dragging = false;
      this.seek(Number(seek.value));
    });
    this.root.addEventListener("click", (event) => {
      if (event.detail > 0) this.#part("player").focus({ preventScroll: true }); // then space plays, not this button again
    }, { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    document.addEventListener("visibilitychange", () => {
      this.log?.add(document.hidden ? "focus_lost" : "focus_gained");
      this.#mark();
      this.log?.send(document.hidden);
    }, { signal });
    window.addEventListener("pagehide", () => {
      this.#mark();
      this.log?.send(true);
    }, { signal });
    this.timer = setInterval(() => {
      this.closeIfGone();
      if (this.sound.playing && context().state !== "running") this.pause(); // a call came in, or the device went away
      this.#look();
    }, LOOK_EVERY);
  }

  #key(event) {
    const target = event.composedPath()[0];
    const own = this.root.contains(target);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !this.sound.duration) return;
    if (!own && target.closest?.("input, textarea, select, button, a, summary, [contenteditable], [role=radio], [role=slider]")) return;
    const clip = this.data.clips.findIndex((each) => each.key.toLowerCase() === event.key.toLowerCase());
    if (clip >= 0) this.choose(clip);
    else if (event.key === " " && !target.closest?.("button")) this.toggle();
    else if (event.key === "ArrowLeft" && target.type !== "range") this.seek(this.sound.position - SKIP);
    else if (event.key === "ArrowRight" && target.type !== "range") this.seek(this.sound.position + SKIP);
    else if (event.key === "Home" && target.type !== "range") this.seek(0);
    else if (event.key.toLowerCase() === "l") this.loop();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// ---- drawing ---------------------------------------------------------------------------------------------------------

function pianoRoll(clip, { seconds, bars = [], highlight }, words) {
  const pitches = clip.notes.map(([, , pitch]) => pitch);
  const low = Math.min(...clip.range, ...pitches) - 1;
  const high = Math.max(...clip.range, ...pitches) + 1;
  const rows = Math.max(1, high - low + 1);
  const svg = drawn("svg", { viewBox: `0 0 1000 ${rows * 10}`, preserveAspectRatio: "none", role: "img" });
  const facts = { label: clip.label, notes: clip.notes.length, low: pitchName(Math.min(...pitches)), high: pitchName(Math.max(...pitches)) };
  const text = clip.notes.length ? fill(words.roll, facts) : fill(words.silent, facts);
  svg.setAttribute("aria-label", highlight ? `${text} ${words.region}.` : text);
  const x = (time) => (1000 * time) / seconds;
  if (highlight) svg.append(drawn("rect", { class: "marked", x: x(highlight[0]), y: 0, width: x(highlight[1] - highlight[0]), height: rows * 10 }));
  for (const bar of bars) svg.append(drawn("line", { class: "barline", x1: x(bar), x2: x(bar), y1: 0, y2: rows * 10 }));
  for (const [start, end, pitch] of clip.notes) {
    svg.append(drawn("rect", { class: "note", x: x(start), y: (high - pitch) * 10 + 1, width: Math.max(2, x(end - start) - 1), height: 8 }));
  }
  return svg;
}

const pitchName = (pitch) => `${PITCHES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

const icon = (path) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg>`;
const ICONS = {
  play: icon("M7 4.5v15l13-7.5z"),
  pause: icon("M6 4.5h4.2v15H6zM13.8 4.5H18v15h-4.2z"),
  restart: icon("M5 5h2.6v14H5zM20 5v14L9 12z"),
  loop: icon("M7 7h10v3l4.5-4.2L17 1.6v3H4.6v7H7zM17 17H7v-3l-4.5 4.2L7 22.4v-3h12.4v-7H17z"),
};

function button(name, icon, label, action, wide = false) {
  const made = element("button", { class: name, type: "button" }, [element("span", { class: "icon" })]);
  made.querySelector(".icon").innerHTML = icon;
  made.append(element("span", { class: wide ? "label" : "label unseen" }, label));
  if (!wide) made.title = label;
  made.addEventListener("click", action);
  return made;
}

function element(tag, attributes = {}, content = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...(Array.isArray(content) ? content : [content]));
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// ---- sums ------------------------------------------------------------------------------------------------------------

const round = (seconds) => Math.round(seconds * 1000) / 1000;
const percent = (share) => `${Math.min(100, Math.floor(100 * share + 1e-6))} %`;
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
