// data-confirm="What will happen?" on a button or link asks first; data-confirm-verb names the button that does it.
(() => {
  let release = null;
  const ask = (element, proceed) => {
    const dialog = document.getElementById("confirm");
    const go = dialog.querySelector("[data-confirm-go]");
    dialog.querySelector("[data-confirm-text]").textContent = element.dataset.confirm;
    go.textContent = element.dataset.confirmVerb || element.textContent.trim() || "Continue";
    dialog.querySelector("#confirm-title").textContent = `${go.textContent}?`;
    release = proceed;
    bootstrap.Modal.getOrCreateInstance(dialog).show();
    dialog.addEventListener("shown.bs.modal", () => go.focus(), { once: true });
    dialog.addEventListener("hidden.bs.modal", () => element.focus(), { once: true });
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-confirm-go]") && release) {
      const proceed = release;
      release = null;
      bootstrap.Modal.getInstance(document.getElementById("confirm")).hide();
      proceed();
      return;
    }
    const element = event.target.closest("[data-confirm]");
    if (!element || element.dataset.confirmed) return;
    event.preventDefault();
    event.stopPropagation();
    ask(element, () => {
      element.dataset.confirmed = "1";
      element.click();
      delete element.dataset.confirmed;
    });
  }, true);
})();
