// Signs that a connection may be dead, long before silence would show it: the browser went offline
// or online, changed networks, or shows a page that was hidden or frozen. A sign proves nothing, so
// the session decides what to do. It never touches a connection.

/** Reports signs, "offline", "online", "visible" or "network", until `end` is called. */
function watchNetwork(tell) {
  const page = globalThis.document;
  const network = globalThis.navigator?.connection; // not in every browser
  const watched = [
    [globalThis, "offline", () => tell("offline")],
    [globalThis, "online", () => tell("online")],
    // A page that comes out of the back-forward cache has lost its connections.
    [globalThis, "pageshow", ({ persisted }) => persisted && tell("network")],
    [page, "resume", () => tell("network")],
    [page, "visibilitychange", () => page.visibilityState === "visible" && tell("visible")],
    [network, "change", () => tell("network")],
  ];
  for (const [target, type, listener] of watched) target?.addEventListener?.(type, listener);
  const end = () => {
    for (const [target, type, listener] of watched) target?.removeEventListener?.(type, listener);
  };
  return { end };
}

/** Whether the browser knows that it has no network. A server on the same machine may answer. */
const isOffline = () => globalThis.navigator?.onLine === false;
