// The client for browsers: what a WebSocket to a Ringway gateway speaks.
export const SUBPROTOCOL = "ringway.v1.json";
