// A service worker: every lesson's text, and the pictures and models that were seen once, are there without a connection; newer pages
// come when there is one. web/build.py writes the version, and the names of the texts.
const CACHE = "course-VERSION", TEXTS = [];

self.addEventListener("install", event => event.waitUntil((async () => {
  await (await caches.open(CACHE)).addAll(TEXTS);
  await self.skipWaiting();
})()));
self.addEventListener("activate", event => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
  await self.clients.claim();
})()));
self.addEventListener("fetch", event => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE), kept = await cache.match(request);
    if (kept && /\/(models|vendor|graphs|img)\//.test(request.url)) return kept;
    try {
      const answer = await fetch(request);
      if (answer.ok) event.waitUntil(cache.put(request, answer.clone()).catch(() => {}));
      return answer;
    } catch (error) {
      if (kept) return kept;
      throw error;
    }
  })());
});
