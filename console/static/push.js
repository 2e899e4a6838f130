// Subscribes this browser to notes, with the form on the page of alerts, and ends
// that again. The subscription is the browser's; the form sends it like any other
// way of hearing from Kinward.
import { worker } from '/static/dom.js';

const bytes = (base64) => Uint8Array.from(atob(base64.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));

export default async function (form) {
  const said = form.querySelector('[role="status"]');
  const button = form.querySelector('button');
  if (!('serviceWorker' in navigator) || !('PushManager' in window) || !window.isSecureContext) return;
  const registration = await navigator.serviceWorker.register(worker(), { scope: '/' });
  const before = await registration.pushManager.getSubscription();
  said.textContent = '';
  button.hidden = false;
  if (before && form.dataset.off) end(form, before, button);

  form.addEventListener('submit', async (event) => {
    if (form.elements.to.value) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    try {
      const key = bytes(form.dataset.key);
      let subscription = await registration.pushManager.getSubscription();
      if (subscription && !isFor(subscription, key)) {
        await subscription.unsubscribe();
        subscription = null;
      }
      subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
      form.elements.to.value = JSON.stringify(subscription);
      form.requestSubmit(button);
    } catch {
      said.textContent = form.dataset.denied;
    }
  });
}

// isFor tells whether a subscription is for the server's key. One for a key from
// before, as after a restore, is worth nothing: its notes would be refused.
function isFor(subscription, key) {
  const its = subscription.options?.applicationServerKey;
  return !its || `${new Uint8Array(its)}` === `${key}`;
}

// end offers to end the subscription. The server learns of it from the push
// service at its next note, and forgets the browser then.
function end(form, subscription, beside) {
  const off = document.createElement('button');
  off.type = 'button';
  off.textContent = form.dataset.off;
  off.addEventListener('click', async () => {
    await subscription.unsubscribe();
    off.remove();
  });
  beside.after(off);
}
