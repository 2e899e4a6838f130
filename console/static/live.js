// Keeps what an element shows as new as the server knows it: an event stream says
// that something may have changed, and the element is asked for again.

import { served, swap } from './dom.js';

const elements = new Set();
let stream = null;
let busy = null;
let again = false;
let later = 0;

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

// What changed while nobody told this page, since it was made or since the stream
// broke off, shows when the stream is open. The browser connects again by itself,
// but not after an answer that is no stream, as a proxy gives whose server is away.
function open() {
  if (stream || document.hidden) return;
  stream = new EventSource('/live');
  stream.addEventListener('open', refresh);
  stream.addEventListener('change', refresh);
  stream.addEventListener('end', close); // the session ended, or other pages took its place
  stream.addEventListener('error', () => {
    if (stream?.readyState !== EventSource.CLOSED) return;
    stream = null;
    later ||= setTimeout(() => { later = 0; open(); }, 15000);
  });
}

function close() {
  clearTimeout(later);
  later = 0;
  stream?.close();
  stream = null;
}

// A page that nobody sees needs no stream; one that is seen again may be old.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) close();
  else open();
});
addEventListener('pagehide', close);
addEventListener('pageshow', ({ persisted }) => { if (persisted) open(); });

export default function (element) {
  elements.add(element);
  served(element);
  open();
}
