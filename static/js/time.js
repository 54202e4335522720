// Keeps <time data-rel> words true ("in 42 min", "3 h late"). Says the same as apps/core/wording.py.
(() => {
  window.tower = window.tower || {};
  const duration = (given) => {
    const seconds = Math.floor(Math.abs(given));
    if (seconds < 60) return `${seconds} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    if (hours < 3) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
    return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
  };
  window.tower.duration = duration;
  const serverNow = Date.parse(document.querySelector('meta[name="tower-now"]')?.content || "");
  const offset = Number.isNaN(serverNow) ? 0 : serverNow - Date.now();
  window.tower.now = () => Date.now() + offset;

  const refresh = () => {
    if (document.visibilityState !== "visible") return;
    for (const element of document.querySelectorAll("time[data-rel]")) {
      const span = (Date.parse(element.dateTime) - window.tower.now()) / 1000;
      const words = Math.abs(span) < 1 ? "now" : span > 0 ? `in ${duration(span)}` : `${duration(span)} ${element.dataset.rel}`;
      const text = element.firstChild;
      if (text && text.nodeType === 3 && text.nodeValue !== words) text.nodeValue = words;
    }
    const clock = document.querySelector("[data-clock]");
    if (clock) {
      const format = { hour: "2-digit", minute: "2-digit", timeZone: clock.dataset.clock, hourCycle: "h23" };
      clock.textContent = new Intl.DateTimeFormat("en-GB", format).format(window.tower.now());
    }
  };
  setInterval(refresh, 5000);
  document.addEventListener("DOMContentLoaded", refresh);
  document.addEventListener("visibilitychange", refresh);
  document.addEventListener("htmx:afterSwap", refresh);
})();
