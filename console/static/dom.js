// What scripts of the console share. Nothing here is needed to use a page.

// The one policy of Trusted Types that the CSP allows: markup comes from this
// server's own pages alone, and the one script that is named by address is the
// service worker.
const policy = globalThis.trustedTypes?.createPolicy('kinward', {
  createHTML: (markup) => markup,
  createScriptURL: (url) => {
    if (url !== '/sw.js') throw new TypeError(`not a script of the console: ${url}`);
    return url;
  },
}) ?? { createHTML: (markup) => markup, createScriptURL: (url) => url };

// worker is the address of the service worker, as register wants it.
export const worker = () => policy.createScriptURL('/sw.js');

// part asks this server for a page and returns its element with that id; null
// where there is none (any more), or where somebody must sign in again.
export async function part(path, id) {
  const url = new URL(path, location.href);
  if (url.origin !== location.origin) throw new TypeError(`not this server: ${url}`);
  const answer = await fetch(url, { headers: { Accept: 'text/html' }, redirect: 'error', cache: 'no-store' });
  if (!answer.ok) return null;
  const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), 'text/html');
  return page.getElementById(id);
}

// served remembers an element as the server sent it: scripts and people change it
// (what is open, what is copied), and that is nothing new from the server.
const sent = new WeakMap();
export const served = (element) => { sent.set(element, element.outerHTML); };

// swap replaces an element that has an id by what the server shows for it now.
// Where the focus is in it, the focus stays at the element with the same id;
// where somebody is writing in it, or has it open, it is left as it is.
export async function swap(old, path = location.href) {
  const now = document.activeElement;
  const inside = old.contains(now) ? now : null;
  if (inside?.matches('input, textarea, select') || old.querySelector('details.ask[open]')) return old;
  const fresh = await part(path, old.id);
  if (!fresh || !old.isConnected) return old;
  const taken = document.adoptNode(fresh);
  if (taken.isEqualNode(old) || taken.outerHTML === sent.get(old)) return old;
  served(taken);
  for (const open of old.querySelectorAll('details[open][id]')) {
    taken.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute('open', '');
  }
  old.replaceWith(taken);
  if (inside?.id) document.getElementById(inside.id)?.focus({ preventScroll: true });
  return taken;
}
