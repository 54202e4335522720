// The mapping editor: line numbers, marks for lines that are wrong, indenting, inserting what is picked, and a request
// for a new preview while typing. [data-mapping] is the form; htmx asks for the preview on its event "preview".
(() => {
  const form = document.querySelector("[data-mapping]");
  if (!form) return;
  const code = form.querySelector("[data-code]");
  const gutter = form.querySelector("[data-gutter]");
  const started = code.value;
  let leaving = false;
  let saved = false;

  const marks = () => {
    const found = new Map();
    for (const one of form.querySelectorAll("[data-trouble]")) found.set(Number(one.dataset.line), "mild" in one.dataset ? "odd" : "bad");
    return found;
  };
  const number = () => {
    const wrong = marks();
    const lines = code.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: lines }, (_, at) => {
      const line = document.createElement("span");
      line.textContent = `${at + 1}\n`;
      if (wrong.has(at + 1)) line.className = `line-${wrong.get(at + 1)}`;
      return line;
    }));
    gutter.scrollTop = code.scrollTop;
  };
  const ask = () => htmx.trigger(form, "preview");
  const put = (text, from = code.selectionStart, to = code.selectionEnd) => {
    code.focus();
    code.setSelectionRange(from, to);
    // keeps the browser's own undo
    if (!document.execCommand("insertText", false, text)) code.setRangeText(text, from, to, "end");
  };
  const lineStart = (at) => code.value.lastIndexOf("\n", at - 1) + 1;

  const indent = (back) => {
    const { selectionStart: from, selectionEnd: to } = code;
    const start = lineStart(from);
    if (!back && from === to) return put("  ");
    const block = code.value.slice(start, to);
    const changed = block.split("\n").map((line) => (back ? line.replace(/^ {1,2}/, "") : `  ${line}`)).join("\n");
    put(changed, start, to);
    code.setSelectionRange(from === to ? start + changed.length : start, start + changed.length);
  };
  const goTo = (line, column) => {
    let at = 0;
    for (let n = 1; n < line; n += 1) at = code.value.indexOf("\n", at) + 1 || at;
    const end = code.value.indexOf("\n", at);
    code.focus();
    code.setSelectionRange(at + column - 1, end < 0 ? code.value.length : end);
    const height = parseFloat(getComputedStyle(code).lineHeight);
    code.scrollTop = Math.max(0, (line - 4) * height);
    code.scrollIntoView({ block: "nearest" });
  };
  const insertable = (text) => {
    const quoted = /[[\]*'"#:{}]|\s/.test(text) ? `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"` : text;
    const before = code.value.slice(0, code.selectionStart);
    const inQuotes = (before.slice(lineStart(before.length)).match(/"/g) || []).length % 2 === 1;
    return inQuotes ? text : quoted;
  };

  code.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { leaving = true; return; }
    if (event.key === "Tab" && !leaving && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      indent(event.shiftKey);
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.querySelector("[data-try]")?.click();
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      const line = code.value.slice(lineStart(code.selectionStart), code.selectionStart);
      put(`\n${" ".repeat(line.match(/^ *(?:- )*/)[0].length)}${/:\s*$/.test(line) ? "  " : ""}`);
    }
    if (event.key !== "Tab") leaving = false;
  });
  code.addEventListener("blur", () => { leaving = false; });
  code.addEventListener("scroll", () => { gutter.scrollTop = code.scrollTop; });
  form.addEventListener("input", (event) => {
    if (event.target === code) number();
    if (event.target.matches("[data-code], [data-sample]")) ask();
  });
  document.addEventListener("click", (event) => {
    const pick = event.target.closest("[data-insert]");
    if (pick) put(insertable(pick.dataset.insert));
    const place = event.target.closest("[data-goto]");
    if (place) goTo(...place.dataset.goto.split(":").map(Number));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.querySelector("[data-save]")?.click();
    }
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "events") number();
    if (event.detail.target.id === "sample") ask();
  });
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (event.detail.xhr.getResponseHeader("HX-Redirect")) saved = true;
  });
  addEventListener("beforeunload", (event) => { if (!saved && code.value !== started) event.preventDefault(); });
  number();
})();
