"use strict";
/* A measured run in slow motion. Times are tenths of microseconds in the data, microseconds here. */
(function () {
  const $ = function (id) { return document.getElementById(id); };
  const data = JSON.parse($("trace").textContent);
  const STEPS = data.stages, DRAWN_LANES = 32, DRAWN_WAITS = 24;
  const LANE = 11, WAIT = 5, HEAD = 18;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const step = { intended: 0, accepted: 1, started: 2, ended: 3, answered: 4, thread: 5, outcome: 6, stages: 7 };
  let now = 0, playing = false, last = 0, told = 0, colours = {};

  /* ---- the data ---- */

  function request(row) {
    const us = function (place) { return row[place] === null ? null : row[place] / 10; };
    const made = {
      intended: us(step.intended), accepted: us(step.accepted), started: us(step.started),
      ended: us(step.ended), answered: us(step.answered), thread: row[step.thread],
      outcome: data.outcomes[row[step.outcome]], parts: [], lane: -1, wait: -1,
    };
    for (const part of row[step.stages]) {
      made.parts.push({ name: STEPS[part[0]], at: part[1] / 10, length: part[2] / 10 });
    }
    const ends = [made.ended, made.answered].filter(function (t) { return t !== null; });
    made.over = ends.length ? Math.max.apply(null, ends) : made.intended;
    made.waits = made.started === null ? made.over : made.started;
    return made;
  }

  /* The first line that is free: `taken` has until when each is. */
  function place(taken, from, until) {
    let line = taken.findIndex(function (end) { return end <= from; });
    if (line < 0) { line = taken.length; }
    taken[line] = until;
    return line;
  }

  function arm(found) {
    const requests = found.requests.map(request), threads = new Map(), lanes = [], waits = [];
    for (const r of requests) {
      r.wait = place(waits, r.intended, r.waits);
      if (r.thread === null) { continue; }
      const from = found.own ? r.accepted : r.started;
      const life = threads.get(r.thread);
      if (!life) { threads.set(r.thread, { from: from, until: r.ended, lane: -1 }); continue; }
      life.from = Math.min(life.from, from);
      life.until = Math.max(life.until, r.ended);
    }
    const lives = Array.from(threads.values()).sort(function (a, b) { return a.from - b.from; });
    lives.forEach(function (life) {
      if (!found.own) { life.from = -Infinity; life.until = Infinity; }
      life.lane = place(lanes, life.from, life.until);
    });
    for (const r of requests) { if (r.thread !== null) { r.lane = threads.get(r.thread).lane; } }
    return { name: found.name, own: found.own, requests: requests, lives: lives,
             lanes: Math.min(lanes.length, DRAWN_LANES), allLanes: lanes.length,
             waits: Math.min(Math.max(waits.length, 1), DRAWN_WAITS), allWaits: waits.length };
  }

  const arms = data.arms.map(arm);
  const end = Math.max(1, Math.max.apply(null, arms.flatMap(function (a) {
    return a.requests.map(function (r) { return r.over; });
  })));

  /* ---- drawing ---- */

  function measure() {
    const style = window.getComputedStyle(document.documentElement);
    for (const name of ["wait", "queue", "failed", "life", "cursor", "muted", "grid"].concat(STEPS)) {
      colours[name] = style.getPropertyValue("--" + name).trim();
    }
    for (const each of arms) {
      const ratio = Math.min(2, window.devicePixelRatio || 1), canvas = each.canvas;
      each.height = 2 * HEAD + each.waits * WAIT + each.lanes * LANE + 22;
      canvas.style.height = each.height + "px";
      each.width = canvas.clientWidth;
      canvas.width = Math.round(each.width * ratio);
      canvas.height = Math.round(each.height * ratio);
      each.context = canvas.getContext("2d");
      each.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    draw();
  }

  function draw() {
    const span = Number($("span").value), from = now - span * 0.75;
    for (const each of arms) { drawArm(each, from, span); }
    $("clock").textContent = (now / 1000).toFixed(3) + " ms of " + (end / 1000).toFixed(1) + " ms";
    if (document.activeElement !== $("scrub") || playing) { $("scrub").value = now; }
  }

  function drawArm(each, from, span) {
    const context = each.context, scale = each.width / span, until = from + span;
    const x = function (t) { return (t - from) * scale; };
    const threads = 2 * HEAD + each.waits * WAIT;
    context.clearRect(0, 0, each.width, each.height);
    axis(context, each, from, span, x);
    words(context, "waits", 4, 4);
    words(context, "threads", 4, threads - HEAD + 4);
    for (const life of each.lives) {
      if (life.lane >= each.lanes || life.until < from || life.from > Math.min(until, now)) { continue; }
      drawLife(context, life, threads + life.lane * LANE, x, from, until);
    }
    for (const r of each.requests) {
      if (r.intended > Math.min(until, now)) { break; }
      if (r.over < from) { continue; }
      if (r.wait < each.waits) { drawWait(context, r, HEAD + r.wait * WAIT, x); }
      if (r.lane >= 0 && r.lane < each.lanes) { drawParts(context, r, threads + r.lane * LANE, x); }
    }
    context.fillStyle = colours.cursor;
    context.fillRect(x(now), 0, 1.5, each.height - 18);
  }

  function drawLife(context, life, y, x, from, until) {
    const begin = Math.max(life.from, from), stop = Math.min(life.until, until, now);
    context.fillStyle = colours.life;
    context.fillRect(x(begin), y + LANE / 2 - 0.5, Math.max(0, x(stop) - x(begin)), 1);
    if (life.from >= from) {
      context.beginPath();
      context.moveTo(x(life.from), y + 1); context.lineTo(x(life.from) + 4, y + LANE / 2); context.lineTo(x(life.from), y + LANE - 1);
      context.fill();
    }
    if (life.until <= Math.min(until, now)) { context.fillRect(x(life.until) - 1, y, 2, LANE - 1); }
  }

  function drawWait(context, r, y, x) {
    const accepted = r.accepted === null ? r.waits : r.accepted;
    const failed = r.outcome !== "ok" && r.over <= now && r.started === null;
    bar(context, failed ? colours.failed : colours.wait, x(r.intended), x(Math.min(accepted, now)), y + 1, 1.5);
    if (now > accepted) { bar(context, colours.queue, x(accepted), x(Math.min(r.waits, now)), y, WAIT - 1); }
  }

  function drawParts(context, r, y, x) {
    for (const part of r.parts) {
      if (part.at > now) { return; }
      bar(context, colours[part.name], x(part.at), x(Math.min(part.at + part.length, now)), y + 1, LANE - 3);
    }
  }

  function bar(context, colour, left, right, y, height) {
    context.fillStyle = colour;
    context.fillRect(left, y, Math.max(0.7, right - left), height);
  }

  function axis(context, each, from, span, x) {
    const every = span / 5;
    context.fillStyle = colours.muted;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "bottom";
    for (let t = Math.ceil(from / every) * every; t < from + span; t += every) {
      if (t < 0 || x(t) > each.width - 45) { continue; }
      context.fillRect(x(t), each.height - 18, 1, 4);
      context.fillText((t / 1000).toFixed(span < 5000 ? 1 : 0) + " ms", x(t) + 3, each.height - 3);
    }
  }

  function words(context, text, left, top) {
    context.fillStyle = colours.muted;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    context.fillText(text, left, top);
  }

  /* ---- what it says ---- */

  function tell() {
    for (const each of arms) {
      const count = { unaccepted: 0, queued: 0, busy: 0, ok: 0, failed: 0 };
      for (const r of each.requests) {
        if (r.intended > now) { break; }
        if (r.over <= now) { count[r.outcome === "ok" ? "ok" : "failed"]++; }
        else if (r.accepted === null || r.accepted > now) { count.unaccepted++; }
        else if (r.started > now) { count.queued++; }
        else { count.busy++; }
      }
      const more = each.allLanes > each.lanes ? " Lines for up to " + (each.allLanes - each.lanes) + " more threads at once are not drawn." : "";
      const waits = each.allWaits > each.waits ? " Nor are up to " + (each.allWaits - each.waits) + " more that wait at once." : "";
      const said = count.unaccepted + " not accepted yet, " + count.queued + " waiting for a thread, " +
        count.busy + " on a thread, " + count.ok + " answered, " + count.failed + " failed.";
      if (each.said.textContent !== said + more + waits) { each.said.textContent = said + more + waits; }
      each.canvas.setAttribute("aria-label", each.name + " at " + (now / 1000).toFixed(1) + " ms: " + said);
    }
  }

  function build() {
    for (const each of arms) {
      const heading = document.createElement("h2");
      heading.textContent = each.name;
      each.canvas = document.createElement("canvas");
      each.canvas.setAttribute("role", "img");
      each.said = document.createElement("p");
      $("arms").append(heading, each.canvas, each.said);
    }
    const words = { wait: "meant to leave, not accepted yet", queue: "accepted, waits for a thread", handle: "served, no answer 202" };
    const used = new Set(arms.flatMap(function (a) { return a.requests.flatMap(function (r) {
      return r.parts.map(function (p) { return p.name; }); }); }));
    for (const name of ["wait", "queue"].concat(STEPS.filter(function (s) { return used.has(s); }))) {
      const item = document.createElement("li"), sample = document.createElement("i");
      sample.style.background = "var(--" + name + ")";
      item.append(sample, words[name] || name.replace("_", " "));
      $("legend").append(item);
    }
    $("scrub").max = Math.ceil(end);
  }

  function go(moment) {
    now = Math.min(end, Math.max(0, moment));
    draw();
    tell();
  }

  function play(on) {
    if (on && now >= end) { now = 0; }
    playing = on;
    $("play").textContent = on ? "Pause" : "Play";
    if (!on) { tell(); }
  }

  function frame(at) {
    const passed = Math.min(100, at - last);
    last = at;
    if (playing) {
      now = Math.min(end, now + passed * 1000 * Number($("speed").value));
      draw();
      if (now >= end) { play(false); }
      if (at - told > 250) { told = at; tell(); }
    }
    window.requestAnimationFrame(frame);
  }

  $("app").hidden = false;
  build();
  measure();
  tell();
  $("play").addEventListener("click", function () { play(!playing); });
  $("scrub").addEventListener("input", function () { play(false); go(Number($("scrub").value)); });
  $("span").addEventListener("change", draw);
  document.addEventListener("keydown", function (event) {
    if (["BUTTON", "SELECT", "INPUT"].includes(event.target.tagName)) { return; }
    const by = Number($("span").value) / 10;
    if (event.key === " ") { play(!playing); }
    else if (event.key === "ArrowRight") { go(now + by); }
    else if (event.key === "ArrowLeft") { go(now - by); }
    else { return; }
    event.preventDefault();
  });
  window.addEventListener("resize", measure);
  dark.addEventListener("change", measure);
  window.requestAnimationFrame(function (at) { last = at; frame(at); });
  if (!calm.matches) { play(true); }
  /* For the benchmark and the tests. */
  window.replay = {
    moment: function () { return { now: now, end: end, playing: playing }; },
    arms: arms,
    go: go,
  };
})();
