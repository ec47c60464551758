// The server's own charts below Locust's: one line each, the newest five minutes.
"use strict";
(() => {
  const CHARTS = [
    ["threads_active", "Threads alive", ""],
    ["threads_created_per_s", "Threads created", "a second"],
    ["queue_depth", "Queue depth", "connections"],
    ["context_switches_per_s", "Context switches", "a second"],
    ["rss_mib", "Resident memory", "MiB"],
  ];
  const WIDTH = 340, HEIGHT = 120, SVG = "http://www.w3.org/2000/svg";
  const section = document.createElement("section");
  section.id = "metricstream";
  section.setAttribute("aria-label", "The server's own figures");
  section.style.cssText =
    "background:#fff;color:#222;font:14px system-ui,sans-serif;padding:1rem 1.5rem;" +
    "display:flex;flex-wrap:wrap;gap:1.5rem;position:relative";
  const head = document.createElement("h2");
  head.textContent = "MetricStream: what the server says of itself";
  head.style.cssText = "flex-basis:100%;margin:0;font-size:1.1rem";
  section.append(head);
  document.body.append(section);

  const parts = CHARTS.map(([key, title, unit]) => {
    const figure = document.createElement("figure");
    figure.style.margin = "0";
    figure.dataset.figure = key;
    const caption = document.createElement("figcaption");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("width", WIDTH);
    svg.setAttribute("height", HEIGHT);
    svg.setAttribute("role", "img");
    const axis = document.createElementNS(SVG, "path");
    axis.setAttribute("d", `M0.5 0V${HEIGHT - 0.5}H${WIDTH}`);
    const line = document.createElementNS(SVG, "path");
    for (const [path, colour] of [[axis, "#999"], [line, "#005A9C"]]) {
      path.setAttribute("fill", "none");
      path.setAttribute("stroke", colour);
      path.setAttribute("stroke-width", path === line ? 2 : 1);
      svg.append(path);
    }
    figure.append(caption, svg);
    section.append(figure);
    return { key, title, unit, caption, svg, line, figure };
  });

  const written = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

  function draw(looks) {
    for (const part of parts) {
      const known = looks.filter((look) => look[part.key] !== null);
      part.figure.hidden = known.length === 0;
      if (known.length === 0) continue;
      const most = Math.max(1, ...known.map((look) => look[part.key]));
      const last = known[known.length - 1];
      const span = Math.max(30, last.t_s - known[0].t_s);
      const points = known.map((look) => {
        const x = WIDTH * (1 - (last.t_s - look.t_s) / span);
        const y = (HEIGHT - 4) * (1 - look[part.key] / most) + 2;
        return `${x.toFixed(1)} ${y.toFixed(1)}`;
      });
      part.line.setAttribute("d", "M" + points.join("L"));
      const now = `${part.title}: ${written(last[part.key])} ${part.unit}`.trim();
      part.caption.textContent = `${now} (most ${written(most)})`;
      part.svg.setAttribute("aria-label", part.caption.textContent);
    }
  }

  async function look() {
    try {
      const { looks, lost } = await (await fetch("/server/figures")).json();
      if (lost) head.textContent = `MetricStream: the server is gone. ${lost}`;
      draw(looks);
    } catch {
      head.textContent = "MetricStream: Locust is gone";
      return;
    }
    setTimeout(look, 1000);
  }
  look();
})();
