"use strict";
/* The twin of harness/course/queue_model.py: the same events for the same seed, which
   tests/harness/course/test_queue_model.py holds them to. So: 32-bit integers, the four operations
   of IEEE 754, whole nanoseconds, and no Math.log. Change both or neither. No page, no clock. */
const Model = (function () {
  const WORD = 4294967296, GOLDEN = 0x9E3779B9, DISCARDED = 15;
  const ROOT_HALF = 0.7071067811865476, LN_2 = 0.6931471805599453, TERMS = 25;
  const UNSEEN_NS = 20000000;
  const STREAMS = { gaps: 1, cpu: 2, io: 3, slow: 4 };

  function whole(value) { return Math.floor(value + 0.5); }

  class Sfc32 {
    constructor(seed, stream) {
      this.a = seed | 0; this.b = stream | 0; this.c = GOLDEN | 0; this.counter = 1;
      for (let i = 0; i < DISCARDED; i++) { this.next(); }
    }
    next() {
      const drawn = (this.a + this.b + this.counter) | 0;
      const rotated = (this.c << 21) | (this.c >>> 11);
      this.a = this.b ^ (this.b >>> 9);
      this.b = (this.c + (this.c << 3)) | 0;
      this.c = (rotated + drawn) | 0;
      this.counter = (this.counter + 1) | 0;
      return drawn >>> 0;
    }
    exponential() { return minusLn((this.next() + 1) / WORD); }
  }

  /* -ln(x) of 0 < x <= 1, by basic arithmetic. */
  function minusLn(x) {
    let halvings = 0;
    while (x < ROOT_HALF) { x *= 2; halvings++; }
    const s = (1 - x) / (1 + x), square = s * s;
    let total = 0;
    for (let power = TERMS; power > 0; power -= 2) { total = total * square + 1 / power; }
    return halvings * LN_2 + 2 * s * total;
  }

  class Load {
    constructor(settings) {
      this.settings = settings;
      for (const [name, stream] of Object.entries(STREAMS)) {
        this[name] = new Sfc32(settings.seed, stream);
      }
      this.mean = 1e9 / settings.rate;
      this.at = 0;
      this.number = 0;
    }
    next() {
      const chosen = this.settings, random = chosen.service === "exponential";
      if (chosen.arrivals === "poisson") {
        this.at += whole(this.mean * this.gaps.exponential());
      } else {
        this.at = whole(this.mean * (this.number + 1));
      }
      const slow = this.slow.next() < chosen.slow * WORD;
      const moreCpu = slow ? chosen.slow_cpu_us : 0, moreIo = slow ? chosen.slow_io_us : 0;
      return {
        number: this.number++, arrived: this.at,
        cpu: whole(chosen.cpu_us * 1000 * (random ? this.cpu.exponential() : 1)) + whole(moreCpu * 1000),
        io: whole(chosen.io_us * 1000 * (random ? this.io.exponential() : 1)) + whole(moreIo * 1000),
        slow: slow, left: 0, begun: 0, worker: -1,
      };
    }
  }

  class Patience {
    constructor(patience) { this.patience = patience; this.mean = 0; this.deviation = 0; }
    isOver(waited) {
      const expected = Math.min(
        this.mean + Math.max(UNSEEN_NS, 4 * this.deviation), this.patience / 2);
      return waited + expected > this.patience;
    }
    learn(taken) {
      this.deviation += (Math.abs(taken - this.mean) - this.deviation) / 4;
      this.mean += (taken - this.mean) / 8;
    }
  }

  /* A first-in-first-out queue from which the newest may be taken as well. */
  class Deque {
    constructor() { this.items = []; this.head = 0; }
    get length() { return this.items.length - this.head; }
    push(item) { this.items.push(item); }
    pop() {
      const item = this.items.pop();
      if (this.head >= this.items.length) { this.items.length = 0; this.head = 0; }
      return item;
    }
    shift() {
      const item = this.items[this.head];
      this.items[this.head++] = null;
      if (this.head > 1024 && this.head * 2 > this.items.length) {
        this.items = this.items.slice(this.head);
        this.head = 0;
      }
      return item;
    }
    at(index) { return this.items[this.head + index]; }
  }

  /* What is due, the earliest first; of those due at once, the one that was put in first. */
  class Due {
    constructor() { this.heap = []; this.number = 0; }
    static before(a, b) { return a.at < b.at || (a.at === b.at && a.order < b.order); }
    push(at, kind, request) {
      const heap = this.heap, item = { at: at, order: this.number++, kind: kind, request: request };
      let place = heap.length;
      while (place > 0) {
        const parent = (place - 1) >> 1;
        if (!Due.before(item, heap[parent])) { break; }
        heap[place] = heap[parent];
        place = parent;
      }
      heap[place] = item;
    }
    get first() { return this.heap[0]; }
    pop() {
      const heap = this.heap, first = heap[0], item = heap.pop();
      if (heap.length === 0) { return first; }
      let place = 0;
      for (;;) {
        let child = 2 * place + 1;
        if (child >= heap.length) { break; }
        if (child + 1 < heap.length && Due.before(heap[child + 1], heap[child])) { child++; }
        if (!Due.before(heap[child], item)) { break; }
        heap[place] = heap[child];
        place = child;
      }
      heap[place] = item;
      return first;
    }
  }

  /* One architecture under a load. `noted(at, kind, request)` hears of everything that happens:
     arrive, reject, queue, drop, start, run, wait, answer. */
  class Server {
    constructor(settings, architecture, noted) {
      const loop = architecture === "event-loop";
      this.settings = settings;
      this.architecture = architecture;
      this.noted = noted;
      this.cores = loop ? 1 : settings.cores;
      this.slice = loop ? 0 : whole(settings.slice_us * 1000);
      this.thread = architecture === "thread-per-request" ? whole(settings.thread_us * 1000) : 0;
      this.now = 0;
      this.halted = false;
      this.busy = 0;
      this.due = new Due();
      this.ready = new Deque();
      this.queue = new Deque();
      this.idle = [];
      for (let worker = settings.workers - 1; worker >= 0; worker--) { this.idle.push(worker); }
      this.patience = new Patience(settings.patience_ms * 1e6);
      this.load = new Load(settings);
      this.nextArrival();
    }
    /* On, up to and with that moment, or until so many events have happened. True: all of it. */
    run(until, most) {
      while (this.due.first.at <= until) {
        if (this.halted || most-- <= 0) { return false; }
        const item = this.due.pop();
        this.now = item.at;
        if (item.kind === "arrive") { this.arrive(item.request); }
        else if (item.kind === "slice") { this.sliceEnds(item.request); }
        else { this.finish(item.request); }
      }
      return true;
    }
    note(kind, request) { this.noted(this.now, kind, request); }
    nextArrival() {
      const request = this.load.next();
      this.due.push(request.arrived, "arrive", request);
    }
    arrive(request) {
      this.nextArrival();
      this.note("arrive", request);
      if (this.architecture !== "thread-pool") {
        this.start(request);
      } else if (this.idle.length > 0) {
        request.worker = this.idle.pop();
        this.start(request);
      } else if (this.settings.queue && this.queue.length >= this.settings.queue) {
        this.note("reject", request);
      } else {
        this.queue.push(request);
        this.note("queue", request);
      }
    }
    start(request) {
      this.note("start", request);
      request.begun = this.now;
      request.left = request.cpu + this.thread;
      if (request.left === 0) {
        this.wait(request);
      } else if (this.busy < this.cores) {
        this.busy++;
        this.runOnCore(request);
      } else {
        this.ready.push(request);
      }
    }
    runOnCore(request) {
      this.note("run", request);
      this.sliceBegins(request);
    }
    sliceBegins(request) {
      const piece = this.slice ? Math.min(request.left, this.slice) : request.left;
      request.left -= piece;
      this.due.push(this.now + piece, "slice", request);
    }
    sliceEnds(request) {
      if (request.left > 0 && this.ready.length === 0) {
        this.sliceBegins(request);
        return;
      }
      if (request.left > 0) {
        this.note("ready", request);
        this.ready.push(request);
      }
      if (this.ready.length > 0) { this.runOnCore(this.ready.shift()); } else { this.busy--; }
      if (request.left === 0) {
        if (request.io > 0) { this.wait(request); } else { this.finish(request); }
      }
    }
    wait(request) {
      if (request.io > 0) { this.note("wait", request); }
      this.due.push(this.now + request.io, "io", request);
    }
    finish(request) {
      this.note("answer", request);
      if (this.architecture === "thread-pool") {
        this.patience.learn(this.now - request.begun);
        this.nextFor(request.worker);
      }
    }
    nextFor(worker) {
      while (this.queue.length > 0) {
        const request = this.settings.policy === "lifo" ? this.queue.pop() : this.queue.shift();
        if (this.settings.policy === "drop-expired" &&
            this.patience.isOver(this.now - request.arrived)) {
          this.note("drop", request);
          continue;
        }
        request.worker = worker;
        this.start(request);
        return;
      }
      this.idle.push(worker);
    }
  }

  /* Every event of the first seconds, as rows of time (ns), kind, request and worker. */
  function simulate(settings, architecture, untilS) {
    const events = [];
    const server = new Server(settings, architecture, function (at, kind, request) {
      events.push([at, kind, request.number, request.worker]);
    });
    server.run(whole(untilS * 1e9), Infinity);
    return events;
  }

  /* The share of requests that wait in M/M/c; `offered`: rate times mean service, below `servers`. */
  function erlangC(servers, offered) {
    let blocked = 1;
    for (let n = 1; n <= servers; n++) { blocked = offered * blocked / (n + offered * blocked); }
    return blocked / (1 - offered / servers * (1 - blocked));
  }

  return { Server: Server, simulate: simulate, erlangC: erlangC, minusLn: minusLn };
})();
