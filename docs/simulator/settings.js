"use strict";
/* What can be set, within which limits, and how a link says it. No page: see page.js. */
const Settings = (function () {
  const ARCHITECTURES = { "thread-per-request": "Thread per request", "thread-pool": "Thread pool", "event-loop": "Event loop" };
  /* name, label, lowest, highest, whole numbers alone; or a list of words to choose from. */
  const GROUPS = [
    ["Load", [
      { name: "rate", label: "Requests a second", least: 0.1, most: 50000 },
      { name: "arrivals", label: "Arrivals", words: ["poisson", "constant"] },
      { name: "timeout_ms", label: "Clients leave after (ms)", least: 1, most: 600000 },
      { name: "seed", label: "Seed", least: 0, most: 4294967295, whole: true },
    ]],
    ["A request", [
      { name: "cpu_us", label: "CPU (µs)", least: 0, most: 10000000 },
      { name: "io_us", label: "Waiting, without a core (µs)", least: 0, most: 60000000 },
      { name: "service", label: "Both times are", words: ["exponential", "constant"] },
    ]],
    ["Slow requests", [
      { name: "slow", label: "Share (0 to 1)", least: 0, most: 1 },
      { name: "slow_cpu_us", label: "CPU more (µs)", least: 0, most: 10000000 },
      { name: "slow_io_us", label: "Waiting more (µs)", least: 0, most: 60000000 },
    ]],
    ["Machine", [
      { name: "cores", label: "Cores", least: 1, most: 64, whole: true },
      { name: "slice_us", label: "A thread's turn on a core (µs; 0: to its end)", least: 0, most: 1000000 },
      { name: "thread_us", label: "CPU to make a thread (µs)", least: 0, most: 1000000 },
    ]],
    ["Thread pool", [
      { name: "workers", label: "Workers", least: 1, most: 1000, whole: true },
      { name: "queue", label: "Queue bound (0: none)", least: 0, most: 100000, whole: true },
      { name: "policy", label: "Queue policy", words: ["fifo", "lifo", "drop-expired"] },
      { name: "patience_ms", label: "Patience (ms), for drop-expired", least: 1, most: 600000 },
    ]],
    ["Shown", [
      { name: "left", label: "One server", words: Object.keys(ARCHITECTURES) },
      { name: "right", label: "The other", words: Object.keys(ARCHITECTURES) },
    ]],
  ];
  const SPEED = { name: "speed", label: "Speed", least: 0.001, most: 10 };
  const AT = { name: "at", label: "Moment (s)", least: 0, most: 600 };
  const FIELDS = GROUPS.flatMap(function (group) { return group[1]; }).concat([SPEED, AT]);
  const DEFAULTS = {
    seed: 1, arrivals: "poisson", rate: 200, service: "exponential", cpu_us: 1000, io_us: 0,
    slow: 0, slow_cpu_us: 0, slow_io_us: 0, cores: 1, slice_us: 5000, thread_us: 60, workers: 16,
    queue: 0, policy: "fifo", patience_ms: 1000, timeout_ms: 1000,
    left: "thread-per-request", right: "thread-pool", speed: 0.1, at: 0,
  };
  const PRESETS = {
    "crossing": {
      title: "Crossing",
      story: "Handlers that wait 40 ms. Sixteen workers can do 398 requests a second and no more, so near that the pool queues while thread per request does not. With no waiting at all and 3,500 requests a second it is the other way round: the pool has no threads to make.",
      set: { rate: 380, cpu_us: 200, io_us: 40000, service: "constant", workers: 16, thread_us: 60, speed: 0.1 },
    },
    "collapse": {
      title: "Collapse",
      story: "Half as much again as one core can do. Thread per request takes everybody and, after two seconds or so, answers everybody too late. The pool rejects a third and answers the rest in time, as long as its queue is short: with a bound of 10,000 it collapses too, until its policy is drop-expired or lifo.",
      set: { rate: 1500, cpu_us: 1000, workers: 8, queue: 100, thread_us: 60, speed: 0.5 },
    },
    "slow-client": {
      title: "Slow client",
      story: "One client in twenty takes five seconds to send its request. Fifty of them at a time need fifty threads: sixteen workers are all held, and everybody else queues. To an event loop they cost nothing; nor to thread per request, but a thread each.",
      set: { rate: 200, cpu_us: 500, slow: 0.05, slow_io_us: 5000000, workers: 16, queue: 1000, left: "event-loop", timeout_ms: 10000, speed: 1 },
    },
    "head-of-line": {
      title: "Head of line",
      story: "One request in ten waits half a second for something else, the others 5 ms. With twelve workers the quick ones stand behind the slow ones in the queue; with a thread each they do not. Show the event loop instead: who waits without computing holds up nobody there either.",
      set: { rate: 200, cpu_us: 200, io_us: 5000, slow: 0.1, slow_io_us: 500000, workers: 12, speed: 0.2 },
    },
    "textbook": {
      title: "Textbook",
      story: "Poisson arrivals, exponential service, one core, no bound, no thread cost: M/M/1. What the textbook says stands beside what happens here, and the longer it runs the closer they come.",
      set: { rate: 800, cpu_us: 1000, slice_us: 0, thread_us: 0, workers: 1, timeout_ms: 60000, speed: 0.1 },
    },
  };
  const MOST_SAID = 4;

  function has(object, name) { return Object.prototype.hasOwnProperty.call(object, name); }

  /* A field's value from what a link or a person says, and a sentence if it is not that. */
  function read(field, text, otherwise) {
    if (field.words) {
      if (field.words.includes(text)) { return [text, null]; }
      return [otherwise, field.name + " is one of " + field.words.join(", ") + ": " + otherwise + " taken."];
    }
    const value = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : NaN;
    if (Number.isNaN(value)) {
      return [otherwise, field.name + " is a number from " + field.least + " to " + field.most + ": " + otherwise + " taken."];
    }
    const held = Math.min(Math.max(value, field.least), field.most);
    const taken = field.whole ? Math.round(held) : held;
    if (taken === value) { return [taken, null]; }
    const why = held === value ? " is a whole number: " : " is from " + field.least + " to " + field.most + ": ";
    return [taken, field.name + why + taken + " taken."];
  }

  function preset(name) { return Object.assign({}, DEFAULTS, PRESETS[name].set); }

  /* `{preset, settings, said}` of a link's fragment; said: a sentence for each thing not as asked. */
  function fromFragment(fragment) {
    const asked = new URLSearchParams(fragment.replace(/^#/, ""));
    const said = [];
    let name = asked.get("preset");
    if (name !== null && !has(PRESETS, name)) {
      said.push("There is no such preset; there are " + Object.keys(PRESETS).join(", ") + ".");
      name = null;
    }
    const names = Array.from(asked.keys());
    if (name === null && names.every(function (n) { return n === "preset"; })) { name = "crossing"; }
    const settings = name === null ? Object.assign({}, DEFAULTS) : preset(name);
    let changed = false;
    for (const [key, text] of asked) {
      if (key === "preset") { continue; }
      const field = FIELDS.find(function (f) { return f.name === key; });
      if (!field) { said.push("“" + key.slice(0, 30) + "” is no setting."); continue; }
      const [value, sentence] = read(field, text, settings[key]);
      if (sentence) { said.push(sentence); }
      if (value !== settings[key] && key !== "speed" && key !== "at") { changed = true; }
      settings[key] = value;
    }
    if (said.length > MOST_SAID) {
      said.splice(MOST_SAID, said.length, "And " + (said.length - MOST_SAID) + " more.");
    }
    return { preset: changed ? null : name, settings: settings, said: said };
  }

  /* The whole setting, so that a link still shows the same when a default changes. */
  function toFragment(settings, at) {
    const all = Object.assign({}, settings, { at: at });
    return "#" + FIELDS.map(function (f) { return f.name + "=" + all[f.name]; }).join("&");
  }

  return {
    ARCHITECTURES: ARCHITECTURES, GROUPS: GROUPS, FIELDS: FIELDS, PRESETS: PRESETS,
    DEFAULTS: DEFAULTS, read: read, preset: preset, fromFragment: fromFragment, toFragment: toFragment,
  };
})();
