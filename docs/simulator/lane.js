"use strict";
/* One server on the page: its model, its dots, its figures. The page calls `advance` with the
   simulated time and `draw` with the time of the frame. */
const Lane = (function () {
  const MOST_DOTS = 5000;  // drawn at once by one lane; those beyond are counted
  const MOST_IN_FLIGHT = 100000;
  const KEPT = 2000;  // ended requests that quantiles are of
  const BINS = 10, BIN_NS = 1e8;  // of goodput: one second
  const STATES = ["queued", "ready", "core", "waiting", "ok", "failed"];
  const STATE_WORDS = {
    queued: "in the queue", ready: "on a thread, waits for a core", core: "on a core",
    waiting: "on a thread, waits for something else", ok: "answered in time", failed: "late, rejected or dropped",
  };
  const STEP = { queue: "queued", start: "ready", ready: "ready", run: "core", wait: "waiting" };

  /* Small pictures of a dot, by state and radius, as pixels: 5,000 of them are copied into one
     image in a fraction of the time that 5,000 drawn shapes take. */
  class Sprites {
    constructor(colours, ratio) { this.colours = colours; this.ratio = ratio; this.made = new Map(); }
    get(state, radius) {
      const key = state + radius;
      if (!this.made.has(key)) { this.made.set(key, this.make(state, radius)); }
      return this.made.get(key);
    }
    make(state, radius) {
      const canvas = document.createElement("canvas");
      const side = Math.ceil((2 * radius + 2) * this.ratio);
      canvas.width = canvas.height = side;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.scale(this.ratio, this.ratio);
      paint(context, state, side / this.ratio / 2, radius, this.colours[state]);
      const pixels = context.getImageData(0, 0, side, side).data;
      return { side: side, pixels: new Uint32Array(pixels.buffer) };
    }
  }

  /* A sprite into an image `wide` pixels wide, its middle at (x, y): opaque pixels win. */
  function stamp(image, wide, high, sprite, x, y) {
    const side = sprite.side, pixels = sprite.pixels;
    const left = Math.round(x - side / 2), top = Math.round(y - side / 2);
    for (let row = Math.max(0, -top); row < side && top + row < high; row++) {
      const line = (top + row) * wide + left;
      for (let column = Math.max(0, -left); column < side && left + column < wide; column++) {
        const pixel = pixels[row * side + column];
        if (pixel !== 0 && (pixel >>> 24 === 255 || image[line + column] === 0)) {
          image[line + column] = pixel;
        }
      }
    }
  }

  /* Not by colour alone: on a core is a square, waiting is a ring, failed is a cross. */
  function paint(context, state, middle, radius, colour) {
    context.fillStyle = context.strokeStyle = colour;
    if (state === "core" || radius < 1.5) {
      context.fillRect(middle - radius, middle - radius, 2 * radius, 2 * radius);
      return;
    }
    context.lineWidth = Math.max(1, radius / 2.5);
    context.beginPath();
    if (state === "failed") {
      context.moveTo(middle - radius, middle - radius); context.lineTo(middle + radius, middle + radius);
      context.moveTo(middle - radius, middle + radius); context.lineTo(middle + radius, middle - radius);
      context.stroke();
      return;
    }
    const hollow = state === "waiting";
    context.arc(middle, middle, hollow ? radius - context.lineWidth / 2 : radius, 0, 2 * Math.PI);
    if (hollow) { context.stroke(); } else { context.fill(); }
  }

  /* What ended, and how: goodput, quantiles, Little's law. */
  class Figures {
    constructor(timeout) {
      this.timeout = timeout;
      this.arrived = this.ok = this.late = this.rejected = this.dropped = 0;
      this.taken = new Float64Array(KEPT);  // of the newest; Infinity: failed
      this.ended = 0;
      this.inFlight = 0;
      this.area = 0;  // of requests in flight over time
      this.spent = 0;  // by those that left
      this.at = 0;
      this.bins = new Float64Array(BINS + 1);
      this.bin = 0;
    }
    step(at) {
      this.area += this.inFlight * (at - this.at);
      this.at = at;
      const bin = Math.floor(at / BIN_NS);
      if (bin - this.bin > BINS) { this.bins.fill(0); this.bin = bin; }
      while (this.bin < bin) { this.bin++; this.bins[this.bin % (BINS + 1)] = 0; }
    }
    end(at, request, kind) {
      const took = at - request.arrived;
      const inTime = kind === "answer" && took <= this.timeout;
      if (inTime) { this.ok++; this.bins[this.bin % (BINS + 1)]++; }
      else if (kind === "answer") { this.late++; }
      else if (kind === "reject") { this.rejected++; }
      else { this.dropped++; }
      this.taken[this.ended % KEPT] = inTime ? took : Infinity;
      this.ended++;
      this.inFlight--;
      this.spent += took;
      return inTime;
    }
    /* Requests answered in time, a second, over the last second (at the start: so far). */
    goodput() {
      if (this.at === 0) { return null; }
      const seconds = Math.min(this.at, (BINS * BIN_NS) + (this.at % BIN_NS)) / 1e9;
      return this.bins.reduce(function (sum, n) { return sum + n; }, 0) / seconds;
    }
    quantile(share) {
      const held = Math.min(this.ended, KEPT);
      if (held === 0) { return null; }
      const sorted = this.taken.slice(0, held).sort();
      return sorted[Math.min(held - 1, Math.floor(share * held))];
    }
    little() {
      if (this.ended === 0) { return null; }
      return { inFlight: this.area / this.at, rate: this.ended / this.at * 1e9, time: this.spent / this.ended };
    }
  }

  class Lane {
    constructor(element, side) {
      this.side = side;
      this.element = element;
      this.heading = document.createElement("h2");
      this.heading.id = side + "-name";
      this.canvas = document.createElement("canvas");
      this.canvas.setAttribute("role", "img");
      this.list = document.createElement("dl");
      this.list.className = "figures";
      this.said = document.createElement("p");
      this.said.className = "said";
      this.theory = document.createElement("p");
      this.theory.className = "said";
      element.append(this.heading, this.canvas, this.list, this.said, this.theory);
      this.cells = new Map();
    }
    begin(settings) {
      this.settings = settings;
      this.architecture = settings[this.side];
      this.pool = this.architecture === "thread-pool";
      this.name = Settings.ARCHITECTURES[this.architecture];
      this.heading.textContent = this.name;
      this.figures = new Figures(settings.timeout_ms * 1e6);
      this.dots = [];
      this.threads = 0;  // that are made and not ended, where one is made for each request
      this.slots = 0;  // places for requests in hand so far
      this.free = [];
      this.held = 0;
      this.stopped = false;
      const lane = this;
      this.model = new Model.Server(settings, this.architecture, function (at, kind, request) {
        lane.noted(at, kind, request);
      });
      this.theory.textContent = Theory.sentence(settings, this.architecture);
    }
    /* On to a moment, with at most so many events. True: it is there. */
    advance(until, most) {
      if (this.stopped) { return true; }
      const there = this.model.run(until, most);
      this.figures.step(there ? until : this.model.now);
      return there || this.stopped;
    }
    noted(at, kind, request) {
      const figures = this.figures;
      figures.step(at);
      if (kind === "arrive") {
        figures.arrived++;
        figures.inFlight++;
        if (figures.inFlight >= MOST_IN_FLIGHT) { this.stopped = this.model.halted = true; }
        request.slot = -1;
        request.dot = null;
        this.show(request);
        return;
      }
      if (request.dot === null) { this.show(request); }
      if (kind === "answer" || kind === "reject" || kind === "drop") {
        this.leave(request, figures.end(at, request, kind) ? "ok" : "failed");
      } else {
        if (kind === "start") { this.takeSlot(request); }
        if (request.dot) { request.dot.state = STEP[kind]; }
      }
    }
    takeSlot(request) {
      this.held++;
      if (this.pool) { request.slot = request.worker; return; }
      request.slot = this.free.length ? this.free.pop() : this.slots++;
    }
    show(request) {
      if (this.dots.length >= MOST_DOTS) { return; }
      request.dot = { request: request, state: "queued", x: -1, y: -1, left: false };
      this.dots.push(request.dot);
    }
    leave(request, state) {
      if (request.slot >= 0) {
        this.held--;
        if (!this.pool) {
          this.free.push(request.slot);
          if (this.held === 0) { this.free = []; this.slots = 0; }
        }
      }
      if (request.dot) { request.dot.state = state; request.dot.left = true; }
    }

    /* ---- drawing ---- */

    measure(colours) {
      this.ratio = Math.min(2, window.devicePixelRatio || 1);
      this.width = this.canvas.clientWidth;
      this.height = this.canvas.clientHeight;
      this.canvas.width = Math.round(this.width * this.ratio);
      this.canvas.height = Math.round(this.height * this.ratio);
      this.colours = colours;
      this.sprites = new Sprites(colours, this.ratio);
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
      this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    /* How `count` cells fill an area: columns from its right, each from the top. */
    grid(x, width, count, largest) {
      const top = 26, height = this.height - top - 8;
      let cell = Math.min(largest, Math.sqrt(width * height / Math.max(1, count)));
      let rows = Math.max(1, Math.floor(height / cell));
      while (Math.ceil(count / rows) * cell > width && cell > 0.5) {
        cell *= 0.97;
        rows = Math.max(1, Math.floor(height / cell));
      }
      return { right: x + width, top: top, cell: cell, rows: rows, radius: Math.max(0.5, Math.round((cell / 2 - 1) * 2) / 2) };
    }
    draw(seconds, still) {
      const context = this.context, pool = this.pool;
      const from = this.width * (pool ? 0.52 : 0.14), room = this.width * (pool ? 0.34 : 0.72);
      const queue = this.grid(this.width * 0.13, this.width * 0.33, power(this.model.queue.length, 64), 14);
      const hands = this.grid(from, room, pool ? this.settings.workers : power(this.slots, 16), 22);
      for (let i = 0; i < this.model.queue.length; i++) { this.model.queue.at(i).place = i; }
      this.pixels.fill(0);
      this.move(queue, hands, still ? 1 : 1 - Math.exp(-seconds * 14), still);
      context.putImageData(this.image, 0, 0);
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.words(from);
      this.boxes(hands);
    }
    /* Every dot a part of its way to where it belongs; those that are out are forgotten. */
    move(queue, hands, part, still) {
      const middle = this.height / 2, kept = [], ratio = this.ratio;
      const wide = this.canvas.width, high = this.canvas.height;
      for (const dot of this.dots) {
        let x, y, radius = 3;
        if (dot.left) {
          x = this.width + 12;
          y = dot.state === "failed" ? this.height - 12 : middle;
        } else {
          const grid = dot.state === "queued" ? queue : hands;
          const place = dot.state === "queued" ? dot.request.place || 0 : dot.request.slot;
          x = grid.right - (Math.floor(place / grid.rows) + 0.5) * grid.cell;
          y = grid.top + (place % grid.rows + 0.5) * grid.cell;
          radius = grid.radius;
        }
        if (dot.x < 0) { dot.x = still ? x : 10; dot.y = still ? y : middle; }
        dot.x += (x - dot.x) * part;
        dot.y += (y - dot.y) * part;
        if (dot.left && dot.x > this.width + 4) { continue; }
        kept.push(dot);
        stamp(this.pixels, wide, high, this.sprites.get(dot.state, radius), dot.x * ratio, dot.y * ratio);
      }
      this.dots = kept;
    }
    boxes(hands) {
      const count = this.pool ? this.settings.workers : this.architecture === "event-loop" ? 0 : this.slots;
      if (hands.cell < 5 || count > 2000) { return; }
      this.context.strokeStyle = this.colours.grid;
      this.context.lineWidth = 1;
      this.context.beginPath();
      const free = this.pool ? null : new Set(this.free);
      for (let i = 0; i < count; i++) {
        if (free !== null && free.has(i)) { continue; }  // its thread has ended
        const x = hands.right - (Math.floor(i / hands.rows) + 1) * hands.cell;
        const y = hands.top + (i % hands.rows) * hands.cell;
        this.context.rect(Math.round(x) + 1.5, Math.round(y) + 1.5, hands.cell - 2, hands.cell - 2);
      }
      this.context.stroke();
    }
    words(from) {
      const context = this.context, model = this.model;
      const narrow = this.width < 420;
      context.fillStyle = this.colours.muted;
      context.font = (narrow ? 11 : 12) + "px system-ui, sans-serif";
      context.textBaseline = "top";
      context.textAlign = "left";
      context.fillText("accept", 4, 6);
      const what = this.pool ? (narrow ? "workers " : "workers busy: ") :
        this.architecture === "event-loop" ? "connections, one thread: " : "threads: ";
      context.fillText(what + this.held.toLocaleString("en") + (this.pool ? " of " + this.settings.workers : ""), from, 6);
      if (this.pool) {
        context.fillText("queue: " + model.queue.length.toLocaleString("en"), this.width * 0.17, 6);
      }
      context.textAlign = "right";
      context.fillText(narrow ? "out" : "answers", this.width - 4, 6);
      context.textAlign = "left";
    }

    /* ---- figures ---- */

    report() {
      const f = this.figures, whole = function (n) { return n.toLocaleString("en"); };
      const late = "beyond " + time(this.settings.timeout_ms * 1e6);
      const shown = function (ns) { return ns === null ? "–" : ns === Infinity ? late : time(ns); };
      const goodput = f.goodput(), failed = f.late + f.rejected + f.dropped;
      const rows = [
        ["Goodput", goodput === null ? "–" : short(goodput) + "/s"],
        ["p50", shown(f.quantile(0.5))],
        ["p99", shown(f.quantile(0.99))],
        ["In flight", whole(f.inFlight)],
        ["In time", whole(f.ok)],
        ["Failed", whole(failed)],
      ];
      for (const [name, value] of rows) { this.figure(name, value); }
      const law = f.little();
      const beyond = f.inFlight > MOST_DOTS ? " Only " + whole(MOST_DOTS) + " are drawn." : "";
      const stopped = this.stopped ? " Stopped: " + whole(f.inFlight) + " are in flight, and more come than leave." : "";
      const why = failed ? " Failed: " + [[f.late, "late"], [f.rejected, "rejected"], [f.dropped, "dropped"]].filter(
        function (pair) { return pair[0]; }).map(function (pair) { return whole(pair[0]) + " " + pair[1]; }).join(", ") + "." : "";
      const little = law === null ? "Nothing has left yet." :
        "Little's law: " + short(law.inFlight) + " in flight; " + short(law.rate) + "/s leave × " + time(law.time) +
        " = " + short(law.rate * law.time / 1e9) + ".";
      this.said.textContent = little + why + beyond + stopped;
      this.canvas.setAttribute("aria-label", this.name + ": " + whole(f.inFlight) + " requests in flight, " +
        (this.pool ? whole(this.model.queue.length) + " of them queued, " : "") + whole(f.ok) + " answered in time, " +
        whole(failed) + " failed");
    }
    figure(name, value) {
      if (!this.cells.has(name)) {
        const group = document.createElement("div"), term = document.createElement("dt");
        const shown = document.createElement("dd");
        term.textContent = name;
        group.append(term, shown);
        this.list.append(group);
        this.cells.set(name, shown);
      }
      const cell = this.cells.get(name);
      if (cell.textContent !== value) { cell.textContent = value; }
    }
  }

  /* The power of two at or above, so that a grid does not change with each request. */
  function power(count, least) {
    let size = least;
    while (size < count) { size *= 2; }
    return size;
  }
  function short(n) {
    return n >= 100 ? Math.round(n).toLocaleString("en") : n >= 10 ? n.toFixed(1) : n.toFixed(2);
  }
  function time(ns) {
    if (ns >= 1e9) { return short(ns / 1e9) + " s"; }
    return ns >= 1e6 ? short(ns / 1e6) + " ms" : short(ns / 1e3) + " µs";
  }

  /* M/M/c beside what happens, where it applies, and else why it does not. */
  const Theory = {
    /* `{servers, serviceNs}`, or a sentence that says why there is none. */
    queue: function (s, architecture) {
      if (s.arrivals !== "poisson") { return "arrivals are not Poisson"; }
      if (s.service !== "exponential") { return "service is not exponential"; }
      if (s.slow > 0 && (s.slow_cpu_us > 0 || s.slow_io_us > 0)) { return "slow requests make service not exponential"; }
      const pool = architecture === "thread-pool";
      if (pool && s.queue > 0) { return "the queue has a bound"; }
      if (pool && s.policy === "drop-expired") { return "requests are dropped"; }
      if (architecture === "thread-per-request" && s.thread_us > 0) { return "making a thread adds a constant to each service"; }
      const cores = architecture === "event-loop" ? 1 : s.cores;
      if (s.io_us === 0 && s.cpu_us > 0) {
        return { servers: pool ? Math.min(cores, s.workers) : cores, service: s.cpu_us * 1000 };
      }
      if (s.cpu_us === 0 && s.io_us > 0 && pool) { return { servers: s.workers, service: s.io_us * 1000 }; }
      return "a request needs a core and other waiting too, which is no single queue";
    },
    sentence: function (s, architecture) {
      const found = Theory.queue(s, architecture);
      if (typeof found === "string") { return "M/M/c does not apply: " + found + "."; }
      const name = "M/M/" + found.servers, offered = s.rate * found.service / 1e9;
      const busy = offered / found.servers;
      if (busy >= 1) {
        return name + ": " + short(busy * 100) + " % of what it can do is offered, so it has no steady state; the queue grows by " +
          short(s.rate - found.servers * 1e9 / found.service) + " a second.";
      }
      const waits = Model.erlangC(found.servers, offered);
      const waiting = waits * found.service / (found.servers * (1 - busy));
      return name + " (Erlang C): " + short(busy * 100) + " % busy, " + short(waits * 100) + " % wait, mean time " +
        time(found.service + waiting) + ", mean in flight " + short(s.rate * (found.service + waiting) / 1e9) + ".";
    },
  };

  return { Lane: Lane, Theory: Theory, STATES: STATES, STATE_WORDS: STATE_WORDS, paint: paint, time: time };
})();
