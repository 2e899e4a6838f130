// Keeps what an element shows as new as the server knows it: an event stream says
// that something may have changed, and the element is asked for again.

import { swap } from './dom.js';

const elements = new Set();
let stream = null;
let busy = null;
let again = false;

async function refresh() {
  if (busy) { again = true; return busy; }
  busy = (async () => {
    do {
      again = false;
      for (const old of [...elements]) {
        const fresh = await swap(old).catch(() => old); // the next change tries again
        if (fresh === old) continue;
        elements.delete(old);
        elements.add(fresh);
        const said = document.getElementById('live-said');
        if (said) said.textContent = `${said.dataset.text} ${new Date().toLocaleTimeString(document.documentElement.lang, { hour: '2-digit', minute: '2-digit' })}`;
      }
    } while (again);
    busy = null;
  })();
  return busy;
}

function open() {
  if (stream || document.hidden) return;
  stream = new EventSource('/live');
  stream.addEventListener('change', refresh);
  stream.addEventListener('end', close); // the session ended, or other pages took its place
}

function close() {
  stream?.close();
  stream = null;
}

// A page that nobody sees needs no stream; one that is seen again may be old.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return close();
  open();
  refresh();
});
addEventListener('pagehide', close);
addEventListener('pageshow', ({ persisted }) => { if (persisted) { open(); refresh(); } });

export default function (element) {
  elements.add(element);
  open();
}
