// Keyboard: "/" search, "?" the list of keys, x ticks a row, j and k move over rows ([data-row], with a link inside), Enter opens, "?" lists the keys,
// any other single key presses the visible element that declares it: <button data-hotkey="a">.
(() => {
  let current = null;
  const typing = (target) => target.closest("input, textarea, select, [contenteditable], .modal.show, dialog[open]");
  const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.querySelector("[data-row].is-current") || current);
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    for (const row of all) row.classList.toggle("is-current", row === next);
    current = next;
    const link = next.querySelector("a[href]") || next;
    link.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  // "?" lists what this page knows: the general keys, and whatever its elements declare
  const help = () => {
    document.getElementById("keys-help")?.remove();
    const known = [["/", "Search"], ["?", "This list"]];
    if (rows().length) known.unshift(["j", "Next row"], ["k", "Row before"], ["Enter", "Open the row"]);
    if (document.querySelector("[data-choose-one]")) known.push(["x", "Tick the row"]);
    for (const one of document.querySelectorAll("[data-hotkey]")) {
      const words = (one.dataset.keyWords || one.textContent).replace(/#\d+/g, "").replace(/\s+/g, " ").trim();
      if (one.offsetParent !== null && !known.some(([key]) => key === one.dataset.hotkey)) known.push([one.dataset.hotkey, words]);
    }
    const dialog = document.createElement("dialog");
    dialog.id = "keys-help";
    dialog.className = "keys-help panel";
    dialog.setAttribute("aria-labelledby", "keys-title");
    const title = document.createElement("h2");
    title.id = "keys-title";
    title.textContent = "Keys";
    const list = document.createElement("dl");
    list.className = "facts";
    for (const [key, words] of known) {
      const term = document.createElement("dt");
      const cap = document.createElement("kbd");
      cap.textContent = key;
      term.append(cap);
      const meaning = document.createElement("dd");
      meaning.textContent = words;
      list.append(term, meaning);
    }
    const close = document.createElement("button");
    close.type = "button";
    close.className = "btn";
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.append(title, list, close);
    document.body.append(dialog);
    dialog.showModal();
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target.matches?.("[data-search]")) return event.target.blur();
    if (!event.target.closest || typing(event.target)) return;
    if (event.key === "/") {
      const box = document.querySelector("[data-search]");
      if (!box) return;
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    } else if (event.key === "x") {
      document.querySelector("[data-row].is-current [data-choose-one]")?.click();
    } else if (event.key === "Enter" && event.target === document.body) {
      document.querySelector("[data-row].is-current a[href]")?.click();
    } else if (event.key.length === 1) {
      const wanted = [...document.querySelectorAll(`[data-hotkey="${CSS.escape(event.key)}"]`)];
      const within = wanted.filter((one) => one.closest(".is-current"));
      const target = (within.length ? within : wanted).find((one) => one.offsetParent !== null && !one.disabled);
      if (target) {
        event.preventDefault();
        target.click();
      }
    }
  });
})();
