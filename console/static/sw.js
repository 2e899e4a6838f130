// The service worker shows notes. It has no "fetch": every page comes from the
// server, and none is kept in the phone.
'use strict';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

// A note holds no name of a site, and none of what was tried: whoever sees the
// lock screen learns that there is something to read.
self.addEventListener('push', (event) => {
  let note = {};
  try {
    note = event.data?.json() ?? {};
  } catch {
    // a note that cannot be read still says that there is something to read
  }
  const text = (value) => (typeof value === 'string' ? value.slice(0, 300) : '');
  event.waitUntil(self.registration.showNotification(text(note.title) || 'Kinward', {
    body: text(note.body), tag: text(note.tag) || 'kinward', icon: '/icon-192.png', badge: '/icon-192.png',
  }));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: 'window' });
    for (const page of open) {
      if ('focus' in page) return page.focus();
    }
    return self.clients.openWindow('/');
  })());
});
