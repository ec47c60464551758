"use strict";
(function () {
  const spoken = document.getElementById("sorted");
  function key(row, column) {
    const cell = row.cells[column];
    const given = cell.dataset.sort;
    return given === undefined ? cell.textContent.trim() : Number(given);
  }
  function order(a, b) {
    // Figures before words; what is missing goes last, whichever way.
    const numbers = typeof a === "number" && typeof b === "number";
    if (numbers) { return a - b; }
    if (typeof a === "number") { return -1; }
    if (typeof b === "number") { return 1; }
    return a.localeCompare(b, "en");
  }
  function sort(table, column) {
    const heads = Array.from(table.tHead.rows[0].cells);
    const head = heads[column];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) { other.removeAttribute("aria-sort"); }
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const sorted = Array.from(body.rows).map(function (row) { return [key(row, column), row]; });
    sorted.sort(function (a, b) {
      const mixed = typeof a[0] !== typeof b[0];
      return order(a[0], b[0]) * (down && !mixed ? -1 : 1);
    });
    for (const pair of sorted) { body.appendChild(pair[1]); }
    spoken.textContent = "Sorted by " + head.textContent.trim() + ", " +
      (down ? "descending" : "ascending");
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
      head.querySelector("button").addEventListener("click", function () { sort(table, column); });
    });
  }
  window.addEventListener("beforeprint", function () {
    for (const folded of document.querySelectorAll("details")) { folded.open = true; }
  });
})();
