"use strict";

// One recording, many results. Before and after play at the same time and only one of them is let through, so a
// switch changes nothing but the sound: not even the place.
(() => {
  const RAMP = 0.005; // seconds: time constant of a switch, too short to be heard as a fade, too long for a click
  const LEAD = 0.03; // seconds from now at which players start, so that both start at once
  const seconds = Number(document.body.dataset.seconds);
  const recording = document.getElementById("before");
  const decoded = new Map();
  let context = null;
  let current = null; // the card that plays

  function decode(audio) {
    if (!decoded.has(audio)) {
      const address = audio.getAttribute("src");
      const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
      decoded.set(audio, context.decodeAudioData(bytes.buffer));
    }
    return decoded.get(audio);
  }

  class Card {
    constructor(article) {
      this.article = article;
      this.button = article.querySelector(".play");
      this.slider = article.querySelector("input[type=range]");
      this.clock = article.querySelector("output");
      this.lines = article.querySelectorAll(".line");
      this.afters = [...article.querySelectorAll("figure.after")];
      this.title = article.querySelector("h3").textContent;
      this.setting = 0;
      this.heard = "after";
      this.position = 0; // seconds, while nothing plays
      this.deck = null; // what plays
      this.request = 0; // counts what was asked for: an answer that comes late is dropped

      const settings = article.querySelectorAll(".settings input");
      if (settings.length) settings[0].checked = true;
      settings.forEach((radio) => radio.addEventListener("change", () => this.choose(Number(radio.value))));
      article.querySelectorAll(".heard input").forEach((radio) => {
        radio.checked = radio.value === this.heard;
        radio.addEventListener("change", () => this.hear(radio.value));
      });
      this.button.addEventListener("click", () => (this.wanted ? this.pause() : this.play()));
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
      article.querySelectorAll(".seekable").forEach((plot) => plot.addEventListener("click", (event) => {
        const box = plot.getBoundingClientRect();
        this.seek(((event.clientX - box.left) / box.width) * seconds);
      }));
      this.wanted = false;
      this.show();
      this.draw();
    }

    now() {
      if (!this.deck) return this.position;
      return (this.deck.from + Math.max(0, context.currentTime - this.deck.start)) % seconds;
    }

    async play() {
      if (current && current !== this) current.pause();
      recording.pause();
      current = this;
      this.wanted = true;
      this.label();
      await this.restart();
    }

    async restart(position = null) {
      const request = ++this.request;
      try {
        context ??= new AudioContext();
        const [before, after] = await Promise.all(
          [recording, this.afters[this.setting].querySelector("audio")].map(decode).concat(context.resume())
        );
        if (request !== this.request || !this.wanted) return;
        const start = context.currentTime + LEAD;
        const from = (position ?? this.now() + (this.deck ? LEAD : 0)) % seconds;
        this.stop(start);
        this.deck = { start, from, channels: {} };
        for (const [name, buffer] of Object.entries({ before, after })) {
          const source = new AudioBufferSourceNode(context, { buffer, loop: true, loopEnd: seconds });
          const gate = new GainNode(context, { gain: name === this.heard ? 1 : 0 });
          source.connect(gate).connect(context.destination);
          source.start(start, from);
          this.deck.channels[name] = { source, gate };
        }
        this.tick();
      } catch (error) {
        this.pause();
        this.clock.textContent = `No sound: ${error.message}`;
      }
    }

    stop(when) {
      if (!this.deck) return;
      for (const { source, gate } of Object.values(this.deck.channels)) {
        gate.gain.setTargetAtTime(0, when, RAMP);
        source.stop(when + 8 * RAMP);
      }
      this.deck = null;
    }

    pause() {
      this.position = this.now();
      this.request += 1;
      this.wanted = false;
      if (context) this.stop(context.currentTime);
      if (current === this) current = null;
      this.label();
      this.draw();
    }

    hear(name) {
      this.heard = name;
      if (this.deck) {
        for (const [channel, { gate }] of Object.entries(this.deck.channels)) {
          gate.gain.setTargetAtTime(channel === name ? 1 : 0, context.currentTime, RAMP);
        }
      }
      this.show();
    }

    choose(number) {
      this.setting = number;
      this.show();
      if (this.wanted) this.restart();
    }

    seek(position) {
      this.position = Math.min(Math.max(position, 0), seconds - 0.01);
      if (this.wanted) this.restart(this.position);
      this.draw(this.position);
    }

    label() {
      this.button.textContent = this.wanted ? "Pause" : "Play";
      this.button.setAttribute("aria-label", `${this.button.textContent} ${this.title}`);
    }

    show() {
      this.article.dataset.heard = this.heard;
      this.afters.forEach((figure, number) => { figure.hidden = number !== this.setting; });
    }

    draw(position = this.now()) {
      this.slider.value = position;
      this.slider.setAttribute("aria-valuetext", `${position.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
      this.clock.textContent = `${position.toFixed(1)} / ${seconds.toFixed(1)} s`;
      this.lines.forEach((line) => { line.style.left = `${(100 * position) / seconds}%`; });
    }

    tick() {
      if (!this.deck) return;
      this.draw();
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.tick());
    }
  }

  document.documentElement.classList.add("scripted");
  document.querySelectorAll(".effect").forEach((article) => new Card(article));
  recording.addEventListener("play", () => current && current.pause());
})();
