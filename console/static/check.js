// A check that waits asks every two seconds what was seen, without loading the page.
import { swap } from '/static/dom.js';

export default function (element) {
  let now = element;
  const look = async () => {
    if (!now.dataset.waits) return;
    if (!document.hidden) now = await swap(now).catch(() => now);
    if (now.dataset.waits) setTimeout(look, 2000);
    else location.reload(); // what stands beside it, once
  };
  setTimeout(look, 2000);
}
