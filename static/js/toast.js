// One sentence after a verb: from the server (HX-Trigger: {"toast": {"text": .., "level": ..}}) or after a failed request.
(() => {
  const show = (text, level = "done") => {
    const place = document.getElementById("toasts");
    const model = document.getElementById("toast-template");
    if (!place || !model) return;
    const card = model.content.firstElementChild.cloneNode(true);
    card.classList.add(`s-${level}`);
    card.querySelector("use").setAttribute("href", `#s-${level}`);
    card.querySelector("[data-text]").textContent = text;
    place.append(card);
    if (level !== "late") setTimeout(() => card.remove(), 6000);
  };
  window.tower = window.tower || {};
  window.tower.toast = show;
  document.addEventListener("click", (event) => event.target.closest("[data-toast-close]")?.closest(".toast-card").remove());
  document.addEventListener("toast", (event) => show(event.detail.text, event.detail.level));
  const quiet = (event) => event.detail.elt?.dataset?.poll !== undefined && event.detail.requestConfig?.verb === "get";
  document.addEventListener("htmx:sendError", (event) => {
    if (!quiet(event)) show("The tower cannot be reached. Nothing was changed. Check your connection and try again.", "late");
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (quiet(event)) return;
    const { status } = event.detail.xhr;
    if (status === 401) return;
    const words = {
      403: "You may not do this. Ask an administrator for the role it needs.",
      404: "This is no longer here. Reload the page.",
      409: "Someone else changed this meanwhile. Reload the page and look again.",
      429: "Too many requests. Wait a minute and try again.",
      503: "The tower is busy. Nothing was changed. Try again in a minute.",
    };
    show(words[status] || `That did not work (error ${status}). Nothing was changed. Try again, or tell an administrator.`, "late");
  });
  for (const card of document.querySelectorAll(".toast-card[data-passing]")) setTimeout(() => card.remove(), 8000);
})();
