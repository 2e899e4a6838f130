// Progressive enhancement alone: every page works without it.

// An element with data-script="NAME" is handed to the module NAME.js here.
for (const element of document.querySelectorAll('[data-script]')) {
  const name = element.dataset.script;
  if (/^[a-z]+$/.test(name)) import(`/static/${name}.js`).then((module) => module.default(element));
}

// Of tabs that a phone has no room for, the one where the visitor is can be seen.
for (const here of document.querySelectorAll('.tabs [aria-current]')) {
  const tabs = here.parentElement;
  tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2;
}

// After a refused form a visitor goes on at the field that was wrong, not on top.
document.querySelector('main [aria-invalid=true]')?.focus();

// A form is sent once, however often its button is pressed; but one that saves a
// file (data-again) leaves its page as it is.
document.addEventListener('submit', ({ target, submitter }) => {
  if (target.method !== 'post' || 'again' in target.dataset) return;
  setTimeout(() => {
    for (const button of target.querySelectorAll('button')) button.disabled = true;
    submitter?.setAttribute('aria-busy', 'true');
  });
});
// A page that the browser kept may be used again.
addEventListener('pageshow', () => {
  for (const button of document.querySelectorAll('button[aria-busy]')) {
    button.removeAttribute('aria-busy');
    for (const one of button.form?.querySelectorAll('button') ?? []) one.disabled = false;
  }
});

// data-copy="ID" puts the text of that element into the clipboard.
document.addEventListener('click', async ({ target }) => {
  const button = target.closest?.('button[data-copy]');
  if (!button || !navigator.clipboard) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
  const said = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = said; }, 2000);
});
