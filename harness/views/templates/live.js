"use strict";
(function () {
  const now = document.getElementById("now");
  const lost = document.getElementById("lost");
  let number = Number(now.dataset.number);
  let last = now.dataset.last === "yes";
  let ask = "/first?";

  function drawn() {
    return new Promise(function (done) {
      if (document.hidden) { done(); return; }
      window.requestAnimationFrame(function () { window.setTimeout(done, 0); });
    });
  }

  /* To ask for what comes after a state is to say that it is drawn. */
  async function follow() {
    while (!last) {
      const answer = await fetch(ask + number, { cache: "no-store" });
      ask = "/after?";
      if (answer.status === 204) { continue; }
      if (!answer.ok) { throw new Error("answer " + answer.status); }
      const news = await answer.json();
      number = news.number;
      last = news.last;
      now.innerHTML = news.html;
      document.title = news.title;
      document.getElementById("told").textContent = news.told;
      await drawn();
    }
    fetch(ask + number).catch(function () { /* The server has ended, as it is to. */ });
  }

  follow().catch(function () {
    lost.textContent = "The page is not renewed any more: labrun has ended, or it was killed. " +
      "What stands here is the last that was told.";
    lost.hidden = false;
  });
})();
