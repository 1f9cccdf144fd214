// The replay and the list of calls, side by side: the call at the player's time is marked, and a click on one goes there.
"use strict";
(() => {
  const box = document.getElementById("player");
  if (box === null || typeof AsciinemaPlayer === "undefined") {
    return;
  }
  const start = Number(box.dataset.start);
  const rows = [...document.querySelectorAll("tr[data-at]")]
    .map((row) => ({ row, at: Number(row.dataset.at) - start }))
    .sort((one, other) => one.at - other.at);
  const markers = rows
    .filter(({ row, at }) => at >= 0 && row.querySelector("[data-seek]") !== null)
    .map(({ row, at }) => [at, row.dataset.what]);
  const player = AsciinemaPlayer.create({ url: box.dataset.src }, box, {
    preload: true,
    autoPlay: box.dataset.play === "yes",
    fit: "width",
    markers,
  });
  const at = Number(box.dataset.at);
  if (at > 0) {
    player.seek(at); // it shows the terminal of that moment, and waits
  }
  const list = document.querySelector(".scroll");
  let marked = null;
  const mark = (time) => {
    const now = rows.findLast(({ at }) => at <= time + 0.001)?.row ?? null;
    if (now === marked) {
      return;
    }
    marked?.classList.remove("now");
    marked?.removeAttribute("aria-current");
    marked = now;
    if (now !== null) {
      now.classList.add("now");
      now.setAttribute("aria-current", "time");
      list.scrollTop += now.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 3;
    }
  };
  setInterval(async () => {
    const time = await player.getCurrentTime();
    if (Number.isFinite(time)) {
      mark(time);
    }
  }, 200);
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("[data-seek]") : null;
    if (link !== null && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      player.seek(Number(link.dataset.seek));
      mark(Number(link.dataset.seek));
    }
  });
})();
