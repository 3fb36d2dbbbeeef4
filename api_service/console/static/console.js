"use strict";
// Keeps an open page true: asks every few seconds whether anything changed, and if so fetches the
// page again and replaces the parts that differ. Without this script the page is the same, still.
(() => {
  const PULSE_MS = 3000, SLOWEST_MS = 30000;
  const body = document.body;
  let state = null, wait = PULSE_MS, timer = 0;

  const words = (seconds) => {
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
    if (seconds < 120) return `${seconds} s`;
    if (minutes < 120) return `${minutes} min`;
    if (hours < 48) return `${hours} h` + (minutes % 60 ? ` ${minutes % 60} min` : "");
    return `${Math.floor(hours / 24)} days`;
  };

  const countOn = () => {
    for (const one of document.querySelectorAll("time[data-ago]")) {
      const seconds = Math.max(0, Math.round((Date.now() - Date.parse(one.dateTime)) / 1000));
      const text = words(seconds);
      if (one.textContent !== text) one.textContent = text;
    }
  };

  const say = (text) => {
    const place = document.getElementById("pulse");
    if (place && place.textContent !== text) place.textContent = text;
  };

  // Where the focus is, so that it can be found again in the new part.
  const pathTo = (element, root) => {
    const steps = [];
    for (let one = element; one && one !== root; one = one.parentElement)
      steps.unshift([...one.parentElement.children].indexOf(one));
    return steps;
  };

  const isBeingFilledIn = (part) =>
    [...part.querySelectorAll("input, select, textarea")].some(
      (one) => one === document.activeElement ||
        (one.type === "radio" || one.type === "checkbox"
          ? one.checked !== one.defaultChecked
          : "defaultValue" in one && one.value !== one.defaultValue));

  const replacePart = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML || isBeingFilledIn(old)) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const path = focused && focused !== old ? pathTo(focused, old) : null;
    for (const one of old.querySelectorAll("details[open][id]")) {
      const same = fresh.querySelector(`#${CSS.escape(one.id)}`);
      if (same) same.open = true;
    }
    const scrolled = [...old.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    // The sentence stays the same element, so that a screen reader hears only what changed.
    const spoken = old.querySelector("#sentence"), next = fresh.querySelector("#sentence");
    if (spoken && next) {
      if (spoken.textContent !== next.textContent) spoken.textContent = next.textContent;
      next.replaceWith(spoken);
    }
    old.className = fresh.className;
    old.replaceChildren(...fresh.childNodes);
    [...old.querySelectorAll(".scroll")].forEach((one, i) => { one.scrollLeft = scrolled[i] || 0; });
    if (path) {
      let place = old;
      for (const step of path) place = place && place.children[step];
      if (place) place.focus({ preventScroll: true });
    }
  };

  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-cache" });
    if (!answer.ok) throw new Error(String(answer.status));
    if (answer.redirected) { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live][id]")) {
      const found = fresh.getElementById(old.id);
      if (found) replacePart(old, found);
    }
    document.title = fresh.title;
    countOn();
  };

  const beat = async () => {
    window.clearTimeout(timer);
    if (document.hidden) return;
    try {
      const headers = { Accept: "application/json" };
      if (state) headers["If-None-Match"] = `"${state}"`;
      const answer = await fetch(body.dataset.pulse, { headers, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
      if (answer.status === 200) {
        const fresh = (await answer.json()).state;
        // The first state is that of a moment after this page was made: look once.
        await refresh();
        state = fresh;
      } else if (answer.status !== 304) throw new Error(String(answer.status));
      wait = PULSE_MS;
      say("");
    } catch {
      wait = Math.min(wait * 2, SLOWEST_MS);
      say("No answer from the server; what is shown may be old. Trying again.");
    }
    timer = window.setTimeout(beat, wait);
  };

  if (body.hasAttribute("data-pulse")) {
    window.setInterval(countOn, 1000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) beat(); });
    timer = window.setTimeout(beat, PULSE_MS / 3);
  }
  for (const form of document.querySelectorAll(".filter"))
    for (const field of form.querySelectorAll("select"))
      field.addEventListener("change", () => form.requestSubmit());
})();
