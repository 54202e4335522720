// The schedule editor: undo for every step, the focus where the next step is, and a warning before unsaved work is left.
// [data-schedule] is the form; its buttons ask the server for the changed form, so a step back is the form of before.
(() => {
  const form = document.querySelector("[data-schedule]");
  if (!form) return;
  const undo = form.querySelector("[data-undo]");
  const text = () => {
    const data = new FormData(form);
    ["base", "note"].forEach((name) => data.delete(name));
    return new URLSearchParams(data).toString();
  };
  const past = [];
  let current = text();
  const started = current;
  let stepping = false;
  let saved = false;

  const remember = () => {
    const next = text();
    if (next === current) return;
    if (!stepping) past.push(current);
    if (past.length > 100) past.shift();
    current = next;
    undo.disabled = past.length === 0;
  };
  const back = () => {
    remember();
    if (!past.length) return;
    const values = new FormData(form);
    const kept = { base: values.get("base"), note: values.get("note") };
    for (const [name, value] of new URLSearchParams(past.pop())) kept[name] = value;
    stepping = true;
    htmx.ajax("POST", form.dataset.draft, { target: "#editor", swap: "innerHTML", values: kept });
  };

  form.addEventListener("change", remember);
  undo.addEventListener("click", back);
  document.addEventListener("htmx:configRequest", (event) => {
    // what was typed and not left yet is a step of its own; a step back sends the former form and nothing of this one
    if (!stepping && form.contains(event.target)) remember();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "editor") {
      const told = form.querySelector("[data-said]");
      remember();
      stepping = false;
      undo.disabled = past.length === 0;
      document.getElementById("said").textContent = told?.dataset.said || "";
      document.getElementById(told?.dataset.focus || "")?.focus();
    }
    if (event.detail.target.id === "preview") {
      const bad = new Set([...form.querySelectorAll("[data-jump]")].map((one) => one.dataset.jump));
      for (const field of form.querySelectorAll("input[id], select[id]")) {
        if (bad.has(field.id)) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
      }
      form.querySelector("[data-sure]")?.focus({ preventScroll: true });
    }
  });
  form.addEventListener("click", (event) => {
    const jump = event.target.closest("[data-jump]");
    const field = jump && document.getElementById(jump.dataset.jump);
    if (!field) return;
    event.preventDefault();
    field.closest("details")?.setAttribute("open", "");
    field.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey)) return;
    if (event.key === "s") {
      event.preventDefault();
      form.querySelector("[data-save]").click();
    } else if (event.key === "z" && !event.shiftKey && !event.target.matches("input[type=text], input[type=date], input[type=time]")) {
      event.preventDefault();
      back();
    }
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (event.detail.xhr.getResponseHeader("HX-Redirect")) saved = true;
  });
  addEventListener("beforeunload", (event) => { if (!saved && text() !== started) event.preventDefault(); });
})();
