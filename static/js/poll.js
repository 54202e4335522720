// Refreshes [data-poll="seconds"] elements while the tab is visible. Sends the last ETag; 304 changes nothing.
// When the tower cannot be reached the element is marked stale and the page says since when; it tries again more slowly.
(() => {
  const state = new WeakMap();
  const MAX_FACTOR = 8;
  let lastHeard = Date.now();
  let lost = false;

  const of = (element) => {
    if (!state.has(element)) state.set(element, { due: Date.now() + period(element), etag: "", busy: false, factor: 1 });
    return state.get(element);
  };
  const period = (element) => Math.max(1, Number(element.dataset.poll) || 15) * 1000;
  const polled = (event) => event.detail.elt?.dataset?.poll !== undefined && event.detail.elt;

  const tick = () => {
    if (document.visibilityState !== "visible") return;
    const now = Date.now();
    for (const element of document.querySelectorAll("[data-poll]")) {
      const entry = of(element);
      if (entry.busy || now < entry.due || element.closest("[data-poll-hold]") || element.querySelector(".dropdown-menu.show")) continue;
      entry.busy = true;
      entry.due = now + period(element) * entry.factor;
      htmx.trigger(element, "poll");
    }
    say();
  };

  const say = () => {
    const shown = document.querySelector("[data-freshness]");
    if (!shown || !document.querySelector("main [data-poll]")) return;
    const seconds = Math.round((Date.now() - lastHeard) / 1000);
    const words = seconds < 2 ? "just now" : `${window.tower.duration(seconds)} ago`;
    shown.textContent = lost ? `last heard ${words}` : `updated ${words}`;
    shown.classList.toggle("is-lost", lost);
  };

  const mark = (now) => {
    if (lost === now) return;
    lost = now;
    const banner = document.getElementById("connection");
    if (banner) banner.hidden = !lost;
    for (const element of document.querySelectorAll("main [data-poll]")) element.classList.toggle("is-stale", lost);
    say();
  };

  document.addEventListener("htmx:configRequest", (event) => {
    const element = polled(event);
    if (!element || event.detail.verb !== "get") return;
    const { etag } = of(element);
    if (etag) event.detail.headers["If-None-Match"] = etag;
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const element = polled(event);
    if (!element || event.detail.requestConfig?.verb !== "get") return;
    const entry = of(element);
    const { xhr } = event.detail;
    entry.busy = false;
    if (xhr && (xhr.status === 200 || xhr.status === 304 || xhr.status === 204)) {
      entry.factor = 1;
      entry.etag = xhr.getResponseHeader("ETag") || entry.etag;
      lastHeard = Date.now();
      mark(false);
    } else {
      entry.factor = Math.min(entry.factor * 2, MAX_FACTOR);
      entry.due = Date.now() + Math.min(period(element) * entry.factor, 120000);
      mark(true);
    }
    if (xhr && xhr.status === 286) element.removeAttribute("data-poll");
  });

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    for (const element of document.querySelectorAll("[data-poll]")) of(element).due = 0;
    tick();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-poll-now]")) return;
    for (const element of document.querySelectorAll("[data-poll]")) of(element).due = 0;
    tick();
  });
  // after a verb on the page, what it polls is asked at once
  document.addEventListener("htmx:afterRequest", (event) => {
    const verb = event.detail.requestConfig?.verb;
    if (!verb || verb === "get" || !event.detail.successful) return;
    for (const element of document.querySelectorAll("[data-poll]")) of(element).due = 0;
  });
  setInterval(tick, 1000);
  document.addEventListener("DOMContentLoaded", tick);
})();
