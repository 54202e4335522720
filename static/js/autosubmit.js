// A filter's choice takes effect at once; the button remains for keyboards and for pages without scripts.
document.addEventListener("change", (event) => {
  const choice = event.target.closest("[data-autosubmit]");
  if (choice && choice.form) choice.form.requestSubmit();
});
