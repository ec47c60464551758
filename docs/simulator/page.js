"use strict";
/* Controls, the link, and the clock that both lanes follow. */
(function () {
  const $ = function (id) { return document.getElementById(id); };
  const SPEEDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
  const EVENTS_IN_A_FRAME = 40000, BUDGET_MS = 9, REPORT_MS = 250;
  const COLOURS = ["queued", "ready", "core", "waiting", "ok", "failed", "muted", "grid"];
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const lanes = ["left", "right"].map(function (side) { return new Lane.Lane($(side), side); });
  let settings, preset, now = 0, playing = false, target = 0, last = 0, reported = 0, behind = false;

  /* ---- the clock ---- */

  function restart(until) {
    now = 0;
    target = until || 0;
    behind = false;
    for (const lane of lanes) { lane.begin(settings); }
    report();
  }

  /* Both lanes to a moment, within a frame's budget; how far they came. */
  function advance(until) {
    const began = performance.now();
    let reached = now;
    while (reached < until && performance.now() - began < BUDGET_MS) {
      const next = Math.min(until, reached + Math.max(1e5, (until - reached) / 8));
      const there = lanes.map(function (lane) { return lane.advance(next, EVENTS_IN_A_FRAME); });
      if (!there.every(Boolean)) { break; }
      reached = next;
    }
    return reached;
  }

  function frame(at) {
    const seconds = Math.min(0.1, (at - last) / 1000);
    last = at;
    if (now < target) {
      now = advance(target);
      if (now >= target) { report(); }
    } else if (playing) {
      const wanted = now + seconds * settings.speed * 1e9;
      now = advance(wanted);
      behind = now < wanted - 1;
    }
    const most = Settings.FIELDS.find(function (f) { return f.name === "at"; }).most * 1e9;
    if (playing && (now >= most || lanes.every(function (lane) { return lane.stopped; }))) { play(false); }
    if (!calm.matches || at - reported >= REPORT_MS) {
      for (const lane of lanes) { lane.draw(seconds, calm.matches || now < target); }
    }
    if (at - reported >= REPORT_MS) {
      reported = at;
      report();
    }
    window.requestAnimationFrame(frame);
  }

  function report() {
    const waiting = now < target ? " of " + (target / 1e9).toFixed(1) + " s" : behind ? " (slower than asked)" : "";
    $("clock").textContent = (now / 1e9).toFixed(3) + " s" + waiting;
    for (const lane of lanes) { lane.report(); }
  }

  function play(on) {
    playing = on;
    $("play").textContent = on ? "Pause" : "Play";
    $("clock").setAttribute("aria-live", on ? "off" : "polite");
  }

  /* ---- the link ---- */

  function say(sentences) {
    $("notice").hidden = sentences.length === 0;
    $("notice").textContent = sentences.join(" ");
  }

  function take(fragment) {
    const found = Settings.fromFragment(fragment);
    settings = found.settings;
    preset = found.preset;
    fill();
    say(found.said);
    restart(settings.at * 1e9);
    play(settings.at === 0 && !calm.matches);
  }

  function write(at) {
    const whole = Settings.toFragment(settings, at);
    window.history.replaceState(null, "", at === 0 && preset !== null ? "#preset=" + preset : whole);
  }

  function changed(name, value) {
    settings[name] = value;
    if (name === "speed") { return; }
    preset = null;
    write(0);
    tell();
    restart(0);
  }

  /* ---- the form ---- */

  function input(field) {
    if (field.words) {
      const select = document.createElement("select");
      for (const word of field.words) {
        select.append(new Option(Settings.ARCHITECTURES[word] || word, word));
      }
      return select;
    }
    const box = document.createElement("input");
    box.type = "number";
    box.min = field.least;
    box.max = field.most;
    box.step = field.whole ? 1 : "any";
    box.inputMode = "decimal";
    return box;
  }

  function build() {
    for (const [title, fields] of Settings.GROUPS) {
      const group = document.createElement("fieldset"), legend = document.createElement("legend");
      legend.textContent = title;
      group.append(legend);
      for (const field of fields) { group.append(labelled(field)); }
      $("settings").append(group);
    }
    for (const [name, found] of Object.entries(Settings.PRESETS)) {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = "#preset=" + name;
      link.textContent = found.title;
      // The same link again begins it again, which a browser would not tell of.
      link.addEventListener("click", function () { if (window.location.hash === link.hash) { take(link.hash); } });
      item.append(link);
      $("presets").append(item);
    }
    for (const speed of SPEEDS) { $("speed").append(new Option(speedWords(speed), speed)); }
    for (const state of Lane.STATES) {
      const item = document.createElement("li"), sample = document.createElement("canvas");
      sample.dataset.state = state;
      sample.setAttribute("aria-hidden", "true");
      item.append(sample, Lane.STATE_WORDS[state]);
      $("legend").append(item);
    }
  }

  function labelled(field) {
    const label = document.createElement("label"), words = document.createElement("span");
    const box = input(field);
    label.className = field.words ? "field words" : "field";
    words.textContent = field.label;
    box.id = "set-" + field.name;
    box.addEventListener("change", function () {
      const [value, sentence] = Settings.read(field, box.value, settings[field.name]);
      say(sentence ? [sentence] : []);
      box.value = value;
      changed(field.name, value);
    });
    label.append(words, box);
    return label;
  }

  function speedWords(speed) {
    return speed === 1 ? "as it is" : speed > 1 ? speed + "× faster" : Math.round(1 / speed) + "× slower";
  }

  function fill() {
    for (const group of Settings.GROUPS) {
      for (const field of group[1]) { $("set-" + field.name).value = settings[field.name]; }
    }
    const known = Array.from($("speed").options).some(function (o) { return Number(o.value) === settings.speed; });
    if (!known) { $("speed").append(new Option(settings.speed + "×", settings.speed)); }
    $("speed").value = settings.speed;
    tell();
  }

  function tell() {
    $("story").textContent = preset === null ? "A setting of your own." : Settings.PRESETS[preset].story;
    for (const link of $("presets").querySelectorAll("a")) {
      if (link.hash === "#preset=" + preset) { link.setAttribute("aria-current", "true"); }
      else { link.removeAttribute("aria-current"); }
    }
  }

  function measure() {
    const style = window.getComputedStyle(document.documentElement), colours = {};
    for (const name of COLOURS) { colours[name] = style.getPropertyValue("--" + name).trim(); }
    for (const lane of lanes) { lane.measure(colours); lane.draw(0, true); }
    for (const sample of $("legend").querySelectorAll("canvas")) {
      sample.width = sample.height = 32;
      const context = sample.getContext("2d");
      context.scale(2, 2);
      Lane.paint(context, sample.dataset.state, 8, 5, colours[sample.dataset.state]);
    }
  }

  $("app").hidden = false;
  build();
  take(window.location.hash);
  measure();
  $("play").addEventListener("click", function () { play(!playing); });
  $("again").addEventListener("click", function () { restart(0); play(!calm.matches); });
  $("speed").addEventListener("change", function () {
    changed("speed", Number($("speed").value));
  });
  $("link").addEventListener("click", function () {
    play(false);
    write(now / 1e9);
    say(["This moment is in the address of the page now: copy it from there."]);
  });
  window.addEventListener("hashchange", function () { take(window.location.hash); });
  window.addEventListener("resize", measure);
  dark.addEventListener("change", measure);
  window.requestAnimationFrame(function (at) { last = at; frame(at); });
  /* For the benchmark and the tests. */
  window.simulator = {
    lanes: lanes,
    report: report,
    dots: function () { return lanes.map(function (lane) { return lane.dots.length; }); },
    moment: function () { return { now: now, target: target, playing: playing }; },
  };
})();
