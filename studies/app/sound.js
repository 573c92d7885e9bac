// What the player plays with and reports to: one AudioContext, excerpts that run together, and a numbered log.

const FADE = 0.005; // seconds; a jump between two waveforms would click
let shared = null; // one AudioContext for the whole visit: a press of play unlocks it once
const context = () => (shared ??= audible());

function audible() {
  if (navigator.audioSession) navigator.audioSession.type = "playback"; // or an iPhone that is set to silent plays nothing
  return new (window.AudioContext || window.webkitAudioContext)({ latencyHint: "interactive" });
}

// ---- the log ---------------------------------------------------------------------------------------------------------

class Log {
  constructor(data) {
    Object.assign(this, { page: data.page, url: data.events, token: data.token, next: 0, waiting: [], busy: false });
  }

  add(kind, more = {}) {
    this.waiting.push({ seq: this.next++, kind, ...more });
  }

  async send(last = false) {
    this.asked = this.busy; // what comes in meanwhile goes next
    if ((this.busy && !last) || !this.waiting.length) return;
    this.busy = true;
    const events = this.waiting.slice(0, 100);
    try {
      const reply = await fetch(this.url, {
        method: "POST", keepalive: last, headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token: this.token, page: this.page, events }),
      });
      const answer = await reply.json().catch(() => ({}));
      if (reply.status >= 500 || reply.status === 429) throw new Error(reply.statusText);
      this.waiting = this.waiting.filter(({ seq }) => seq > events.at(-1).seq); // two may be under way, when the page is hidden
      if (reply.ok && !answer.code) this.told?.(answer);
      else this.refused?.(answer);
    } catch {
      this.lost?.(); // kept, and sent with the next report
    } finally {
      this.busy = false;
    }
    if (this.asked || this.waiting.length >= 100) await this.send();
  }
}

// ---- sound: all excerpts run together, one is let through -------------------------------------------------------------

class Sound {
  constructor(count) {
    this.buffers = new Array(count).fill(null);
    this.sources = [];
    this.gains = [];
    this.active = 0;
    this.offset = 0; // position when stopped, or at `started`
    this.playing = false;
    this.loop = false;
  }

  get duration() {
    return Math.min(...this.buffers.map((buffer) => buffer?.duration ?? 0));
  }

  /** Seconds from the beginning of the excerpt; in a loop they go on counting when it begins again. */
  get travelled() {
    if (!this.playing) return this.offset;
    const travelled = this.offset + Math.max(0, context().currentTime - this.started);
    return this.loop ? travelled : Math.min(travelled, this.duration);
  }

  get position() {
    return this.playing && this.loop ? this.travelled % this.duration : this.travelled;
  }

  start(from = this.offset) {
    this.stop();
    const audio = context();
    this.offset = from >= this.duration - 0.01 ? 0 : Math.max(0, from);
    this.started = audio.currentTime + 0.02; // one moment for all
    this.buffers.forEach((buffer, i) => {
      const source = new AudioBufferSourceNode(audio, { buffer, loop: this.loop, loopEnd: this.duration });
      const gain = new GainNode(audio, { gain: 0 });
      gain.gain.setValueAtTime(0, this.started);
      gain.gain.linearRampToValueAtTime(i === this.active ? 1 : 0, this.started + FADE);
      source.connect(gain).connect(audio.destination);
      source.start(this.started, this.offset);
      this.sources.push(source);
      this.gains.push(gain);
    });
    this.sources[0].onended = () => this.ended();
    this.playing = true;
  }

  ended() {
    if (!this.playing) return;
    this.stop();
    this.offset = 0;
    this.finished?.();
  }

  stop() {
    const now = shared?.currentTime ?? 0;
    this.offset = this.position;
    this.playing = false;
    this.sources.forEach((source, i) => {
      source.onended = null;
      this.#ramp(this.gains[i].gain, 0, now);
      source.stop(now + FADE);
    });
    this.sources = [];
    this.gains = [];
  }

  choose(clip) {
    this.active = clip;
    const now = context().currentTime;
    this.gains.forEach((gain, i) => this.#ramp(gain.gain, i === clip ? 1 : 0, now));
  }

  again(loop) {
    if (this.playing) {
      this.offset = this.position;
      this.started = context().currentTime;
      for (const source of this.sources) source.loop = loop;
    }
    this.loop = loop;
  }

  #ramp(gain, value, now) {
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(gain.value, now);
    gain.linearRampToValueAtTime(value, now + FADE);
  }
}
