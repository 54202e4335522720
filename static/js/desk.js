// The incident desk as an app: a countdown by the second, the badge with what nobody has, a tone (off unless turned on),
// @names completed while a comment is written, "offline" said at once, and the service worker that shows it.
(() => {
  const store = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private windows keep nothing */ } },
  };

  // -- countdown: minutes and seconds in the last two hours, when they matter
  const tick = () => {
    for (const element of document.querySelectorAll("[data-countdown]")) {
      const left = Math.floor((Date.parse(element.dataset.countdown) - window.tower.now()) / 1000);
      const near = left > 0 && left < 7200;
      const two = (n) => String(n).padStart(2, "0");
      const words = near ? `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}` : "";
      if (element.textContent !== words) element.textContent = words;
    }
  };
  setInterval(tick, 1000);

  // -- badge and tone: both follow what the inbox says when it polls
  let alarm = null;
  const sounding = () => store.get("desk-sound") === "on";
  const tone = () => {
    const Context = window.AudioContext || window.webkitAudioContext;
    if (!Context) return;
    const context = new Context();
    const [voice, volume] = [context.createOscillator(), context.createGain()];
    voice.frequency.value = 660;
    volume.gain.setValueAtTime(0.15, context.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + 0.6);
    voice.connect(volume).connect(context.destination);
    voice.start();
    voice.stop(context.currentTime + 0.6);
    voice.onended = () => context.close();
  };
  const follow = () => {
    const head = document.querySelector("[data-open-count]");
    if (!head) return;
    const open = Number(head.dataset.openCount);
    if (navigator.setAppBadge) (open ? navigator.setAppBadge(open) : navigator.clearAppBadge()).catch(() => {});
    const now = Number(head.dataset.alarm);
    if (alarm !== null && now > alarm && sounding()) tone();
    alarm = now;
    const title = document.title.replace(/^\(\d+\) /, "");
    document.title = open ? `(${open}) ${title}` : title;
  };
  const saySound = () => {
    const button = document.querySelector("[data-sound]");
    if (!button) return;
    button.setAttribute("aria-pressed", String(sounding()));
    button.querySelector("use")?.setAttribute("href", sounding() ? "#i-bell" : "#i-bell-off");
    const words = button.querySelector("[data-sound-words]");
    if (words) words.textContent = sounding() ? "Sound on" : "Sound off";
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-sound]")) return;
    store.set("desk-sound", sounding() ? "off" : "on");
    saySound();
    if (sounding()) tone();
  });

  // -- @names: Tab or Enter takes the first that fits
  const candidates = (area) => {
    const before = area.value.slice(0, area.selectionStart).match(/(?:^|\s)@([\w.+-]*)$/);
    if (!before) return null;
    const found = area.dataset.mentions.split(" ").filter((name) => name.toLowerCase().startsWith(before[1].toLowerCase()));
    return { typed: before[1], found: found.slice(0, 6) };
  };
  const list = (area) => {
    let box = area.parentElement.querySelector(".mention-list");
    if (!box) {
      box = document.createElement("div");
      box.className = "mention-list";
      box.setAttribute("role", "status");
      box.setAttribute("data-keep", "");
      area.after(box);
    }
    return box;
  };
  const take = (area, name) => {
    const { typed } = candidates(area);
    const at = area.selectionStart;
    area.setRangeText(`${name.slice(0)} `, at - typed.length, at, "end");
    list(area).replaceChildren();
    area.focus();
  };
  document.addEventListener("input", (event) => {
    const area = event.target.closest?.("[data-mentions]");
    if (!area) return;
    const asked = candidates(area);
    list(area).replaceChildren(...(asked ? asked.found : []).map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "chip";
      button.textContent = `@${name}`;
      button.addEventListener("click", () => take(area, name));
      return button;
    }));
  });
  document.addEventListener("keydown", (event) => {
    const area = event.target.closest?.("[data-mentions]");
    if (!area || (event.key !== "Tab" && event.key !== "Enter") || event.shiftKey) return;
    const asked = candidates(area);
    if (!asked || !asked.typed || !asked.found.length || asked.found[0] === asked.typed) return;
    event.preventDefault();
    take(area, asked.found[0]);
  });

  // -- a link to "#open-resolve" opens what it names
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const fold = target && target.closest?.("details");
    if (fold) fold.open = true;
    if (target && target.tagName === "SUMMARY") target.focus();
  };
  window.addEventListener("hashchange", unfold);

  // -- offline is said at once, not after the next poll fails
  const connected = () => {
    const banner = document.getElementById("connection");
    if (banner && !navigator.onLine) banner.hidden = false;
    if (banner && navigator.onLine) banner.querySelector("[data-poll-now]")?.click();
  };
  window.addEventListener("offline", connected);
  window.addEventListener("online", connected);

  let install = null;
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    install = event;
    for (const one of document.querySelectorAll("[data-install]")) one.hidden = false;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-install]")) install?.prompt();
  });

  document.addEventListener("DOMContentLoaded", () => { tick(); follow(); saySound(); unfold(); });
  document.addEventListener("htmx:afterSwap", () => { tick(); follow(); });
  window.addEventListener("load", () => {
    if ("serviceWorker" in navigator && window.isSecureContext) navigator.serviceWorker.register("/sw.js").catch(() => {});
  });
})();
