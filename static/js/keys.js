// Keyboard: "/" search, j and k move over rows ([data-row], with a link inside), Enter opens, "?" lists the keys,
// any other single key presses the visible element that declares it: <button data-hotkey="a">.
(() => {
  let current = null;
  const typing = (target) => target.closest("input, textarea, select, [contenteditable], .modal.show");
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
