// What goes on, asked for again and put in place without a reload; where there is no script, the page reloads itself.
"use strict";
(() => {
  const place = document.getElementById("live");
  const refresh = async () => {
    const held = place.contains(document.activeElement) || String(getSelection()) !== "";
    if (document.hidden || held) {
      return;
    }
    const answer = await fetch(place.dataset.src, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (found !== null) {
      place.replaceChildren(...found.childNodes);
    }
  };
  const again = async () => {
    const state = document.getElementById("live-state");
    try {
      await refresh();
      state.textContent = "";
    } catch {
      state.textContent = "The console does not answer, or you are signed out: what is shown may be old.";
    }
    setTimeout(again, 2000);
  };
  setTimeout(again, 2000);
})();
